package grpcapi

import (
	"google.golang.org/protobuf/types/known/durationpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// runtimeOf gives nil for a script without settings.
func runtimeOf(r *computev1.Runtime) *workload.Runtime {
	switch kind := r.GetKind().(type) {
	case *computev1.Runtime_Script:
		if w := workersOf(kind.Script); w != (workload.Workers{}) {
			return &workload.Runtime{Kind: workload.Script, Workers: w}
		}
	case *computev1.Runtime_ScikitLearn:
		return &workload.Runtime{Kind: workload.ScikitLearn, Workers: workersOf(kind.ScikitLearn)}
	case *computev1.Runtime_Onnx:
		o := kind.Onnx
		return &workload.Runtime{Kind: workload.ONNX, ONNX: workload.ONNXSettings{
			ExecutionProviders: o.GetExecutionProviders(), MaxBatchSize: int(o.GetMaxBatchSize()), MaxBatchDelay: o.GetMaxBatchDelay().AsDuration(),
		}}
	case *computev1.Runtime_Custom:
		c := kind.Custom
		return &workload.Runtime{Kind: workload.Custom, Custom: workload.CustomSettings{
			Command: c.GetCommand(), Image: c.GetImage(), Port: int(c.GetPort()), GRPC: c.GetGrpc(),
			HealthRoute: c.GetHealthRoute(), ReadinessRoute: c.GetReadinessRoute(), ScoringRoute: c.GetScoringRoute(),
		}}
	}
	return nil
}

func workersOf(s *computev1.ScriptRuntime) workload.Workers {
	return workload.Workers{
		Count: int(s.GetWorkers()), Threads: int(s.GetThreadsPerWorker()), Preload: s.GetPreload(), MaxMemoryBytes: s.GetMaxWorkerMemoryBytes(),
	}
}

func runtimeProto(r *workload.Runtime) *computev1.Runtime {
	if r == nil {
		return nil
	}
	script := &computev1.ScriptRuntime{
		Workers: int32(r.Workers.Count), ThreadsPerWorker: int32(r.Workers.Threads), Preload: r.Workers.Preload, MaxWorkerMemoryBytes: r.Workers.MaxMemoryBytes,
	}
	switch r.Kind {
	case workload.ScikitLearn:
		return &computev1.Runtime{Kind: &computev1.Runtime_ScikitLearn{ScikitLearn: script}}
	case workload.ONNX:
		o := &computev1.OnnxRuntime{ExecutionProviders: r.ONNX.ExecutionProviders, MaxBatchSize: int32(r.ONNX.MaxBatchSize)}
		if r.ONNX.MaxBatchDelay > 0 {
			o.MaxBatchDelay = durationpb.New(r.ONNX.MaxBatchDelay)
		}
		return &computev1.Runtime{Kind: &computev1.Runtime_Onnx{Onnx: o}}
	case workload.Custom:
		c := r.Custom
		return &computev1.Runtime{Kind: &computev1.Runtime_Custom{Custom: &computev1.CustomRuntime{
			Command: c.Command, Image: c.Image, Port: int32(c.Port), Grpc: c.GRPC,
			HealthRoute: c.HealthRoute, ReadinessRoute: c.ReadinessRoute, ScoringRoute: c.ScoringRoute,
		}}}
	case workload.Script:
	}
	return &computev1.Runtime{Kind: &computev1.Runtime_Script{Script: script}}
}

func reportProto(r replica.Report) *computev1.ReplicaRuntime {
	if r.Runtime == "" {
		return nil
	}
	return &computev1.ReplicaRuntime{Kind: r.Runtime, ExecutionProvider: r.ExecutionProvider, Accelerators: r.Accelerators}
}
