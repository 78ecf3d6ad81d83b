package reconciler

import (
	"google.golang.org/protobuf/types/known/durationpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// runtime gives what answers in the replicas; nil for a script without settings.
func runtime(s endpoint.Spec) *computev1.Runtime {
	script := &computev1.ScriptRuntime{}
	if given := s.Runtime.Script; given != nil {
		script = &computev1.ScriptRuntime{
			Workers: int32(given.Workers), ThreadsPerWorker: int32(given.ThreadsPerWorker), Preload: given.Preload,
			MaxWorkerMemoryBytes: int64(given.MaxWorkerMemoryGB * gibibyte),
		}
	}
	switch s.RuntimeKind() {
	case endpoint.ScikitLearn:
		return &computev1.Runtime{Kind: &computev1.Runtime_ScikitLearn{ScikitLearn: script}}
	case endpoint.ONNX:
		return &computev1.Runtime{Kind: &computev1.Runtime_Onnx{Onnx: onnx(s.Runtime.ONNX)}}
	case endpoint.Custom:
		return &computev1.Runtime{Kind: &computev1.Runtime_Custom{Custom: custom(s.Runtime.Custom)}}
	case endpoint.Script:
	}
	if s.Runtime.Script == nil {
		return nil
	}
	return &computev1.Runtime{Kind: &computev1.Runtime_Script{Script: script}}
}

func onnx(given *endpoint.ONNXRuntime) *computev1.OnnxRuntime {
	if given == nil {
		return &computev1.OnnxRuntime{}
	}
	out := &computev1.OnnxRuntime{ExecutionProviders: given.ExecutionProviders, MaxBatchSize: int32(given.MaxBatchSize)}
	if given.MaxBatchSize > 0 {
		out.MaxBatchDelay = durationpb.New(given.MaxBatchDelay)
	}
	return out
}

func custom(c *endpoint.CustomRuntime) *computev1.CustomRuntime {
	return &computev1.CustomRuntime{
		Command: c.Command, Image: c.Image, Port: int32(c.Port), Grpc: c.GRPC,
		HealthRoute: c.HealthRoute, ReadinessRoute: c.ReadinessRoute, ScoringRoute: c.ScoringRoute,
	}
}
