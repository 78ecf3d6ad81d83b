package grpcapi

import (
	"google.golang.org/protobuf/types/known/durationpb"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

func runtimeKindTo(k endpoint.RuntimeKind) deployv1.Runtime_Kind {
	return deployv1.Runtime_Kind(deployv1.Runtime_Kind_value["KIND_"+string(k)])
}

func runtimeKindFrom(k deployv1.Runtime_Kind) endpoint.RuntimeKind {
	switch k {
	case deployv1.Runtime_KIND_SCRIPT:
		return endpoint.Script
	case deployv1.Runtime_KIND_ONNX:
		return endpoint.ONNX
	case deployv1.Runtime_KIND_SCIKIT_LEARN:
		return endpoint.ScikitLearn
	case deployv1.Runtime_KIND_CUSTOM:
		return endpoint.Custom
	case deployv1.Runtime_KIND_UNSPECIFIED:
	}
	return ""
}

func runtimeInput(r *deployv1.Runtime) endpoint.RuntimeInput {
	in := endpoint.RuntimeInput{Kind: runtimeKindFrom(r.GetKind())}
	if s := r.GetScript(); s != nil {
		in.Script = &endpoint.ScriptRuntime{
			Workers: int(s.GetWorkers()), ThreadsPerWorker: int(s.GetThreadsPerWorker()),
			Preload: s.GetPreload(), MaxWorkerMemoryGB: s.GetMaxWorkerMemoryGb(),
		}
	}
	if o := r.GetOnnx(); o != nil {
		in.ONNX = &endpoint.ONNXInput{
			ExecutionProviders: o.GetExecutionProviders(),
			MaxBatchSize:       int(o.GetBatching().GetMaxSize()), MaxBatchDelay: duration(o.GetBatching().GetMaxDelay()),
		}
	}
	if c := r.GetCustom(); c != nil {
		in.Custom = &endpoint.CustomRuntime{
			Command: c.GetCommand(), Image: c.GetImage(), Port: int(c.GetPort()), GRPC: c.GetProtocol() == deployv1.CustomRuntime_PROTOCOL_GRPC,
			HealthRoute: c.GetHealthRoute(), ReadinessRoute: c.GetReadinessRoute(), ScoringRoute: c.GetScoringRoute(),
		}
	}
	return in
}

func runtimeTo(r endpoint.Runtime) *deployv1.Runtime {
	out := &deployv1.Runtime{Kind: runtimeKindTo(endpoint.Spec{Runtime: r}.RuntimeKind())}
	if s := r.Script; s != nil {
		out.Script = &deployv1.ScriptRuntime{
			Workers: int32(s.Workers), ThreadsPerWorker: int32(s.ThreadsPerWorker), Preload: s.Preload, MaxWorkerMemoryGb: s.MaxWorkerMemoryGB,
		}
	}
	if o := r.ONNX; o != nil {
		out.Onnx = &deployv1.OnnxRuntime{ExecutionProviders: o.ExecutionProviders}
		if o.MaxBatchSize > 0 {
			out.Onnx.Batching = &deployv1.Batching{MaxSize: int32(o.MaxBatchSize), MaxDelay: durationpb.New(o.MaxBatchDelay)}
		}
	}
	if c := r.Custom; c != nil {
		out.Custom = &deployv1.CustomRuntime{
			Command: c.Command, Image: c.Image, Port: int32(c.Port), Protocol: deployv1.CustomRuntime_PROTOCOL_HTTP,
			HealthRoute: c.HealthRoute, ReadinessRoute: c.ReadinessRoute, ScoringRoute: c.ScoringRoute,
		}
		if c.GRPC {
			out.Custom.Protocol = deployv1.CustomRuntime_PROTOCOL_GRPC
		}
	}
	return out
}

// oneRuntime lets a kind of runtime that is given take the place of the one that
// a version has, with its settings and its entry script, and an entry script that
// is given take the place of a runtime that needs none. What the request gives
// itself stays.
func oneRuntime(wanted, given *deployv1.EndpointVersion, changed map[string]bool, old endpoint.RuntimeKind) {
	r := wanted.GetRuntime()
	if r == nil { // cleared: it follows from the rest again
		return
	}
	if changed["entry_script"] && !changed["runtime"] && wanted.GetEntryScript() != "" && old != endpoint.Script {
		wanted.Runtime = &deployv1.Runtime{Kind: deployv1.Runtime_KIND_SCRIPT}
		return
	}
	if !changed["runtime"] || runtimeKindFrom(r.GetKind()) == old {
		return
	}
	r.Script, r.Onnx, r.Custom = given.GetRuntime().GetScript(), given.GetRuntime().GetOnnx(), given.GetRuntime().GetCustom()
	if !changed["entry_script"] && r.GetKind() != deployv1.Runtime_KIND_SCRIPT {
		wanted.EntryScript = ""
	}
}
