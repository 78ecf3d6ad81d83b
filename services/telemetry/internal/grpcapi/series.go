package grpcapi

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/figure"
)

const (
	usualPoints = 60
	mostPoints  = 1500
)

// QueryTimeSeries gives a metric over time.
func (s *Server) QueryTimeSeries(_ context.Context, req *telemetryv1.QueryTimeSeriesRequest) (*telemetryv1.QueryTimeSeriesResponse, error) {
	var bad apierr.Violations
	parseEndpoint("name", req.GetName(), &bad)
	from, to := s.parseRange(req.GetStartTime(), req.GetEndTime(), &bad)
	step := parseStep(req.GetStep(), to.Sub(from), &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	series := figure.NewSeries(step, groupOf(req.GetGroupBy()))
	filter := figure.Filter{Endpoint: req.GetName(), UID: req.GetEndpointUid(), Versions: req.GetVersions(), From: from, To: to}
	if err := s.ledger.Scan(filter, series.Add); err != nil {
		return nil, unreadable(err)
	}
	uid := series.Newest()
	out := &telemetryv1.QueryTimeSeriesResponse{Step: durationpb.New(step), EndpointUid: uid}
	for _, g := range series.Groups(uid) {
		one := &telemetryv1.TimeSeries{Version: g.Version, Code: int32(g.Code)}
		for _, p := range series.Points(uid, g) {
			one.Points = append(one.Points, &telemetryv1.TimeSeries_Point{
				Time: timestamppb.New(p.Start), Value: value(req.GetMetric(), &p.Version, step),
			})
		}
		out.Series = append(out.Series, one)
	}
	return out, nil
}

// parseStep gives the step in whole seconds.
func parseStep(asked *durationpb.Duration, over time.Duration, bad *apierr.Violations) time.Duration {
	if asked == nil {
		step := (over / usualPoints).Truncate(time.Second)
		return max(step, time.Second)
	}
	step := asked.AsDuration()
	switch {
	case step < time.Second || step != step.Truncate(time.Second):
		bad.Add("step", "must be whole seconds, from 1s")
	case over/step > mostPoints:
		bad.Add("step", "must be at least %v for a time of %v: there are %d points at most", (over / mostPoints).Round(time.Second), over, mostPoints)
	}
	return step
}

func groupOf(by telemetryv1.QueryTimeSeriesRequest_GroupBy) figure.GroupBy {
	switch by {
	case telemetryv1.QueryTimeSeriesRequest_GROUP_BY_VERSION:
		return figure.ByVersion
	case telemetryv1.QueryTimeSeriesRequest_GROUP_BY_CODE:
		return figure.ByCode
	default:
		return figure.ByNothing
	}
}

func value(metric telemetryv1.QueryTimeSeriesRequest_Metric, v *figure.Version, step time.Duration) float64 {
	switch metric {
	case telemetryv1.QueryTimeSeriesRequest_METRIC_REQUEST_RATE:
		return float64(v.Requests) / step.Seconds()
	case telemetryv1.QueryTimeSeriesRequest_METRIC_FAILURE_RATE:
		return v.FailureRate()
	case telemetryv1.QueryTimeSeriesRequest_METRIC_LATENCY_P50:
		return v.Latency.Quantile(0.5).Seconds()
	case telemetryv1.QueryTimeSeriesRequest_METRIC_LATENCY_P95:
		return v.Latency.Quantile(0.95).Seconds()
	case telemetryv1.QueryTimeSeriesRequest_METRIC_LATENCY_P99:
		return v.Latency.Quantile(0.99).Seconds()
	case telemetryv1.QueryTimeSeriesRequest_METRIC_LATENCY_MEAN:
		return v.Latency.Mean().Seconds()
	case telemetryv1.QueryTimeSeriesRequest_METRIC_QUEUE_WAIT_P95:
		return v.QueueWait.Quantile(0.95).Seconds()
	case telemetryv1.QueryTimeSeriesRequest_METRIC_EXECUTION_P95:
		return v.Execution.Quantile(0.95).Seconds()
	case telemetryv1.QueryTimeSeriesRequest_METRIC_REQUEST_BYTES:
		return float64(v.RequestBytes)
	case telemetryv1.QueryTimeSeriesRequest_METRIC_RESPONSE_BYTES:
		return float64(v.ResponseBytes)
	default: // METRIC_REQUESTS; the edge lets no other through
		return float64(v.Requests)
	}
}
