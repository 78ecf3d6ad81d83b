package deploy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/memory"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/peertest"
)

// watchRoutes follows the routes until the test ends and gives them in words.
type watchedRoutes struct {
	mu     sync.Mutex
	routes map[string]string
	synced bool
	log    []string
}

func (b *bed) watchRoutes() *watchedRoutes {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	stream, err := b.routes.WatchRoutes(ctx, &deployv1.WatchRoutesRequest{})
	b.check(err)
	w := &watchedRoutes{routes: map[string]string{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			answer, err := stream.Recv()
			if err != nil {
				return
			}
			w.take(answer)
		}
	}()
	b.t.Cleanup(func() { cancel(); <-done })
	b.eventually("routes are synced", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.synced
	})
	return w
}

func (w *watchedRoutes) take(answer *deployv1.WatchRoutesResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch event := answer.GetEvent().(type) {
	case *deployv1.WatchRoutesResponse_Changed:
		var parts []string
		for _, v := range event.Changed.GetVersions() {
			parts = append(parts, fmt.Sprintf("%s=%d", v.GetVersion(), v.GetShare()))
		}
		w.routes[event.Changed.GetEndpoint()] = strings.Join(parts, " ")
		w.log = append(w.log, strings.Join(parts, " "))
	case *deployv1.WatchRoutesResponse_Deleted:
		delete(w.routes, event.Deleted)
		w.log = append(w.log, "deleted")
	case *deployv1.WatchRoutesResponse_Synced:
		w.synced = true
	}
}

func (w *watchedRoutes) get(endpoint string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.routes[endpoint]
	return r, ok
}

func (w *watchedRoutes) changes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Compact(slices.Clone(w.log))
}

// forget forgets the changes so far.
func (w *watchedRoutes) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = nil
}

func TestRoutesFollow(t *testing.T) {
	b := newBed(t, nil)
	w := b.watchRoutes()
	b.create(nil)
	b.add("bbb", func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 12.5 })
	b.eventually("the route has both", func() bool { r, _ := w.get(endpointName); return r == "aaa=8750 bbb=1250" })
	o, err := b.endpoints.DeleteEndpoint(t.Context(), &deployv1.DeleteEndpointRequest{Name: endpointName})
	b.check(err)
	b.wait(o)
	b.eventually("the route is gone", func() bool { _, ok := w.get(endpointName); return !ok })
	// Changes may be passed over when they follow each other closely, but they
	// keep their order.
	course := []string{"aaa=0", "aaa=10000", "aaa=10000 bbb=0", "aaa=8750 bbb=1250", "deleted"}
	at := -1
	for _, route := range w.changes() {
		next := slices.Index(course, route)
		if next <= at {
			t.Errorf("%q after %q", route, course[max(at, 0)])
		}
		at = next
	}
}

func TestAnUpdateKeepsItsTraffic(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	b.add("bbb", func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 50 })
	w := b.watchRoutes()
	b.eventually("the cache has caught up", func() bool { r, _ := w.get(endpointName); return r == "aaa=5000 bbb=5000" })
	w.forget()
	if _, err := b.update("", func(v *deployv1.EndpointVersion) { v.Replicas = 3 }); err != nil {
		t.Fatal(err)
	}
	b.compute.Behave(func(*computev1.WorkloadSpec) peertest.Outcome {
		return peertest.Outcome{State: computev1.Workload_STATE_FAILED, Message: "no module named x"}
	})
	b.eventually("the failure is seen", func() bool { return b.get().GetState() == deployv1.State_STATE_FAILED })
	if diff := cmp.Diff([]string{"aaa=5000 bbb=5000"}, w.changes()); diff != "" {
		t.Errorf("routes over time (-want +got):\n%s", diff)
	}
}

func TestARestartWithComputeAway(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	b.add("bbb", func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 10 })
	events := len(b.memory.Events())
	b.compute.SetDown(true)
	b.stop()
	b.start()
	w := b.watchRoutes()
	o, err := b.endpoints.CreateEndpointVersion(t.Context(), &deployv1.CreateEndpointVersionRequest{Parent: endpointName, VersionId: "ccc", Version: b.version(nil)})
	b.check(err)
	b.eventually("the new version says what it waits for", func() bool {
		return strings.Contains(b.get().GetVersions()[2].GetStateMessage(), "waiting for the compute service, which does not answer")
	})
	b.compute.SetDown(false)
	b.succeeds(o, &deployv1.EndpointVersion{})
	for _, route := range w.changes() {
		if !strings.HasPrefix(route, "aaa=9000 bbb=1000") {
			t.Errorf("the traffic changed to %s", route)
		}
	}
	for _, e := range b.memory.Events()[events:] {
		if e.Verb == "traffic-changed" && !strings.Contains(string(e.Data), "aaa 90 %, bbb 10 %, ccc 0 %") {
			t.Errorf("traffic changed: %s", e.Data)
		}
	}
}

