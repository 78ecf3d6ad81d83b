package reconciler

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/store/memory"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
	"github.com/fairlead/fairlead/services/deploy/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOrphansWaitOutTheGrace(t *testing.T) {
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	o := newOrphans()
	for _, step := range []struct {
		what    string
		at      time.Duration
		unknown []string
		want    []string
	}{
		{"first seen", 0, []string{"a"}, nil},
		{"another one comes", 50 * time.Second, []string{"a", "b"}, nil},
		{"not for longer than the grace", orphanGrace, []string{"a", "b"}, nil},
		{"for longer", orphanGrace + time.Second, []string{"a", "b"}, []string{"a"}},
		{"it stays due until it is gone", orphanGrace + 2*time.Second, []string{"a", "b"}, []string{"a"}},
		{"what became known in between begins anew", orphanGrace + 3*time.Second, nil, nil},
		{"and is not due", 3 * orphanGrace, []string{"a", "b"}, nil},
	} {
		set := map[string]bool{}
		for _, name := range step.unknown {
			set[name] = true
		}
		got := o.due(set, start.Add(step.at))
		slices.Sort(got)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
	}
}

func TestUnknown(t *testing.T) {
	shown := map[string]seen{
		"runs":     {owner: "endpoints/default/e"},
		"retires":  {owner: "endpoints/default/e"},
		"lost":     {owner: "endpoints/default/e"},
		"homeless": {owner: "endpoints/default/other"},
		"leaves":   {owner: "endpoints/default/e", workload: status.Workload{State: endpoint.Deleting}},
		"foreign":  {owner: ""}, // names no endpoint
	}
	endpoints := []endpoint.Endpoint{{
		Workspace: "default", ID: "e",
		Versions: []endpoint.Version{{ID: "v", Workload: "runs"}, {ID: "w", Workload: "not applied yet"}},
		Retired:  []endpoint.Retired{{Version: "x", Workload: "retires"}},
	}}
	if diff := cmp.Diff(map[string]bool{"lost": true, "homeless": true}, unknown(shown, endpoints)); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
}

// deletions notes which workloads are deleted.
type deletions struct {
	workloads
	names []string
}

func (d *deletions) DeleteWorkload(_ context.Context, req *computev1.DeleteWorkloadRequest, _ ...grpc.CallOption) (*computev1.DeleteWorkloadResponse, error) {
	d.names = append(d.names, req.GetName())
	return &computev1.DeleteWorkloadResponse{}, nil
}

// sweeping is a reconciler over a store, with a clock that the test moves.
func sweeping(t *testing.T) (r *Reconciler, asked *deletions, advance func(time.Duration)) {
	t.Helper()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	m := memory.New()
	discard := slog.New(slog.DiscardHandler)
	s := state.New(state.Deps{Logger: discard, Store: m, Operations: operation.NewRegistry(m, discard), Clock: clock})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx) // it ends with ctx
	}()
	t.Cleanup(func() { cancel(); <-done })
	if err := s.WaitSynced(ctx); err != nil {
		t.Fatal(err)
	}
	asked = &deletions{}
	r = New(Config{}, Deps{Logger: discard, Store: m, State: s, Workloads: asked, Clock: clock})
	return r, asked, func(d time.Duration) { now = now.Add(d) }
}

const target = "workspaces/default/computeTargets/local/workloads/"

func workload(name, owner string) *computev1.Workload {
	return &computev1.Workload{Name: target + name, Spec: &computev1.WorkloadSpec{Endpoint: owner}}
}

func TestSweep(t *testing.T) {
	r, asked, advance := sweeping(t)
	change := endpoint.Change{Endpoint: endpoint.Endpoint{
		Workspace: "default", ID: "known", Versions: []endpoint.Version{{ID: "v", Workload: target + "known"}},
	}}
	if err := r.deps.State.Apply(t.Context(), state.Commit{Change: change}); err != nil {
		t.Fatal(err)
	}
	show := func() {
		r.view.begin()
		for _, w := range []*computev1.Workload{
			workload("known", "workspaces/default/endpoints/known"),
			workload("lost", "workspaces/default/endpoints/known"),
			workload("homeless", "workspaces/default/endpoints/gone"),
			workload("foreign", "somebody else's"),
		} {
			r.view.show(w)
		}
	}
	lost := newOrphans()
	show()
	r.sweep(t.Context(), lost)
	advance(2 * orphanGrace)
	r.sweep(t.Context(), lost)
	if len(asked.names) > 0 {
		t.Fatalf("%v went before everything was shown", asked.names)
	}
	r.view.synced(nil)
	r.sweep(t.Context(), lost)
	advance(2 * orphanGrace)
	r.view.end() // the watch breaks off: what is known may be old
	r.sweep(t.Context(), lost)
	show()
	r.view.synced(nil)
	r.sweep(t.Context(), lost)
	if len(asked.names) > 0 {
		t.Fatalf("%v went although the watch broke off meanwhile", asked.names)
	}
	advance(orphanGrace + time.Second)
	r.sweep(t.Context(), lost)
	slices.Sort(asked.names)
	if diff := cmp.Diff([]string{target + "homeless", target + "lost"}, asked.names); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
}

// What the cache does not know and the store does is not removed: a process whose
// time is over may be behind.
func TestRemoveOrphanAsksTheStore(t *testing.T) {
	r, asked, _ := sweeping(t)
	change := endpoint.Change{Endpoint: endpoint.Endpoint{
		Workspace: "default", ID: "fresh", Versions: []endpoint.Version{{ID: "v", Workload: target + "fresh"}},
	}}
	if err := r.deps.State.Apply(t.Context(), state.Commit{Change: change}); err != nil {
		t.Fatal(err)
	}
	removed, err := r.removeOrphan(t.Context(), target+"fresh", "workspaces/default/endpoints/fresh")
	if removed || err != nil || len(asked.names) > 0 {
		t.Errorf("removed %v, error %v, asked %v", removed, err, asked.names)
	}
}
