package reconciler

import (
	"context"
	"maps"

	"google.golang.org/protobuf/types/known/durationpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/environment"
)

const gibibyte = 1 << 30

// spec gives what compute is to run for a version. The routers end requests at
// the version's own scoring timeout; replicas get the longest that there is, for
// scoring and to finish what they have begun, so that a change of the timeout
// replaces none of them.
func (r *Reconciler) spec(ctx context.Context, e endpoint.Endpoint, v endpoint.Version) (*computev1.WorkloadSpec, error) {
	s := v.Spec
	out := &computev1.WorkloadSpec{
		Replicas: int32(endpoint.DesiredReplicas(v)),
		Resources: &computev1.ReplicaResources{
			Cpu: s.CPU, CpuLimit: s.CPULimit,
			MemoryBytes: int64(s.MemoryGB * gibibyte), MemoryLimitBytes: int64(s.MemoryLimitGB * gibibyte),
			Gpus: int32(s.GPUs),
		},
		Source:                &computev1.Bundle{Files: files(s.SourceFiles)},
		EntryScript:           s.EntryScript,
		EnvironmentVariables:  s.Environment,
		ScoringTimeout:        durationpb.New(endpoint.MaxScoringTimeout),
		MaxConcurrentRequests: int32(s.Requests.MaxConcurrent),
		LivenessProbe: &computev1.Probe{
			Period: durationpb.New(s.Liveness.Period), InitialDelay: durationpb.New(s.Liveness.InitialDelay), Timeout: durationpb.New(s.Liveness.Timeout),
			SuccessThreshold: int32(s.Liveness.SuccessThreshold), FailureThreshold: int32(s.Liveness.FailureThreshold),
		},
		DrainTimeout: durationpb.New(endpoint.MaxScoringTimeout),
		Endpoint:     e.Name(), Version: v.ID,
		Namespace: s.Namespace, CollectModelData: s.CollectModelData, Runtime: runtime(s),
	}
	if s.Packages != "" {
		v, err := r.deps.State.ResolveEnvironment(ctx, e.Workspace, s.Packages)
		if err != nil {
			return nil, err
		}
		out.Python = python(v)
		out.EnvironmentVariables = withOwn(v.Variables, s.Environment)
	}
	for _, ref := range s.Models {
		m, ok := r.deps.State.CachedModelVersion(e.Workspace, ref.Model, ref.Version)
		if !ok {
			var err error
			if m, _, err = r.deps.State.ModelVersion(ctx, e.Workspace, ref.Model, ref.Version); err != nil {
				return nil, err
			}
		}
		out.Models = append(out.Models, &computev1.ModelMount{Model: m.Model, Version: m.Number, Files: files(m.Files)})
	}
	return out, nil
}

// python gives what an environment asks of the Python that runs a script.
func python(v environment.Version) *computev1.PythonEnvironment {
	p := v.Python
	return &computev1.PythonEnvironment{
		Environment: v.ID(), PythonVersion: v.PythonVersion(), PipRequirements: p.PipRequirements,
		CondaPackages: p.CondaDependencies, CondaChannels: p.CondaChannels,
		InterpreterPath: p.InterpreterPath, UserManaged: p.UserManaged, BaseImage: v.Docker.BaseImage,
	}
}

// withOwn puts a version's own variables on top of those of its environment.
func withOwn(environment, own map[string]string) map[string]string {
	if len(environment) == 0 {
		return own
	}
	all := maps.Clone(environment)
	maps.Copy(all, own)
	return all
}

func files(given []bundle.File) []*computev1.File {
	out := make([]*computev1.File, len(given))
	for i, f := range given {
		out[i] = &computev1.File{Path: f.Path, Sha256: f.SHA256, SizeBytes: f.Size}
	}
	return out
}
