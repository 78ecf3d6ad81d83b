package grpcapi

import (
	"strings"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// replicas gives what is seen of a version's replicas.
func (s *server) replicas(v endpoint.Version) []*deployv1.ReplicaStatus {
	seen, newest := s.deps.Replicas.Of(v.Workload)
	var out []*deployv1.ReplicaStatus
	for _, r := range seen {
		out = append(out, &deployv1.ReplicaStatus{
			Replica: r.GetId(), Node: r.GetNode(), State: strings.TrimPrefix(r.GetState().String(), "STATE_"),
			Restarts: r.GetRestarts(), Message: r.GetMessage(), StartTime: r.GetStartTime(), Current: r.GetGeneration() == newest,
			MemoryBytes: r.GetUsage().GetMemoryBytes(), MemoryPeakBytes: r.GetUsage().GetMemoryPeakBytes(),
			CpuSeconds:  r.GetUsage().GetCpuTime().AsDuration().Seconds(),
			LastFailure: lastFailure(r.GetLastFailure()), LastFailureTime: r.GetLastFailure().GetTime(),
			Runtime: r.GetRuntime().GetKind(), ExecutionProvider: r.GetRuntime().GetExecutionProvider(),
			Accelerators: accelerators(r),
		})
	}
	return out
}

// accelerators gives what the scorer says of its accelerators, else which ones it was given.
func accelerators(r *computev1.Replica) []string {
	if reported := r.GetRuntime().GetAccelerators(); len(reported) > 0 {
		return reported
	}
	return r.GetAccelerators()
}

func lastFailure(f *computev1.ReplicaFailure) string {
	if f == nil {
		return ""
	}
	return f.GetReason() + ": " + f.GetMessage()
}
