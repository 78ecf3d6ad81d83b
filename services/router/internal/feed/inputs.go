package feed

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// For settings that a route leaves out; the deploy service fills them in.
const (
	defaultScoringTimeout = time.Minute
	defaultMaxQueueWait   = 500 * time.Millisecond
)

// Inputs is the state as the table is built from it. What has a name that is
// none is left out: nobody could ask for it.
func (s *State) Inputs() routetable.Inputs {
	in := routetable.Inputs{
		Routes:      make([]routetable.Route, 0, len(s.routes.items)),
		Replicas:    make(map[string][]routetable.Replica, len(s.workloads.items)),
		Digests:     make(map[routetable.ID][][]byte, len(s.digests.items)),
		TokenKeys:   make(map[string][]byte, len(s.tokenKeys.items)),
		Generations: make(map[string]int64, len(s.generations.items)),
		Complete:    s.Complete(),
	}
	for name, route := range s.routes.items {
		if id, ok := endpointID(name); ok {
			in.Routes = append(in.Routes, routeOf(id, route))
		}
	}
	for name, workload := range s.workloads.items {
		in.Replicas[name] = replicasOf(workload)
	}
	for name, keys := range s.digests.items {
		if id, ok := endpointID(name); ok {
			in.Digests[id] = keys.GetSha256()
		}
	}
	for id, key := range s.tokenKeys.items {
		in.TokenKeys[id] = key.GetPublicKey()
	}
	for _, g := range s.generations.items {
		in.Generations[g.GetEndpointUid()] = g.GetGeneration()
	}
	return in
}

var endpointPattern = resourcename.NewPattern("workspaces/{workspace}/endpoints/{endpoint}")

func endpointID(name string) (routetable.ID, bool) {
	values, err := endpointPattern.Parse(name)
	if err != nil {
		return routetable.ID{}, false
	}
	return routetable.ID{Workspace: values.Get("workspace"), Endpoint: values.Get("endpoint")}, true
}

func routeOf(id routetable.ID, r *deployv1.Route) routetable.Route {
	route := routetable.Route{
		ID: id, UID: r.GetEndpointUid(), Default: r.GetDefaultVersion(),
		Open: r.GetAuthMode() == deployv1.Endpoint_AUTH_MODE_NONE, Tokens: r.GetAuthMode() == deployv1.Endpoint_AUTH_MODE_TOKEN,
		Telemetry: r.GetTelemetryEnabled(),
	}
	if route.UID == "" {
		route.UID = r.GetEndpoint()
	}
	for _, v := range r.GetVersions() {
		settings := v.GetRequestSettings()
		route.Versions = append(route.Versions, routetable.RouteVersion{
			Name: v.GetVersion(), Share: v.GetShare(), Workload: v.GetWorkload(),
			ScoringTimeout: orDefault(settings.GetScoringTimeout(), defaultScoringTimeout),
			MaxQueueWait:   orDefault(settings.GetMaxQueueWait(), defaultMaxQueueWait),
			MaxConcurrent:  int(settings.GetMaxConcurrentRequestsPerReplica()),
			Holds:          v.GetHoldWhenEmpty(),
			Custom:         v.GetRuntime() == deployv1.Runtime_KIND_CUSTOM,
		})
	}
	return route
}

func orDefault(d *durationpb.Duration, fallback time.Duration) time.Duration {
	if d == nil {
		return fallback
	}
	return d.AsDuration()
}

func replicasOf(w *computev1.Workload) []routetable.Replica {
	replicas := make([]routetable.Replica, 0, len(w.GetReplicas()))
	for _, r := range w.GetReplicas() {
		replica := routetable.Replica{ID: r.GetId(), Address: r.GetAddress(), MaxConcurrent: int(r.GetMaxConcurrentRequests())}
		switch r.GetState() {
		case computev1.Replica_STATE_READY:
			replica.State = balancing.Ready
		case computev1.Replica_STATE_DRAINING:
			replica.State = balancing.Draining
		default: // nothing can be sent to it
		}
		replicas = append(replicas, replica)
	}
	return replicas
}
