package reconciler

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

const gibibyte = 1 << 30

// spec gives what compute is to run for a version.
func (r *Reconciler) spec(ctx context.Context, e endpoint.Endpoint, v endpoint.Version) (*computev1.WorkloadSpec, error) {
	s := v.Spec
	out := &computev1.WorkloadSpec{
		Replicas: int32(s.Replicas),
		Resources: &computev1.ReplicaResources{
			Cpu: s.CPU, CpuLimit: s.CPULimit,
			MemoryBytes: int64(s.MemoryGB * gibibyte), MemoryLimitBytes: int64(s.MemoryLimitGB * gibibyte),
			Gpus: int32(s.GPUs),
		},
		Source:                &computev1.Bundle{Files: files(s.SourceFiles)},
		EntryScript:           s.EntryScript,
		EnvironmentVariables:  s.Environment,
		ScoringTimeout:        durationpb.New(s.Requests.ScoringTimeout),
		MaxConcurrentRequests: int32(s.Requests.MaxConcurrent),
		LivenessProbe: &computev1.Probe{
			Period: durationpb.New(s.Liveness.Period), InitialDelay: durationpb.New(s.Liveness.InitialDelay), Timeout: durationpb.New(s.Liveness.Timeout),
			SuccessThreshold: int32(s.Liveness.SuccessThreshold), FailureThreshold: int32(s.Liveness.FailureThreshold),
		},
		// Every request that a replica has begun may take its full time.
		DrainTimeout: durationpb.New(s.Requests.ScoringTimeout),
		Endpoint:     e.Name(), Version: v.ID,
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

func files(given []bundle.File) []*computev1.File {
	out := make([]*computev1.File, len(given))
	for i, f := range given {
		out[i] = &computev1.File{Path: f.Path, Sha256: f.SHA256, SizeBytes: f.Size}
	}
	return out
}
