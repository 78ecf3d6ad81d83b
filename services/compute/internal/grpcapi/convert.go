// Package grpcapi is the edge of compute: it turns requests into calls of the
// domain and state packages and answers into messages. All its values are safe
// for concurrent use.
package grpcapi

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/etag"
	"github.com/fairlead/fairlead/platform/resourcename"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
	"github.com/fairlead/fairlead/services/compute/internal/inventory"
	"github.com/fairlead/fairlead/services/compute/internal/nodesize"
	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
	"github.com/fairlead/fairlead/services/compute/internal/target"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func tagOf(t target.Target) string { return etag.Of(t.UID, t.Generation) }

func targetProto(t target.Target, nodes []placement.Node, note string) *computev1.ComputeTarget {
	purpose := computev1.ComputeTarget_PURPOSE_FAST_PROD
	if t.Purpose == target.DevTest {
		purpose = computev1.ComputeTarget_PURPOSE_DEV_TEST
	}
	return &computev1.ComputeTarget{
		Name: t.Name(), Uid: t.UID, Description: t.Description, Tags: t.Tags,
		Driver: computev1.ComputeTarget_DRIVER_LOCAL, Purpose: purpose,
		NodeSize: t.NodeSize, NodeCount: int32(t.NodeCount),
		Attached: t.Attached, ClusterId: t.ClusterID, State: computev1.ComputeTarget_STATE_SUCCEEDED,
		Conditions: []*resourcev1.Condition{{
			Type: "Ready", Status: resourcev1.Condition_STATUS_TRUE, Reason: "DeclaredSizes", Message: note,
			LastTransitionTime: timestamppb.New(t.CreateTime),
		}},
		Capacity: amountProto(t.Capacity()), Allocated: amountProto(inventory.Allocated(nodes)),
		Generation: t.Generation, ObservedGeneration: t.Generation,
		CreateTime: timestamppb.New(t.CreateTime), UpdateTime: timestamppb.New(t.UpdateTime), Etag: tagOf(t),
	}
}

func purposeOf(p computev1.ComputeTarget_Purpose) target.Purpose {
	if p == computev1.ComputeTarget_PURPOSE_DEV_TEST {
		return target.DevTest
	}
	return target.FastProd
}

func amountProto(a resource.Amount) *computev1.NodeResources {
	return &computev1.NodeResources{Vcpu: a.VCPU(), MemoryBytes: a.MemoryBytes, Gpus: int32(a.GPUs)}
}

func sizeProto(s nodesize.Size) *computev1.NodeSize {
	return &computev1.NodeSize{Id: s.ID, Resources: amountProto(s.Capacity), GpuModel: s.GPUModel}
}

func nodeProto(t target.Target, n placement.Node, note string) *computev1.Node {
	used := n.Used
	used.GPUs = 0
	out := &computev1.Node{
		Name: resourcename.Format(t.Name(), "nodes", n.Name), Size: t.NodeSize,
		Capacity: amountProto(n.Capacity), Ready: n.NotReady == "", Message: note,
	}
	if n.NotReady != "" {
		out.Message = n.NotReady
	}
	for _, d := range n.Devices {
		if d.Replica != "" {
			used.GPUs++
		}
		out.Accelerators = append(out.Accelerators, &computev1.Accelerator{
			Id: d.ID, Model: d.Model, MemoryBytes: d.MemoryBytes, Present: d.Present, Replica: d.Replica,
		})
	}
	out.Allocated = amountProto(used)
	return out
}

func specOf(s *computev1.WorkloadSpec) workload.Spec {
	r, p := s.GetResources(), s.GetLivenessProbe()
	spec := workload.Spec{
		Replicas:    int(s.GetReplicas()),
		Request:     resource.Of(r.GetCpu(), r.GetMemoryBytes(), int(r.GetGpus())),
		Limit:       resource.Of(r.GetCpuLimit(), r.GetMemoryLimitBytes(), 0),
		Source:      filesOf(s.GetSource().GetFiles()),
		EntryScript: s.GetEntryScript(), Environment: s.GetEnvironmentVariables(),
		ScoringTimeout: s.GetScoringTimeout().AsDuration(), MaxConcurrent: int(s.GetMaxConcurrentRequests()),
		DrainTimeout: s.GetDrainTimeout().AsDuration(), Endpoint: s.GetEndpoint(), Version: s.GetVersion(),
		Namespace: s.GetNamespace(), Python: pythonOf(s.GetPython()), CollectModelData: s.GetCollectModelData(),
		Runtime: runtimeOf(s.GetRuntime()),
		Liveness: workload.Probe{
			Period: p.GetPeriod().AsDuration(), InitialDelay: p.GetInitialDelay().AsDuration(), Timeout: p.GetTimeout().AsDuration(),
			SuccessThreshold: int(p.GetSuccessThreshold()), FailureThreshold: int(p.GetFailureThreshold()),
		},
	}
	for _, m := range s.GetModels() {
		spec.Models = append(spec.Models, workload.Model{Name: m.GetModel(), Version: m.GetVersion(), Files: filesOf(m.GetFiles())})
	}
	return spec
}

