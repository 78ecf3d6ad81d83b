package feed

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"

	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/controltest"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	endpointA = "workspaces/default/endpoints/a"
	endpointB = "workspaces/default/endpoints/b"
	workload  = "workspaces/default/computeTargets/local/workloads/a-v1"
)

// seen is what a feed has installed last.
type seen struct {
	mu       sync.Mutex
	installs int
	routes   []string
	keys     int
	replicas int
	complete bool
}

func (s *seen) install(state *State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := state.Inputs()
	s.installs++
	s.routes = slices.Sorted(maps.Keys(state.routes.items))
	s.keys, s.replicas, s.complete = 0, 0, in.Complete
	for _, digests := range in.Digests {
		s.keys += len(digests)
	}
	for _, replicas := range in.Replicas {
		s.replicas += len(replicas)
	}
}

func (s *seen) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		ok := is()
		s.mu.Unlock()
		if ok {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Fatalf("never: %s; routes %v, keys %d, replicas %d", what, s.routes, s.keys, s.replicas)
}

func start(t *testing.T, plane *controltest.Plane, snapshot *routerv1.Snapshot) (*Feed, *seen) {
	s := &seen{}
	conn := plane.Conn()
	f := New(Deps{Logger: slog.New(slog.DiscardHandler), Deploy: conn, Compute: conn, Auth: conn, Install: s.install}, snapshot)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return f, s
}

func TestFollowsChanges(t *testing.T) {
	plane := controltest.New(t)
	plane.SetRoute(&deployv1.Route{Endpoint: endpointA})
	f, s := start(t, plane, nil)
	<-f.Synced()
	s.await(t, "the first state", func() bool { return s.complete && len(s.routes) == 1 })

	plane.SetRoute(&deployv1.Route{Endpoint: endpointB})
	plane.SetKeys(endpointA, "one", "two")
	plane.SetWorkload(&computev1.Workload{Name: workload, Replicas: []*computev1.Replica{{Id: "r"}}})
	s.await(t, "what was added", func() bool { return len(s.routes) == 2 && s.keys == 2 && s.replicas == 1 })

	plane.DropRoute(endpointA)
	plane.SetKeys(endpointA)
	plane.DropWorkload(workload)
	s.await(t, "what is left", func() bool { return len(s.routes) == 1 && s.keys == 0 && s.replicas == 0 })
}

func TestBurstsAreCollected(t *testing.T) {
	plane := controltest.New(t)
	f, s := start(t, plane, nil)
	<-f.Synced()
	for i := range 1_000 {
		plane.SetRoute(&deployv1.Route{Endpoint: endpointA, Generation: int64(i)})
	}
	plane.SetRoute(&deployv1.Route{Endpoint: endpointB})
	s.await(t, "the last change", func() bool { return len(s.routes) == 2 })
	if s.installs > 200 {
		t.Errorf("%d installs for 1,001 changes in a row", s.installs)
	}
}

func TestReconnects(t *testing.T) {
	plane := controltest.New(t)
	plane.SetRoute(&deployv1.Route{Endpoint: endpointA})
	plane.SetKeys(endpointA, "one")
	f, s := start(t, plane, nil)
	<-f.Synced()

	plane.Stop()
	s.await(t, "not fresh", func() bool { return !f.Fresh() })
	if len(s.routes) != 1 || s.keys != 1 {
		t.Errorf("routes %v, keys %d: the last state is not in force", s.routes, s.keys)
	}
	// While nobody listens one endpoint goes and another comes.
	plane.DropRoute(endpointA)
	plane.SetRoute(&deployv1.Route{Endpoint: endpointB})
	plane.Start()
	s.await(t, "the new state", func() bool { return slices.Equal(s.routes, []string{endpointB}) && f.Fresh() })
	if s.keys != 1 {
		t.Errorf("keys %d: what did not change was lost", s.keys)
	}
}

func TestSnapshotStaysUntilSynced(t *testing.T) {
	plane := controltest.New(t)
	plane.Stop()
	snapshot := &routerv1.Snapshot{
		Routes:     []*deployv1.Route{{Endpoint: endpointA}},
		Workloads:  []*computev1.Workload{{Name: workload, Replicas: []*computev1.Replica{{Id: "r"}}}},
		KeyDigests: []*routerv1.Snapshot_KeyDigests{{Endpoint: endpointA, Sha256: [][]byte{make([]byte, 32)}}},
	}
	f, s := start(t, plane, snapshot)
	if s.installs != 1 || !s.complete || len(s.routes) != 1 || s.keys != 1 || s.replicas != 1 {
		t.Fatalf("the snapshot was not installed: %+v", s)
	}
	plane.SetRoute(&deployv1.Route{Endpoint: endpointB})
	plane.Start()
	<-f.Synced()
	s.await(t, "the services' own state", func() bool {
		return slices.Equal(s.routes, []string{endpointB}) && s.keys == 0 && s.replicas == 0
	})
}

