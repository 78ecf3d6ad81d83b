package compute_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
)

func TestTimeoutsChangeWithoutAnotherReplica(t *testing.T) {
	b := newBench(t)
	spec := b.spec("def init(): pass\ndef run(d): return 1\n", 1)
	b.apply("w", spec)
	before := b.awaitState("w", computev1.Workload_STATE_HEALTHY).GetReplicas()[0]
	spec.ScoringTimeout, spec.DrainTimeout = durationpb.New(90*time.Second), durationpb.New(90*time.Second)
	quickProbe(spec)
	b.apply("w", spec)
	after := b.await("w", "healthy again", func(w *computev1.Workload) bool {
		return w.GetState() == computev1.Workload_STATE_HEALTHY && w.GetObservedGeneration() == 2
	})
	if r := after.GetReplicas(); len(r) != 1 || r[0].GetId() != before.GetId() || r[0].GetGeneration() != 2 || r[0].GetRestarts() != 0 {
		t.Errorf("replicas %v, was %v", r, before)
	}
	// The probe that holds now is the new one.
	if err := syscall.Kill(pidOf(t, before.GetId()), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w := b.await("w", "given up", func(w *computev1.Workload) bool { return w.GetReady().GetReason() == "ProbeTimeout" })
	if !strings.Contains(w.GetReady().GetMessage(), "1 times in a row (no answer within 100ms)") {
		t.Errorf("%s", w.GetReady().GetMessage())
	}
}

func TestUseIsShown(t *testing.T) {
	b := newBench(t)
	b.apply("w", b.spec("def init(): pass\ndef run(d): return 1\n", 1))
	b.awaitState("w", computev1.Workload_STATE_HEALTHY)
	w, err := b.workloads.GetWorkload(t.Context(), &computev1.GetWorkloadRequest{Name: local + "/workloads/w"})
	if u := w.GetReplicas()[0].GetUsage(); err != nil || u.GetMemoryBytes() < 1<<20 || u.GetMemoryPeakBytes() < u.GetMemoryBytes() || u.GetCpuTime().AsDuration() <= 0 {
		t.Errorf("use %v, %v", u, err)
	}
}

func TestLogsOutliveTheirWorkload(t *testing.T) {
	b := newBench(t)
	b.apply("w", b.spec("def init(): print('was here')\ndef run(d): return 1\n", 1))
	w := b.awaitState("w", computev1.Workload_STATE_HEALTHY)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		b.await("w", "gone", func(w *computev1.Workload) bool { return w == nil })
	}()
	if _, err := b.workloads.DeleteWorkload(t.Context(), &computev1.DeleteWorkloadRequest{Name: w.GetName()}); err != nil {
		t.Fatal(err)
	}
	<-gone
	stream, err := b.workloads.ReadWorkloadLogs(t.Context(), &computev1.ReadWorkloadLogsRequest{Name: w.GetName()})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.Recv()
	if err != nil || !strings.Contains(msg.String(), "was here") {
		t.Errorf("%v, %v", msg, err)
	}
}
