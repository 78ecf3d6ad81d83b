package compute_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store/memory"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/compute"
	"github.com/fairlead/fairlead/services/compute/internal/driver/drivertest"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/proc"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

const (
	patience     = 40 * time.Second
	scorerBinary = "FAIRLEAD_TEST_SCORER"
)

func TestMain(m *testing.M) {
	if os.Getenv(scorerBinary) == "" {
		dir, err := os.MkdirTemp("", "fairlead-scorer-")
		if err != nil {
			panic(err)
		}
		bin := filepath.Join(dir, "scorer")
		build := exec.Command("go", "build", "-o", bin, "./cmd/scorer")
		build.Dir, build.Env = "../../scorer", append(os.Environ(), "GOWORK=off")
		if out, err := build.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("build the scorer: %v\n%s", err, out))
		}
		if err := os.Setenv(scorerBinary, bin); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if bin := os.Getenv(scorerBinary); strings.Contains(bin, "fairlead-scorer-") {
			_ = os.RemoveAll(filepath.Dir(bin))
		}
		os.Exit(code)
	}))
}

// bench is a compute service with a store and a client.
type bench struct {
	t         *testing.T
	dir       string
	store     *memory.Store
	artefacts *drivertest.Artefacts
	grace     time.Duration
	scorer    []string

	targets    computev1.ComputeTargetServiceClient
	workloads  computev1.WorkloadServiceClient
	operations longrunningpb.OperationsClient
	stop       func()
}

type noAccess struct{}

func (noAccess) Check(context.Context, string, string, string) (string, error) { return "admin", nil }

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), artefacts: &drivertest.Artefacts{}, scorer: []string{os.Getenv(scorerBinary)}}
	b.open(t)
	return b
}

// open starts the service on an empty store until the test ends.
func (b *bench) open(t *testing.T) {
	t.Helper()
	b.store = memory.New()
	b.start()
	t.Cleanup(func() { b.grace = 0; b.stop() })
}

// start runs the service until stop is called.
func (b *bench) start() {
	b.t.Helper()
	cfg := compute.NewDefaultConfig()
	cfg.DataDir, cfg.ScorerCommand, cfg.OrphanGrace = b.dir, b.scorer, b.grace
	log := slog.New(slog.NewTextHandler(testWriter{b.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	service, err := compute.New(b.t.Context(), cfg, compute.Deps{Logger: log, Store: b.store, Artefacts: b.artefacts})
	if err != nil {
		b.t.Fatal(err)
	}
	network := rpc.NewMemory()
	listener, err := network.Listen(compute.Name)
	if err != nil {
		b.t.Fatal(err)
	}
	server, err := rpc.NewServer(listener, rpc.ServerDeps{Logger: log, Access: noAccess{}, Credentials: network.Credentials()})
	if err != nil {
		b.t.Fatal(err)
	}
	service.Register(server)
	conn, err := network.Dial("deploy", compute.Name)
	if err != nil {
		b.t.Fatal(err)
	}
	b.connect(conn)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- service.Run(ctx) }()
	go func() { ended <- server.Run(ctx) }()
	stopped := false
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = conn.Close()
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				b.t.Errorf("Run = %v", err)
			}
		}
	}
	select {
	case <-service.Ready():
	case <-time.After(patience):
		b.t.Fatal("the service did not become ready")
	}
}

func (b *bench) connect(conn grpc.ClientConnInterface) {
	b.targets = computev1.NewComputeTargetServiceClient(conn)
	b.workloads = computev1.NewWorkloadServiceClient(conn)
	b.operations = longrunningpb.NewOperationsClient(conn)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if testing.Verbose() {
		fmt.Fprintf(os.Stderr, "%s: %s", w.t.Name(), p)
	}
	return len(p), nil
}

const local = "workspaces/default/computeTargets/local"

