package endpoint

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/cmd/internal/output"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func TestCauseOfAReplica(t *testing.T) {
	at := timestamppb.New(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
	for name, test := range map[string]struct {
		status *deployv1.ReplicaStatus
		want   string
	}{
		"ready, never failed":   {&deployv1.ReplicaStatus{State: "READY"}, ""},
		"ready, failed before":  {&deployv1.ReplicaStatus{State: "READY", LastFailure: "OutOfMemory: used 2 GB", LastFailureTime: at}, "was OutOfMemory at " + output.Time(at) + ": used 2 GB"},
		"not ready is what now": {&deployv1.ReplicaStatus{State: "STARTING", Message: "init() runs", LastFailure: "OutOfMemory: used 2 GB", LastFailureTime: at}, "init() runs"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := replicaCause(test.status); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhatAReplicaComputesOn(t *testing.T) {
	for want, status := range map[string]*deployv1.ReplicaStatus{
		"":            {},
		"cpu":         {ExecutionProvider: "cpu"},
		"cuda, GPU-1": {ExecutionProvider: "cuda", Accelerators: []string{"GPU-1"}},
		"GPU-1":       {Accelerators: []string{"GPU-1"}},
	} {
		if got := computesOn(status); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRuntimesAreShown(t *testing.T) {
	version := func(r *deployv1.Runtime) *deployv1.EndpointVersion {
		return &deployv1.EndpointVersion{Name: "workspaces/default/endpoints/e/versions/aaa", Runtime: r}
	}
	for want, v := range map[string]*deployv1.EndpointVersion{
		"": version(&deployv1.Runtime{Kind: deployv1.Runtime_KIND_SCRIPT}),
		"aaa is answered by the runtime scikitLearn": version(&deployv1.Runtime{Kind: deployv1.Runtime_KIND_SCIKIT_LEARN}),
		"aaa is answered by the runtime script; workers: 2; threads per worker: 3; forked after init(); a worker is replaced above 0.5 GB": version(&deployv1.Runtime{
			Kind:   deployv1.Runtime_KIND_SCRIPT,
			Script: &deployv1.ScriptRuntime{Workers: 2, ThreadsPerWorker: 3, Preload: true, MaxWorkerMemoryGb: 0.5},
		}),
		"aaa is answered by the runtime onnx; on CUDA, else CPU; batches of up to 8 rows within 2ms": version(&deployv1.Runtime{
			Kind: deployv1.Runtime_KIND_ONNX,
			Onnx: &deployv1.OnnxRuntime{
				ExecutionProviders: []string{"CUDA", "CPU"}, Batching: &deployv1.Batching{MaxSize: 8, MaxDelay: durationpb.New(2 * time.Millisecond)},
			},
		}),
		"aaa is answered by the runtime custom; serve --port {port}; gRPC": version(&deployv1.Runtime{
			Kind:   deployv1.Runtime_KIND_CUSTOM,
			Custom: &deployv1.CustomRuntime{Command: []string{"serve", "--port", "{port}"}, Protocol: deployv1.CustomRuntime_PROTOCOL_GRPC},
		}),
	} {
		var printed bytes.Buffer
		document := output.Document{Text: func(t *output.Text) { runtimes(t, []*deployv1.EndpointVersion{v}) }}
		if err := (output.Printer{Out: &printed, Format: output.Table}).Print(document); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(printed.String()); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
