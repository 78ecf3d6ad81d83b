package reporting

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/histogram"
	"github.com/fairlead/fairlead/platform/resourcename"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"

	"github.com/fairlead/fairlead/services/router/internal/record"
)

// reportOf makes the report of a batch.
func reportOf(router string, sequence int64, b record.Batch) *telemetryv1.RecordRequest {
	report := &telemetryv1.RecordRequest{
		Router: router, Sequence: sequence, StartTime: timestamppb.New(b.Start), EndTime: timestamppb.New(b.End),
	}
	place := make(map[record.Key]int32, len(b.Figures))
	for key, f := range b.Figures {
		place[key] = int32(len(report.GetFigures()))
		report.Figures = append(report.Figures, figuresOf(key, f))
	}
	slices.SortFunc(b.Requests, func(a, b record.Request) int {
		return cmp.Or(a.Arrival.Compare(b.Arrival), strings.Compare(a.RequestID, b.RequestID))
	})
	for i := range b.Requests {
		if at, ok := place[b.Requests[i].Key]; ok {
			report.Records = append(report.Records, requestOf(at, &b.Requests[i]))
		}
	}
	return report
}

func figuresOf(key record.Key, f *record.Figures) *telemetryv1.Figures {
	out := &telemetryv1.Figures{
		EndpointUid: key.UID, Version: key.Version, Code: int32(key.Code),
		Requests: f.Requests, RequestBytes: f.RequestBytes, ResponseBytes: f.ResponseBytes, DroppedRecords: f.Dropped,
		Latency: histogramOf(&f.Latency), QueueWait: histogramOf(&f.QueueWait), Execution: histogramOf(&f.Execution),
	}
	if key.UID != "" {
		out.Endpoint = resourcename.Format("workspaces", f.Workspace, "endpoints", f.Endpoint)
	}
	return out
}

func histogramOf(h *histogram.Histogram) *telemetryv1.Histogram {
	s := h.Sparse()
	return &telemetryv1.Histogram{
		Offset: s.Offset, Counts: s.Counts, ZeroCount: s.Zero, SumNanos: int64(s.Sum), MaxNanos: int64(s.Max),
	}
}

func requestOf(figures int32, q *record.Request) *telemetryv1.RecordedRequest {
	return &telemetryv1.RecordedRequest{
		Figures: figures, ArrivalUnixNanos: q.Arrival.UnixNano(), Replica: q.Replica,
		LatencyNanos: int64(q.Latency), QueueWaitNanos: int64(q.QueueWait), ExecutionNanos: int64(q.Execution),
		RequestBytes: q.RequestBytes, ResponseBytes: q.ResponseBytes,
		RequestId: q.RequestID, ClientRequestId: q.ClientRequestID, TraceId: q.TraceID, Reason: q.Reason,
	}
}
