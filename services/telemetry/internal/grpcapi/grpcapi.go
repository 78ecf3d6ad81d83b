// Package grpcapi is the telemetry service's gRPC interface: reports come in,
// questions are answered. Servers hold no state of their own and are safe for
// concurrent use.
package grpcapi

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/histogram"
	"github.com/fairlead/fairlead/platform/resourcename"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/figure"
	"github.com/fairlead/fairlead/services/telemetry/internal/ledger"
	"github.com/fairlead/fairlead/services/telemetry/internal/requestlog"
	"github.com/fairlead/fairlead/services/telemetry/internal/tail"
)

// defaultRange is how far back a question goes that does not say.
const defaultRange = time.Hour

// Server is TelemetryService.
type Server struct {
	telemetryv1.UnsafeTelemetryServiceServer
	ledger *ledger.Ledger
	hub    *tail.Hub[requestlog.Request]
	now    func() time.Time
}

var _ telemetryv1.TelemetryServiceServer = (*Server)(nil)

// NewServer answers from the ledger and the hub.
func NewServer(l *ledger.Ledger, hub *tail.Hub[requestlog.Request], now func() time.Time) *Server {
	return &Server{ledger: l, hub: hub, now: now}
}

// parseEndpoint wants the name of an endpoint in the field.
func parseEndpoint(field, name string, bad *apierr.Violations) {
	if _, err := resourcename.NewPattern("workspaces/{workspace}/endpoints/{endpoint}").ParseField(field, name); err != nil {
		bad.Add(field, "must have the form workspaces/{workspace}/endpoints/{endpoint}, not %q", name)
	}
}

// parseRange gives the time that is asked for.
func (s *Server) parseRange(start, end *timestamppb.Timestamp, bad *apierr.Violations) (from, to time.Time) {
	to = s.now().UTC()
	if end != nil {
		if !end.IsValid() {
			bad.Add("end_time", "must be a time")
		}
		to = end.AsTime()
	}
	from = to.Add(-defaultRange)
	if start != nil {
		if !start.IsValid() {
			bad.Add("start_time", "must be a time")
		}
		from = start.AsTime()
	}
	if !from.Before(to) {
		bad.Add("start_time", "must be before end_time")
	}
	return from, to
}

// GetSummary adds up what the ledger has.
func (s *Server) GetSummary(_ context.Context, req *telemetryv1.GetSummaryRequest) (*telemetryv1.Summary, error) {
	var bad apierr.Violations
	parseEndpoint("name", req.GetName(), &bad)
	from, to := s.parseRange(req.GetStartTime(), req.GetEndTime(), &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	filter := figure.Filter{Endpoint: req.GetName(), UID: req.GetEndpointUid(), Versions: req.GetVersions(), From: from, To: to}
	if req.GetBaseline() != "" && len(filter.Versions) > 0 {
		filter.Versions = append(slices.Clone(filter.Versions), req.GetBaseline())
	}
	var sum figure.Summary
	if err := s.ledger.Scan(filter, sum.Add); err != nil {
		return nil, unreadable(err)
	}
	uid, others := sum.Newest()
	versions, total := sum.Versions(uid)
	out := &telemetryv1.Summary{
		Name: req.GetName(), EndpointUid: uid, StartTime: timestamppb.New(from), EndTime: timestamppb.New(to),
		Total: versionProto(total, to.Sub(from)), OtherEndpointUids: others,
	}
	var baseline *figure.Version
	for _, v := range versions {
		if v.Name == req.GetBaseline() && v.Name != "" {
			baseline = v
		}
	}
	for _, v := range versions {
		p := versionProto(v, to.Sub(from))
		if baseline != nil && v != baseline {
			p.Comparison = comparisonProto(v, baseline)
		}
		out.Versions = append(out.Versions, p)
	}
	return out, nil
}

func unreadable(err error) error {
	return apierr.New(apierr.DataLoss, "FIGURES_UNREADABLE", "part of the figures of this time cannot be read; the log of the telemetry service says which").Because(err)
}

func versionProto(v *figure.Version, over time.Duration) *telemetryv1.VersionSummary {
	p := &telemetryv1.VersionSummary{
		Version: v.Name, Requests: v.Requests, SuccessRate: v.SuccessRate(), RequestsPerSecond: float64(v.Requests) / over.Seconds(),
		Latency: durationProto(&v.Latency), QueueWait: durationProto(&v.QueueWait), Execution: durationProto(&v.Execution),
		RequestBytes: v.RequestBytes, ResponseBytes: v.ResponseBytes, DroppedRecords: v.Dropped,
	}
	for _, code := range slices.Sorted(maps.Keys(v.Codes)) {
		p.Codes = append(p.Codes, &telemetryv1.CodeCount{Code: int32(code), Requests: v.Codes[code]})
	}
	return p
}

func durationProto(h *histogram.Histogram) *telemetryv1.DurationSummary {
	return &telemetryv1.DurationSummary{
		P50: durationpb.New(h.Quantile(0.5)), P90: durationpb.New(h.Quantile(0.9)),
		P95: durationpb.New(h.Quantile(0.95)), P99: durationpb.New(h.Quantile(0.99)),
		Max: durationpb.New(h.Max()), Mean: durationpb.New(h.Mean()),
	}
}

func comparisonProto(v, baseline *figure.Version) *telemetryv1.VersionComparison {
	d, ok := figure.Compare(v, baseline)
	if !ok {
		return nil
	}
	return &telemetryv1.VersionComparison{
		FailureRateDifference: d.FailureRate, P50Difference: durationpb.New(d.P50),
		P95Difference: durationpb.New(d.P95), P99Difference: durationpb.New(d.P99),
	}
}