func (b *bench) spec(script string, replicas int) *computev1.WorkloadSpec {
	f := b.artefacts.Put("score.py", script)
	return &computev1.WorkloadSpec{
		Replicas: int32(replicas), EntryScript: "score.py",
		Resources: &computev1.ReplicaResources{Cpu: 0.1, MemoryBytes: 512 << 20},
		Source:    &computev1.Bundle{Files: []*computev1.File{{Path: f.Path, Sha256: f.SHA256, SizeBytes: f.Size}}},
		Endpoint:  "workspaces/default/endpoints/e", Version: "v",
	}
}

func (b *bench) apply(id string, spec *computev1.WorkloadSpec) *computev1.Workload {
	b.t.Helper()
	w, err := b.workloads.ApplyWorkload(b.t.Context(), &computev1.ApplyWorkloadRequest{Name: local + "/workloads/" + id, Spec: spec})
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

// await watches until a workload is as wanted.
func (b *bench) await(id, what string, ok func(*computev1.Workload) bool) *computev1.Workload {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	stream, err := b.workloads.WatchWorkloads(ctx, &computev1.WatchWorkloadsRequest{})
	if err != nil {
		b.t.Fatal(err)
	}
	var last *computev1.Workload
	for {
		msg, err := stream.Recv()
		if err != nil {
			b.t.Fatalf("%s is not %s but %v (%v)", id, what, last, err)
		}
		if w := msg.GetChanged(); w.GetName() == local+"/workloads/"+id {
			if last = w; ok(w) {
				return w
			}
		}
		if msg.GetDeleted() == local+"/workloads/"+id && ok(nil) {
			return nil
		}
	}
}

func (b *bench) awaitState(id string, state computev1.Workload_State) *computev1.Workload {
	b.t.Helper()
	return b.await(id, state.String(), func(w *computev1.Workload) bool {
		return w.GetState() == state && w.GetObservedGeneration() == w.GetGeneration()
	})
}

func ready(w *computev1.Workload) []*computev1.Replica {
	return slices.DeleteFunc(slices.Clone(w.GetReplicas()), func(r *computev1.Replica) bool { return r.GetState() != computev1.Replica_STATE_READY })
}

// events gives the verbs of what happened to a resource, in order.
func (b *bench) events(subject string) []string {
	var out []string
	last := uint64(0)
	for _, e := range b.store.Events() {
		if e.Subject != subject {
			continue
		}
		if e.Sequence != last+1 {
			b.t.Errorf("event %s of %s has sequence %d after %d", e.Verb, subject, e.Sequence, last)
		}
		last = e.Sequence
		out = append(out, e.Resource+"."+e.Verb)
	}
	return out
}

func pidOf(t *testing.T, replica string) int {
	t.Helper()
	for _, p := range proc.List() {
		if p.PID == p.Session && proc.Variable(p.PID, "HOSTNAME") == replica && proc.Variable(p.PID, "FAIRLEAD_REPLICA") != "" {
			return p.PID
		}
	}
	t.Fatalf("no process of replica %s", replica)
	return 0
}

func TestReplicaIsRestartedAfterAKill(t *testing.T) {
	b := newBench(t)
	b.apply("w", b.spec(drivertest.EchoScript, 1))
	first := ready(b.awaitState("w", computev1.Workload_STATE_HEALTHY))[0]
	if got, err := drivertest.Score(first.GetAddress(), "1"); err != nil || got != `{"ok": true}` {
		t.Fatalf("score = %q, %v", got, err)
	}
	if err := syscall.Kill(pidOf(t, first.GetId()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	down := b.awaitState("w", computev1.Workload_STATE_UNHEALTHY)
	if msg := down.GetReady().GetMessage(); !strings.Contains(msg, "0 of 1 replica is ready; the process was killed by signal 9") {
		t.Errorf("message %q", msg)
	}
	again := ready(b.awaitState("w", computev1.Workload_STATE_HEALTHY))[0]
	if again.GetId() != first.GetId() || again.GetRestarts() != 1 {
		t.Errorf("restarted as %v", again)
	}
	if _, err := drivertest.Score(again.GetAddress(), "1"); err != nil {
		t.Error(err)
	}
	want := []string{"workload.applied", "replica.readied", "workload.state-changed", "replica.failed", "workload.state-changed", "replica.readied", "workload.state-changed"}
	if got := b.events(local + "/workloads/w"); !slices.Equal(got, want) {
		t.Errorf("events %v", got)
	}
}

func TestUpdateKeepsServing(t *testing.T) {
	b := newBench(t)
	b.apply("w", b.spec(drivertest.EchoScript, 1))
	b.awaitState("w", computev1.Workload_STATE_HEALTHY)
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { served <- b.scoreUntil(ctx, "w") }()
	b.apply("w", b.spec(strings.ReplaceAll(drivertest.EchoScript, "True", "2"), 1))
	done := b.await("w", "rolled over", func(w *computev1.Workload) bool {
		return w.GetState() == computev1.Workload_STATE_HEALTHY && w.GetObservedGeneration() == 2 && len(w.GetReplicas()) == 1
	})
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if got, err := drivertest.Score(ready(done)[0].GetAddress(), "1"); err != nil || got != `{"ok": 2}` {
		t.Errorf("the new spec answers %q, %v", got, err)
	}
}

// scoreUntil sends requests to whatever replica is shown as ready, as a router
// does, and gives the first failure.
func (b *bench) scoreUntil(ctx context.Context, id string) error {
	for ctx.Err() == nil {
		// Not under ctx: its end must not look like a failure.
		w, err := b.workloads.GetWorkload(b.t.Context(), &computev1.GetWorkloadRequest{Name: local + "/workloads/" + id})
		if err != nil {
			return err
		}
		up := ready(w)
		if len(up) == 0 {
			return fmt.Errorf("nothing serves: %v", w)
		}
		if _, err := drivertest.Score(up[0].GetAddress(), "1"); err != nil {
			return fmt.Errorf("replica %v: %w", up[0], err)
		}
	}
	return nil
}

func TestFailingScriptFailsAndTheOldOneServes(t *testing.T) {
	b := newBench(t)
	b.apply("w", b.spec(drivertest.EchoScript, 1))
	old := ready(b.awaitState("w", computev1.Workload_STATE_HEALTHY))[0]
	b.apply("w", b.spec("def init():\n    raise ValueError('no weights')\ndef run(d): pass\n", 1))
	failed := b.awaitState("w", computev1.Workload_STATE_FAILED)
	cause := failed.GetReady()
	if !strings.Contains(cause.GetMessage(), "no weights") || !strings.Contains(cause.GetMessage(), "generation 1 keeps serving") ||
		!strings.Contains(strings.Join(cause.GetLogLines(), "\n"), "Traceback") || cause.GetReason() != "ScriptError" {
		t.Errorf("cause %v", cause)
	}
	if _, err := drivertest.Score(old.GetAddress(), "1"); err != nil {
		t.Errorf("the old one must serve: %v", err)
	}
	if again := b.apply("w", b.spec("def init():\n    raise ValueError('no weights')\ndef run(d): pass\n", 1)); again.GetGeneration() != 2 || again.GetState() != computev1.Workload_STATE_FAILED {
		t.Errorf("the same spec again must change nothing: %v", again)
	}
	b.apply("w", b.spec(strings.ReplaceAll(drivertest.EchoScript, "True", "3"), 1))
	b.awaitState("w", computev1.Workload_STATE_HEALTHY)
}

func TestLogsAreStreamed(t *testing.T) {
	b := newBench(t)
	b.apply("w", b.spec("def init():\n    print('starting up')\n    raise SystemError('no')\ndef run(d): pass\n", 1))
	b.awaitState("w", computev1.Workload_STATE_FAILED)
	stream, err := b.workloads.ReadWorkloadLogs(t.Context(), &computev1.ReadWorkloadLogsRequest{Name: local + "/workloads/w"})
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for {
		msg, err := stream.Recv()
		if err != nil {
			break
		}
		for _, l := range msg.GetLines() {
			text = append(text, l.GetText())
		}
	}
	if all := strings.Join(text, "\n"); strings.Count(all, "starting up") != 2 {
		t.Errorf("both starts must be in the log:\n%s", all)
	}
}

func TestUnschedulableSaysWhatThereIs(t *testing.T) {
	b := newBench(t)
	spec := b.spec(drivertest.EchoScript, 1)
	spec.Resources.Cpu = 8
	check := &computev1.ApplyWorkloadRequest{Name: local + "/workloads/big", Spec: spec, ValidateOnly: true}
	if _, err := b.workloads.ApplyWorkload(t.Context(), check); err == nil || !strings.Contains(err.Error(), "asked 8 vCPU, 0.5 GB; node-0 has 4 of 4 vCPU") {
		t.Errorf("validation: %v", err)
	}
	b.apply("big", spec)
	w := b.awaitState("big", computev1.Workload_STATE_UNSCHEDULABLE)
	if msg := w.GetReady().GetMessage(); !strings.Contains(msg, "asked 8 vCPU, 0.5 GB; node-0 has 4 of 4 vCPU and 14 of 14 GB free; node-1") {
		t.Errorf("message %q", msg)
	}
	if r := w.GetReplicas(); len(r) != 1 || r[0].GetState() != computev1.Replica_STATE_PENDING {
		t.Errorf("replicas %v", r)
	}
}

func TestDeleteDrainsAndLeavesNothing(t *testing.T) {
	b := newBench(t)
	b.apply("w", b.spec(drivertest.EchoScript, 2))
	w := b.awaitState("w", computev1.Workload_STATE_HEALTHY)
	if nodes := []string{w.GetReplicas()[0].GetNode(), w.GetReplicas()[1].GetNode()}; nodes[0] == nodes[1] {
		t.Errorf("replicas must be spread: %v", nodes)
	}
	for range 2 {
		if _, err := b.workloads.DeleteWorkload(t.Context(), &computev1.DeleteWorkloadRequest{Name: local + "/workloads/w"}); err != nil {
			t.Fatal(err)
		}
	}
	b.await("w", "gone", func(w *computev1.Workload) bool { return w == nil })
	if got := b.events(local + "/workloads/w"); got[len(got)-1] != "workload.deleted" {
		t.Errorf("events %v", got)
	}
	for _, r := range w.GetReplicas() {
		if _, err := drivertest.Score(r.GetAddress(), "1"); err == nil {
			t.Errorf("%s still answers", r.GetId())
		}
	}
}

func TestReplicasOutliveARestartOfTheService(t *testing.T) {
	b := newBench(t)
	b.stop()
	b.grace = time.Minute
	b.start()
	b.apply("w", b.spec(drivertest.EchoScript, 1))
	before := ready(b.awaitState("w", computev1.Workload_STATE_HEALTHY))[0]
	events := b.events(local + "/workloads/w")
	b.stop()
	if _, err := drivertest.Score(before.GetAddress(), "1"); err != nil {
		t.Fatalf("scoring must go on: %v", err)
	}
	b.start()
	after := ready(b.await("w", "ready", func(w *computev1.Workload) bool { return len(ready(w)) == 1 }))[0]
	if after.GetId() != before.GetId() || after.GetAddress() != before.GetAddress() || after.GetRestarts() != 0 {
		t.Errorf("before %v, after %v", before, after)
	}
	for _, verb := range b.events(local + "/workloads/w")[len(events):] {
		if strings.HasPrefix(verb, "replica.") {
			t.Errorf("an adopted replica is no news: %s", verb)
		}
	}
	b.stop()
	b.grace = 0
	b.start() // ends what goes on when the test ends
}

func TestSpecDefaultsAreTheOldProducts(t *testing.T) {
	got := workload.Spec{}.WithDefaults()
	if got.ScoringTimeout != time.Minute || got.Liveness.InitialDelay != 310*time.Second || got.MaxConcurrent != 1 || got.Liveness.FailureThreshold != 3 {
		t.Errorf("defaults %+v", got)
	}
}
