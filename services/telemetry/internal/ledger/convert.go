package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/histogram"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/figure"
	"github.com/fairlead/fairlead/services/telemetry/internal/requestlog"
)

// keyed is figures of a report with what they are of.
type keyed struct {
	key     figure.Key
	figures *figure.Figures
}

// read gives what is in a report; wrong says what could not be taken.
func read(report *telemetryv1.RecordRequest) (figures []keyed, requests []requestlog.Request, wrong error) {
	keys := make([]figure.Key, len(report.GetFigures()))
	for i, f := range report.GetFigures() {
		keys[i] = keyOf(f)
		of, err := figuresOf(f)
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("figures of %s: %w", f.GetEndpoint(), err))
			continue
		}
		figures = append(figures, keyed{keys[i], of})
	}
	for _, r := range report.GetRecords() {
		if r.GetFigures() < 0 || int(r.GetFigures()) >= len(keys) {
			wrong = errors.Join(wrong, fmt.Errorf("request %q belongs to no figures", r.GetRequestId()))
			continue
		}
		requests = append(requests, requestOf(keys[r.GetFigures()], r))
	}
	return figures, requests, wrong
}

func keyOf(f *telemetryv1.Figures) figure.Key {
	return figure.Key{Endpoint: f.GetEndpoint(), UID: f.GetEndpointUid(), Version: f.GetVersion(), Code: int(f.GetCode())}
}

func figuresOf(f *telemetryv1.Figures) (*figure.Figures, error) {
	out := &figure.Figures{
		Requests: f.GetRequests(), RequestBytes: f.GetRequestBytes(), ResponseBytes: f.GetResponseBytes(), Dropped: f.GetDroppedRecords(),
	}
	var problems [3]error
	out.Latency, problems[0] = histogramOf(f.GetLatency())
	out.QueueWait, problems[1] = histogramOf(f.GetQueueWait())
	out.Execution, problems[2] = histogramOf(f.GetExecution())
	return out, errors.Join(problems[:]...)
}

func histogramOf(h *telemetryv1.Histogram) (histogram.Histogram, error) {
	return histogram.FromSparse(histogram.Sparse{
		Offset: h.GetOffset(), Counts: h.GetCounts(), Zero: h.GetZeroCount(),
		Sum: time.Duration(h.GetSumNanos()), Max: time.Duration(h.GetMaxNanos()),
	})
}

func requestOf(key figure.Key, r *telemetryv1.RecordedRequest) requestlog.Request {
	return requestlog.Request{
		Arrival: r.GetArrivalUnixNanos(), Endpoint: key.Endpoint, EndpointUID: key.UID, Version: key.Version,
		Replica: r.GetReplica(), Code: int32(key.Code),
		Latency: r.GetLatencyNanos(), QueueWait: r.GetQueueWaitNanos(), Execution: r.GetExecutionNanos(),
		RequestBytes: r.GetRequestBytes(), ResponseBytes: r.GetResponseBytes(),
		RequestID: r.GetRequestId(), ClientRequestID: r.GetClientRequestId(), TraceID: r.GetTraceId(), Reason: r.GetReason(),
	}
}

// stored gives the figures of one step as they are in a segment.
func stored(at time.Time, of map[figure.Key]*figure.Figures) *telemetryv1.StoredFigures {
	out := &telemetryv1.StoredFigures{StartUnixNanos: at.UnixNano()}
	keys := slices.SortedFunc(maps.Keys(of), func(a, b figure.Key) int {
		return cmp.Or(strings.Compare(a.UID, b.UID), strings.Compare(a.Version, b.Version), cmp.Compare(a.Code, b.Code))
	})
	for _, key := range keys {
		f := of[key]
		out.Figures = append(out.Figures, &telemetryv1.Figures{
			Endpoint: key.Endpoint, EndpointUid: key.UID, Version: key.Version, Code: int32(key.Code),
			Requests: f.Requests, RequestBytes: f.RequestBytes, ResponseBytes: f.ResponseBytes, DroppedRecords: f.Dropped,
			Latency: histogramProto(&f.Latency), QueueWait: histogramProto(&f.QueueWait), Execution: histogramProto(&f.Execution),
		})
	}
	return out
}

func histogramProto(h *histogram.Histogram) *telemetryv1.Histogram {
	s := h.Sparse()
	return &telemetryv1.Histogram{
		Offset: s.Offset, Counts: s.Counts, ZeroCount: s.Zero, SumNanos: int64(s.Sum), MaxNanos: int64(s.Max),
	}
}
