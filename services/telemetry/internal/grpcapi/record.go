package grpcapi

import (
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/apierr"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/ledger"
	"github.com/fairlead/fairlead/services/telemetry/internal/requestlog"
	"github.com/fairlead/fairlead/services/telemetry/internal/tail"
)

// RecordServer is RecordService.
type RecordServer struct {
	telemetryv1.UnsafeRecordServiceServer
	ledger *ledger.Ledger
	hub    *tail.Hub[requestlog.Request]
}

var _ telemetryv1.RecordServiceServer = (*RecordServer)(nil)

// NewRecordServer keeps what it is sent and tells the hub.
func NewRecordServer(l *ledger.Ledger, hub *tail.Hub[requestlog.Request]) *RecordServer {
	return &RecordServer{ledger: l, hub: hub}
}

// Record answers each report when it is on disk.
func (s *RecordServer) Record(stream grpc.BidiStreamingServer[telemetryv1.RecordRequest, telemetryv1.RecordResponse]) error {
	for {
		report, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := check(report); err != nil {
			return err
		}
		requests, err := s.ledger.Append(report)
		if err != nil {
			return apierr.New(apierr.Unavailable, "NOT_WRITTEN", "the report cannot be written now; send it again").Because(err)
		}
		s.hub.Publish(requests)
		if err := stream.Send(&telemetryv1.RecordResponse{Router: report.GetRouter(), Sequence: report.GetSequence()}); err != nil {
			return err
		}
	}
}

// check wants what makes a report one of its kind.
func check(report *telemetryv1.RecordRequest) error {
	var bad apierr.Violations
	if report.GetRouter() == "" {
		bad.Add("router", "must be the router's id")
	}
	if report.GetSequence() < 1 {
		bad.Add("sequence", "must count from 1, not %d", report.GetSequence())
	}
	if !report.GetStartTime().IsValid() {
		bad.Add("start_time", "must be a time")
	}
	return bad.Err()
}