func pythonOf(p *computev1.PythonEnvironment) *workload.Python {
	if p == nil {
		return nil
	}
	return &workload.Python{
		Environment: p.GetEnvironment(), Version: p.GetPythonVersion(), Pip: p.GetPipRequirements(), Conda: p.GetCondaPackages(),
		CondaChannels: p.GetCondaChannels(), InterpreterPath: p.GetInterpreterPath(), UserManaged: p.GetUserManaged(), BaseImage: p.GetBaseImage(),
	}
}

func pythonProto(p *workload.Python) *computev1.PythonEnvironment {
	if p == nil {
		return nil
	}
	return &computev1.PythonEnvironment{
		Environment: p.Environment, PythonVersion: p.Version, PipRequirements: p.Pip, CondaPackages: p.Conda,
		CondaChannels: p.CondaChannels, InterpreterPath: p.InterpreterPath, UserManaged: p.UserManaged, BaseImage: p.BaseImage,
	}
}

// filesOf gives files in the order of their paths, so that equal sets are equal.
func filesOf(files []*computev1.File) []workload.File {
	var out []workload.File
	for _, f := range files {
		out = append(out, workload.File{Path: f.GetPath(), SHA256: f.GetSha256(), Size: f.GetSizeBytes()})
	}
	slices.SortFunc(out, func(a, b workload.File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func specProto(s workload.Spec) *computev1.WorkloadSpec {
	out := &computev1.WorkloadSpec{
		Replicas: int32(s.Replicas),
		Resources: &computev1.ReplicaResources{
			Cpu: s.Request.VCPU(), CpuLimit: s.Limit.VCPU(), MemoryBytes: s.Request.MemoryBytes,
			MemoryLimitBytes: s.Limit.MemoryBytes, Gpus: int32(s.Request.GPUs),
		},
		Source: &computev1.Bundle{Files: filesProto(s.Source)}, EntryScript: s.EntryScript, EnvironmentVariables: s.Environment,
		ScoringTimeout: durationpb.New(s.ScoringTimeout), MaxConcurrentRequests: int32(s.MaxConcurrent),
		DrainTimeout: durationpb.New(s.DrainTimeout), Endpoint: s.Endpoint, Version: s.Version,
		Namespace: s.Namespace, Python: pythonProto(s.Python), CollectModelData: s.CollectModelData,
		Runtime: runtimeProto(s.Runtime),
		LivenessProbe: &computev1.Probe{
			Period: durationpb.New(s.Liveness.Period), InitialDelay: durationpb.New(s.Liveness.InitialDelay),
			Timeout:          durationpb.New(s.Liveness.Timeout),
			SuccessThreshold: int32(s.Liveness.SuccessThreshold),
			FailureThreshold: int32(s.Liveness.FailureThreshold),
		},
	}
	for _, m := range s.Models {
		out.Models = append(out.Models, &computev1.ModelMount{Model: m.Name, Version: m.Version, Files: filesProto(m.Files)})
	}
	return out
}

func filesProto(files []workload.File) []*computev1.File {
	var out []*computev1.File
	for _, f := range files {
		out = append(out, &computev1.File{Path: f.Path, Sha256: f.SHA256, SizeBytes: f.Size})
	}
	return out
}

func workloadProto(w workload.Workload, replicas []replica.Replica) *computev1.Workload {
	status := resourcev1.Condition_STATUS_FALSE
	if w.State == workload.Healthy {
		status = resourcev1.Condition_STATUS_TRUE
	}
	out := &computev1.Workload{
		Name: w.Name(), Spec: specProto(w.Spec), Generation: w.Generation, ObservedGeneration: w.ObservedGeneration,
		State: computev1.Workload_State(computev1.Workload_State_value["STATE_"+string(w.State)]),
		Ready: &resourcev1.Condition{
			Type: "Ready", Status: status, Reason: w.Cause.Reason, Message: w.Cause.Message,
			LogLines: w.Cause.LogLines, LastTransitionTime: timestamppb.New(w.TransitionTime),
		},
		CreateTime: timestamppb.New(w.CreateTime),
	}
	sorted := slices.Clone(replicas)
	slices.SortFunc(sorted, func(a, b replica.Replica) int { return strings.Compare(a.ID, b.ID) })
	for _, r := range sorted {
		out.Replicas = append(out.Replicas, replicaProto(r))
	}
	return out
}

func replicaProto(r replica.Replica) *computev1.Replica {
	out := &computev1.Replica{
		Id: r.ID, Node: r.Node, Address: r.Address,
		State:      computev1.Replica_State(computev1.Replica_State_value["STATE_"+string(r.State)]),
		Generation: r.Generation, Restarts: int32(r.Restarts),
		Message: r.Cause.Message, Accelerators: r.Devices, MaxConcurrentRequests: int32(r.MaxConcurrent),
		Runtime: reportProto(r.Report),
	}
	if r.Usage != (replica.Usage{}) {
		out.Usage = &computev1.ReplicaUsage{
			MemoryBytes: r.Usage.MemoryBytes, MemoryPeakBytes: r.Usage.MemoryPeakBytes, CpuTime: durationpb.New(r.Usage.CPUTime),
		}
	}
	if f := r.LastFailure; f != (replica.Failure{}) {
		out.LastFailure = &computev1.ReplicaFailure{Reason: f.Reason, Message: f.Message, Time: timestamppb.New(f.Time.Truncate(time.Microsecond))}
	}
	if !r.StartTime.IsZero() {
		out.StartTime = timestamppb.New(r.StartTime.Truncate(time.Microsecond))
	}
	return out
}
