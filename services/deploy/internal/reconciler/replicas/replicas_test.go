package replicas_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/platform/rpc"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/peertest"
	"github.com/fairlead/fairlead/services/deploy/internal/reconciler/replicas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type allow struct{}

func (allow) Check(context.Context, string, string, string) (string, error) { return "admin", nil }

// follow lets a view follow a compute service until the test ends.
func follow(t *testing.T, compute *peertest.Compute) *replicas.View {
	t.Helper()
	network := rpc.NewMemory()
	listener, err := network.Listen("compute")
	if err != nil {
		t.Fatal(err)
	}
	server, err := rpc.NewServer(listener, rpc.ServerDeps{Logger: slog.New(slog.DiscardHandler), Access: allow{}, Credentials: network.Credentials()})
	if err != nil {
		t.Fatal(err)
	}
	compute.Register(server)
	conn, err := network.Dial("deploy", "compute")
	if err != nil {
		t.Fatal(err)
	}
	view := replicas.New(slog.New(slog.DiscardHandler), computev1.NewWorkloadServiceClient(conn))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 2)
	go func() { _ = view.Run(ctx); ended <- struct{}{} }()
	go func() { _ = server.Run(ctx); ended <- struct{}{} }()
	t.Cleanup(func() { _ = conn.Close(); cancel(); <-ended; <-ended })
	return view
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

func ids(all []*computev1.Replica) []string {
	var out []string
	for _, r := range all {
		out = append(out, r.GetId())
	}
	return out
}

func TestViewFollowsCompute(t *testing.T) {
	const name = "workspaces/default/computeTargets/local/workloads/a"
	compute := peertest.NewCompute()
	view := follow(t, compute)
	apply := func(spec *computev1.WorkloadSpec) {
		t.Helper()
		if _, err := compute.ApplyWorkload(t.Context(), &computev1.ApplyWorkloadRequest{Name: name, Spec: spec}); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(want ...string) func() bool {
		return func() bool { all, _ := view.Of(name); return cmp.Equal(want, ids(all)) }
	}
	apply(&computev1.WorkloadSpec{Replicas: 2})
	eventually(t, shows("g1-0", "g1-1"))
	compute.SetDown(true)
	if !shows("g1-0", "g1-1")() {
		t.Error("what was seen last is gone while compute is away")
	}
	compute.SetDown(false)
	apply(&computev1.WorkloadSpec{Replicas: 1})
	eventually(t, shows("g2-0"))
	if _, generation := view.Of(name); generation != 2 {
		t.Errorf("generation %d", generation)
	}
	compute.Lose()
	eventually(t, func() bool { all, _ := view.Of(name); return len(all) == 0 })
}