func TestLostWorkloadsAreMadeAgain(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	b.compute.Lose()
	b.eventually("the workload is back and healthy", func() bool {
		return len(b.compute.Workloads()) == 1 && b.get().GetState() == deployv1.State_STATE_HEALTHY
	})
}

func TestDeletionWaitsForAuth(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	b.auth.SetDown(true)
	o, err := b.endpoints.DeleteEndpoint(t.Context(), &deployv1.DeleteEndpointRequest{Name: endpointName})
	b.check(err)
	b.eventually("the workload is gone", func() bool { return len(b.compute.Workloads()) == 0 })
	if e := b.get(); e.GetState() != deployv1.State_STATE_DELETING {
		t.Errorf("the endpoint is %v", e.GetState())
	}
	_, err = b.endpoints.CreateEndpoint(t.Context(), b.createRequest(nil))
	refused(t, err, "ENDPOINT_DELETING", o.GetName())
	b.auth.SetDown(false)
	b.wait(o)
	b.create(nil)
}

// recorder notes everything that is stored after every batch.
type recorder struct {
	*memory.Store
	mu     sync.Mutex
	states [][]store.Entry
}

func (r *recorder) Apply(ctx context.Context, b store.Batch) (store.Revision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	revision, err := r.Store.Apply(ctx, b)
	if err != nil {
		return revision, err
	}
	entries, _, err := r.List(ctx, "")
	if err != nil {
		return revision, err
	}
	r.states = append(r.states, entries)
	return revision, nil
}

// TestEveryCrashPointRecovers runs a course of changes, then starts the service
// over each state that was ever stored, with a compute service that has nothing
// and with one that still has everything, and expects it to come to rest.
func TestEveryCrashPointRecovers(t *testing.T) {
	first := prepare(t, nil)
	log := &recorder{Store: first.memory}
	first.store = log
	first.start()
	first.create(func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 20 })
	first.add("bbb", func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 10 })
	if _, err := first.update("", func(v *deployv1.EndpointVersion) { v.Replicas, v.IsDefault = 2, true }); err != nil {
		t.Fatal(err)
	}
	o, err := first.endpoints.DeleteEndpointVersion(t.Context(), &deployv1.DeleteEndpointVersionRequest{Name: endpointName + "/versions/bbb"})
	first.check(err)
	first.wait(o)
	o, err = first.endpoints.DeleteEndpoint(t.Context(), &deployv1.DeleteEndpointRequest{Name: endpointName})
	first.check(err)
	first.wait(o)
	first.stop()
	for i, entries := range log.states {
		for _, have := range []string{"nothing", "everything"} {
			t.Run(fmt.Sprintf("state %d, compute has %s", i, have), func(t *testing.T) {
				b := prepare(t, nil)
				b.restore(entries)
				if have == "everything" {
					b.start() // so that compute has what this state wants
					b.eventually("it comes to rest", b.atRest)
					b.stop()
					b.store, b.memory = memory.New(), nil
					b.restore(entries)
				}
				b.start()
				b.eventually("it comes to rest", b.atRest)
			})
		}
	}
}

func (b *bed) restore(entries []store.Entry) {
	b.t.Helper()
	m := memory.New()
	for _, e := range entries {
		if strings.HasPrefix(e.Key, "leases/") || strings.HasPrefix(e.Key, "epochs/") {
			continue // run out by the time somebody looks
		}
		_, err := m.Apply(b.t.Context(), store.Batch{Ops: []store.Op{store.Put(e.Key, e.Value)}})
		b.check(err)
	}
	b.store, b.memory = m, m
}

// atRest tells whether nothing is left to be done and all is as it should be.
func (b *bed) atRest() bool {
	operations, err := b.operations.ListOperations(b.t.Context(), &longrunningpb.ListOperationsRequest{Name: "workspaces/default"})
	b.check(err)
	for _, o := range operations.GetOperations() {
		if !o.GetDone() {
			return false
		}
	}
	list, err := b.endpoints.ListEndpoints(b.t.Context(), &deployv1.ListEndpointsRequest{Parent: "workspaces/default"})
	b.check(err)
	versions := 0
	for _, e := range list.GetEndpoints() {
		versions += len(e.GetVersions())
		if e.GetState() != deployv1.State_STATE_HEALTHY || e.GetObservedGeneration() != e.GetGeneration() {
			return false
		}
	}
	return len(b.compute.Workloads()) == versions
}