func TestListingDropsOnlyAtItsEnd(t *testing.T) {
	c := newCollection[*deployv1.Route]()
	c.put("a", &deployv1.Route{})
	c.put("b", &deployv1.Route{})
	c.begin()
	if c.put("a", &deployv1.Route{}) || !c.put("c", &deployv1.Route{}) {
		t.Error("put does not say what is new")
	}
	if len(c.items) != 3 {
		t.Errorf("%d items while listing, want 3", len(c.items))
	}
	// Broken off and begun again: what the first part sent counts for nothing.
	c.begin()
	c.put("c", &deployv1.Route{})
	if !c.end() || len(c.items) != 1 {
		t.Errorf("%d items after the listing, want 1", len(c.items))
	}
	c.begin()
	c.put("c", &deployv1.Route{})
	if c.end() {
		t.Error("the same listing again is said to be new")
	}
}

func TestSnapshotOfState(t *testing.T) {
	s := newState()
	route := &deployv1.Route{Endpoint: endpointA}
	s.routes.put(endpointA, route)
	s.workloads.put(workload, stripped(&computev1.Workload{
		Name: workload, Spec: &computev1.WorkloadSpec{EnvironmentVariables: map[string]string{"PASSWORD": "secret"}},
		Generation: 4, Replicas: []*computev1.Replica{{Id: "r"}},
	}))
	s.digests.put(endpointA, &digests{Endpoint: endpointA, Sha256: [][]byte{{1}}})
	want := &routerv1.Snapshot{
		Routes:     []*deployv1.Route{route},
		Workloads:  []*computev1.Workload{{Name: workload, Generation: 4, Replicas: []*computev1.Replica{{Id: "r"}}}},
		KeyDigests: []*routerv1.Snapshot_KeyDigests{{Endpoint: endpointA, Sha256: [][]byte{{1}}}},
	}
	got := s.Snapshot(time.Time{})
	got.CreateTime = nil
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
}

func TestInputs(t *testing.T) {
	s := newState()
	s.routes.put("a", &deployv1.Route{
		Endpoint: endpointA, EndpointUid: "u", DefaultVersion: "v1", AuthMode: deployv1.Endpoint_AUTH_MODE_NONE,
		Versions: []*deployv1.RouteVersion{
			{Version: "v1", Share: 9_000, Workload: workload, RequestSettings: &deployv1.RequestSettings{
				ScoringTimeout: durationpb.New(time.Second), MaxQueueWait: durationpb.New(0), MaxConcurrentRequestsPerReplica: 3,
			}},
			{Version: "v2", Share: 1_000},
		},
	})
	s.routes.items[endpointA] = s.routes.items["a"] // "a" is no name of an endpoint
	s.workloads.put(workload, &computev1.Workload{Replicas: []*computev1.Replica{
		{Id: "1", Address: "h:1", State: computev1.Replica_STATE_READY, MaxConcurrentRequests: 2},
		{Id: "2", State: computev1.Replica_STATE_DRAINING},
		{Id: "3", State: computev1.Replica_STATE_UNRESPONSIVE},
	}})
	id := routetable.ID{Workspace: "default", Endpoint: "a"}
	want := routetable.Inputs{
		Routes: []routetable.Route{{ID: id, UID: "u", Open: true, Default: "v1", Versions: []routetable.RouteVersion{
			{Name: "v1", Share: 9_000, Workload: workload, ScoringTimeout: time.Second, MaxConcurrent: 3},
			{Name: "v2", Share: 1_000, ScoringTimeout: time.Minute, MaxQueueWait: 500 * time.Millisecond},
		}}},
		Replicas: map[string][]routetable.Replica{workload: {
			{ID: "1", Address: "h:1", State: balancing.Ready, MaxConcurrent: 2},
			{ID: "2", State: balancing.Draining},
			{ID: "3"},
		}},
		Digests:   map[routetable.ID][][]byte{},
		TokenKeys: map[string][]byte{}, Generations: map[string]int64{},
	}
	if diff := cmp.Diff(want, s.Inputs()); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
}
