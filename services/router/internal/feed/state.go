package feed

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"
)

// digests are those of one endpoint's keys.
type digests = authv1.WatchEndpointKeyDigestsResponse_Digests

// State is what the control plane has said so far. Its messages are never
// changed, only replaced.
type State struct {
	routes    *collection[*deployv1.Route]
	workloads *collection[*computev1.Workload]
	digests   *collection[*digests]
	// tokenKeys and generations are what tokens are verified by; one watch has both.
	tokenKeys   *collection[*authv1.TokenKey]
	generations *collection[*authv1.TokenGeneration]
	// loaded is set when it began with a snapshot.
	loaded bool
}

func newState() *State {
	return &State{
		routes:    newCollection[*deployv1.Route](),
		workloads: newCollection[*computev1.Workload](),
		digests:   newCollection[*digests](),

		tokenKeys:   newCollection[*authv1.TokenKey](),
		generations: newCollection[*authv1.TokenGeneration](),
	}
}

// Complete says whether everything that exists has been heard of, if only
// through a snapshot.
func (s *State) Complete() bool { return s.loaded || s.synced() }

func (s *State) synced() bool {
	return s.routes.everSynced && s.workloads.everSynced && s.digests.everSynced && s.generations.everSynced
}

// restore begins with a snapshot.
func (s *State) restore(snapshot *routerv1.Snapshot) {
	for _, route := range snapshot.GetRoutes() {
		s.routes.put(route.GetEndpoint(), route)
	}
	for _, workload := range snapshot.GetWorkloads() {
		s.workloads.put(workload.GetName(), workload)
	}
	for _, keys := range snapshot.GetKeyDigests() {
		s.digests.put(keys.GetEndpoint(), &digests{Endpoint: keys.GetEndpoint(), Sha256: keys.GetSha256()})
	}
	for _, key := range snapshot.GetTokenKeys() {
		s.tokenKeys.put(key.GetKid(), key)
	}
	for _, g := range snapshot.GetTokenGenerations() {
		s.generations.put(g.GetEndpoint(), g)
	}
	s.loaded = true
}

// Snapshot is the state as it is kept on disk.
func (s *State) Snapshot(now time.Time) *routerv1.Snapshot {
	snapshot := &routerv1.Snapshot{
		Routes:     s.routes.sorted(),
		Workloads:  s.workloads.sorted(),
		CreateTime: timestamppb.New(now),

		TokenKeys:        s.tokenKeys.sorted(),
		TokenGenerations: s.generations.sorted(),
	}
	for _, keys := range s.digests.sorted() {
		snapshot.KeyDigests = append(snapshot.KeyDigests, &routerv1.Snapshot_KeyDigests{
			Endpoint: keys.GetEndpoint(), Sha256: keys.GetSha256(),
		})
	}
	return snapshot
}

// stripped is the workload without its spec, which can be large and can hold
// secrets in environment variables.
func stripped(w *computev1.Workload) *computev1.Workload {
	return &computev1.Workload{
		Name: w.GetName(), Generation: w.GetGeneration(), ObservedGeneration: w.GetObservedGeneration(),
		State: w.GetState(), Replicas: w.GetReplicas(),
	}
}

// collection is all resources of one kind, by name, as a watch tells of them.
type collection[T proto.Message] struct {
	items map[string]T
	// unconfirmed are those not sent yet in the listing under way; nil when none is.
	unconfirmed map[string]struct{}
	everSynced  bool
}

func newCollection[T proto.Message]() *collection[T] {
	return &collection[T]{items: map[string]T{}}
}

// begin notes that a listing begins: what it does not send does not exist, but
// that is known only at its end.
func (c *collection[T]) begin() {
	c.unconfirmed = make(map[string]struct{}, len(c.items))
	for name := range c.items {
		c.unconfirmed[name] = struct{}{}
	}
}

// put says whether anything is new.
func (c *collection[T]) put(name string, item T) bool {
	delete(c.unconfirmed, name)
	if old, ok := c.items[name]; ok && proto.Equal(old, item) {
		return false
	}
	c.items[name] = item
	return true
}

// remove says whether it was there.
func (c *collection[T]) remove(name string) bool {
	_, ok := c.items[name]
	delete(c.items, name)
	delete(c.unconfirmed, name)
	return ok
}

// end is the end of a listing. It says whether anything changed by that.
func (c *collection[T]) end() bool {
	changed := !c.everSynced || len(c.unconfirmed) > 0
	for name := range c.unconfirmed {
		delete(c.items, name)
	}
	c.unconfirmed, c.everSynced = nil, true
	return changed
}

func (c *collection[T]) sorted() []T {
	out := make([]T, 0, len(c.items))
	for _, name := range slices.Sorted(maps.Keys(c.items)) {
		out = append(out, c.items[name])
	}
	return out
}
