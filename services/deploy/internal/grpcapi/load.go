package grpcapi

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/loadboard"
)

// Load is the LoadService.
type Load struct {
	deployv1.UnsafeLoadServiceServer
	*server
}

var _ deployv1.LoadServiceServer = (*Load)(nil)

// ReportLoad puts a router's reports on the board until the router leaves.
func (s *Load) ReportLoad(stream grpc.ClientStreamingServer[deployv1.ReportLoadRequest, deployv1.ReportLoadResponse]) error {
	name := ""
	defer func() { s.deps.Load.Left(name) }()
	for {
		report, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&deployv1.ReportLoadResponse{})
		}
		if err != nil {
			return err
		}
		name = report.GetRouter()
		loads := make([]loadboard.Report, len(report.GetLoads()))
		for i, l := range report.GetLoads() {
			loads[i] = loadboard.Report{
				Key:  loadboard.Key{Endpoint: l.GetEndpoint(), Version: l.GetVersion()},
				Busy: l.GetBusy(), Queued: l.GetQueued(), Waiting: int(l.GetQueuedNow()), Arrivals: l.GetArrivals(),
			}
		}
		s.deps.Load.Report(name, loads, s.deps.Clock())
	}
}

// scalingStatus tells what the autoscaler sees and has decided of a version;
// nil when it is not autoscaled.
func (s *server) scalingStatus(e endpoint.Endpoint, v endpoint.Version) *deployv1.ScalingStatus {
	if v.Spec.Autoscale == nil {
		return nil
	}
	history := s.deps.Load.History(loadboard.Key{Endpoint: e.Name(), Version: v.ID})
	now, latest := s.deps.Clock(), history.Latest()
	decision, _ := v.Decide(history, now)
	out := &deployv1.ScalingStatus{
		Busy: latest.Busy, Queued: latest.Queued, Utilization: v.Utilization(latest), Explanation: decision.Explanation,
	}
	if v.Scaling != nil {
		for _, d := range v.Scaling.Decisions {
			out.Decisions = append(out.Decisions, &deployv1.ScalingStatus_Decision{
				Time: timestamppb.New(d.Time), From: int32(d.From), To: int32(d.To), Explanation: d.Explanation,
			})
		}
	}
	return out
}
