package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/histogram"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const endpoint = "workspaces/default/endpoints/diabetes"

// bed is a service behind a real connection.
type bed struct {
	t         *testing.T
	records   telemetryv1.RecordServiceClient
	telemetry telemetryv1.TelemetryServiceClient
	stop      func()
}

func start(t *testing.T, folder string) *bed {
	t.Helper()
	cfg := NewDefaultConfig()
	cfg.DataDir = folder
	s, err := New(cfg, Deps{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return asStatus(handler(srv, ss))
	}), grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		answer, err := handler(ctx, req)
		return answer, asStatus(err)
	}))
	s.Register(server)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { server.Serve(listener) })
	parts.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///telemetry", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		conn.Close()
		server.Stop()
		cancel()
		parts.Wait()
	})
	t.Cleanup(stop)
	return &bed{t, telemetryv1.NewRecordServiceClient(conn), telemetryv1.NewTelemetryServiceClient(conn), stop}
}

func asStatus(err error) error {
	if err == nil {
		return nil
	}
	return apierr.ToStatus(err).Err()
}

// report sends reports as a router does and waits for their answers.
func (b *bed) report(reports ...*telemetryv1.RecordRequest) {
	b.t.Helper()
	stream, err := b.records.Record(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range reports {
		if err := stream.Send(r); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, r := range reports {
		answer, err := stream.Recv()
		if err != nil || answer.GetRouter() != r.GetRouter() || answer.GetSequence() != r.GetSequence() {
			b.t.Fatalf("the answer to report %d is %v, %v", r.GetSequence(), answer, err)
		}
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF {
		b.t.Fatalf("the stream ends with %v", err)
	}
}

// requests makes figures, and a record of each request.
func requests(r *telemetryv1.RecordRequest, uid, version string, code int32, latencies ...time.Duration) {
	var h histogram.Histogram
	for k, d := range latencies {
		h.Add(d)
		r.Records = append(r.Records, &telemetryv1.RecordedRequest{
			Figures: int32(len(r.GetFigures())), ArrivalUnixNanos: r.GetStartTime().AsTime().Add(time.Duration(k) * time.Microsecond).UnixNano(),
			LatencyNanos: int64(d), RequestId: fmt.Sprintf("%s-%d-%d", version, code, k), TraceId: "t",
		})
	}
	s := h.Sparse()
	p := &telemetryv1.Histogram{Offset: s.Offset, Counts: s.Counts, ZeroCount: s.Zero, SumNanos: int64(s.Sum), MaxNanos: int64(s.Max)}
	r.Figures = append(r.Figures, &telemetryv1.Figures{
		Endpoint: endpoint, EndpointUid: uid, Version: version, Code: code, Requests: int64(len(latencies)),
		RequestBytes: 10 * int64(len(latencies)), Latency: p, QueueWait: p, Execution: p,
	})
}

func newReport(sequence int64, at time.Time) *telemetryv1.RecordRequest {
	return &telemetryv1.RecordRequest{Router: "a", Sequence: sequence, StartTime: timestamppb.New(at), EndTime: timestamppb.New(at.Add(time.Second))}
}

func TestSummary(t *testing.T) {
	folder := t.TempDir()
	b := start(t, folder)
	random := rand.New(rand.NewPCG(1, 2))
	var control, treatment []time.Duration
	for range 5000 {
		control = append(control, time.Duration(float64(20*time.Millisecond)*math.Exp(0.5*random.NormFloat64())))
		treatment = append(treatment, time.Duration(float64(30*time.Millisecond)*math.Exp(0.5*random.NormFloat64())))
	}
	now := time.Now()
	old := newReport(1, now.Add(-30*time.Minute))
	requests(old, "before", "control", 200, time.Second)
	r := newReport(2, now.Add(-time.Minute))
	requests(r, "u", "control", 200, control...)
	requests(r, "u", "treatment", 200, treatment[:4900]...)
	requests(r, "u", "treatment", 502, treatment[4900:]...)
	requests(r, "u", "", 401, 0, 0)
	b.report(old, r, r, old)
	b.stop()
	b = start(t, folder)
	b.report(old, r)
	sum, err := b.telemetry.GetSummary(t.Context(), &telemetryv1.GetSummaryRequest{Name: endpoint, Baseline: "control"})
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Requests    int64
		Codes       string
		SuccessRate float64
	}
	got := map[string]row{}
	for _, v := range sum.GetVersions() {
		got[v.GetVersion()] = row{v.GetRequests(), fmt.Sprint(v.GetCodes()), v.GetSuccessRate()}
	}
	code := func(c int32, n int64) *telemetryv1.CodeCount { return &telemetryv1.CodeCount{Code: c, Requests: n} }
	want := map[string]row{
		"":          {2, fmt.Sprint([]*telemetryv1.CodeCount{code(401, 2)}), 0},
		"control":   {5000, fmt.Sprint([]*telemetryv1.CodeCount{code(200, 5000)}), 1},
		"treatment": {5000, fmt.Sprint([]*telemetryv1.CodeCount{code(200, 4900), code(502, 100)}), 0.98},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	if sum.GetEndpointUid() != "u" || !slices.Equal(sum.GetOtherEndpointUids(), []string{"before"}) || sum.GetTotal().GetRequests() != 10_002 {
		t.Errorf("uid %s, others %v, %d in all", sum.GetEndpointUid(), sum.GetOtherEndpointUids(), sum.GetTotal().GetRequests())
	}
	for k, all := range map[int][]time.Duration{1: control, 2: treatment} {
		slices.Sort(all)
		l := sum.GetVersions()[k].GetLatency()
		for q, got := range map[float64]*durationpb.Duration{0.5: l.GetP50(), 0.95: l.GetP95(), 0.99: l.GetP99()} {
			want := all[int(math.Ceil(q*float64(len(all))))-1]
			if off := math.Abs(float64(got.AsDuration()-want)) / float64(want); off > 0.01 {
				t.Errorf("quantile %v is %v, want %v", q, got.AsDuration(), want)
			}
		}
		if l.GetMax().AsDuration() != all[len(all)-1] {
			t.Errorf("the longest is %v, want %v", l.GetMax().AsDuration(), all[len(all)-1])
		}
	}
	c := sum.GetVersions()[2].GetComparison()
	if math.Abs(c.GetFailureRateDifference()-0.02) > 1e-9 || c.GetP95Difference().AsDuration() <= 0 || sum.GetVersions()[1].GetComparison() != nil {
		t.Errorf("the comparison is %v", c)
	}
	// A deleted endpoint's figures stay.
	sum, err = b.telemetry.GetSummary(t.Context(), &telemetryv1.GetSummaryRequest{Name: endpoint, EndpointUid: "before"})
	if err != nil || sum.GetTotal().GetRequests() != 1 {
		t.Errorf("of the endpoint before there are %v, %v", sum.GetTotal(), err)
	}
}

func TestTimeSeries(t *testing.T) {
	b := start(t, t.TempDir())
	at := time.Now().Truncate(time.Minute).Add(-10 * time.Minute)
	for k := range int64(6) {
		r := newReport(k+1, at.Add(time.Duration(k)*30*time.Second))
		requests(r, "u", "v1", 200, time.Millisecond, 2*time.Millisecond)
		requests(r, "u", "v2", 502, time.Second)
		b.report(r)
	}
	query := func(metric telemetryv1.QueryTimeSeriesRequest_Metric, by telemetryv1.QueryTimeSeriesRequest_GroupBy) map[string][]float64 {
		t.Helper()
		r, err := b.telemetry.QueryTimeSeries(t.Context(), &telemetryv1.QueryTimeSeriesRequest{
			Name: endpoint, Metric: metric, GroupBy: by, Step: durationpb.New(time.Minute),
		})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]float64{}
		for _, s := range r.GetSeries() {
			for k, p := range s.GetPoints() {
				if want := at.Add(time.Duration(k) * time.Minute); !p.GetTime().AsTime().Equal(want) {
					t.Errorf("point %d is at %v, want %v", k, p.GetTime().AsTime(), want)
				}
				id := fmt.Sprintf("%s/%d", s.GetVersion(), s.GetCode())
				got[id] = append(got[id], p.GetValue())
			}
		}
		return got
	}
	for _, test := range []struct {
		metric telemetryv1.QueryTimeSeriesRequest_Metric
		by     telemetryv1.QueryTimeSeriesRequest_GroupBy
		want   map[string][]float64
	}{
		{telemetryv1.QueryTimeSeriesRequest_METRIC_REQUESTS, 0, map[string][]float64{"/0": {6, 6, 6}}},
		{telemetryv1.QueryTimeSeriesRequest_METRIC_REQUESTS, 1, map[string][]float64{"v1/0": {4, 4, 4}, "v2/0": {2, 2, 2}}},
		{telemetryv1.QueryTimeSeriesRequest_METRIC_REQUEST_RATE, 2, map[string][]float64{"/200": {4. / 60, 4. / 60, 4. / 60}, "/502": {2. / 60, 2. / 60, 2. / 60}}},
		{telemetryv1.QueryTimeSeriesRequest_METRIC_FAILURE_RATE, 0, map[string][]float64{"/0": {1. / 3, 1. / 3, 1. / 3}}},
		{telemetryv1.QueryTimeSeriesRequest_METRIC_REQUEST_BYTES, 0, map[string][]float64{"/0": {60, 60, 60}}},
	} {
		if diff := cmp.Diff(test.want, query(test.metric, test.by)); diff != "" {
			t.Errorf("%v by %v (-want +got):\n%s", test.metric, test.by, diff)
		}
	}
}

func TestRequestsArePaged(t *testing.T) {
	b := start(t, t.TempDir())
	r := newReport(1, time.Now().Add(-time.Minute))
	requests(r, "u", "v1", 200, make([]time.Duration, 25)...)
	requests(r, "u", "v2", 503, time.Second)
	b.report(r)
	req := &telemetryv1.ListRequestsRequest{Parent: endpoint, PageSize: 10, Versions: []string{"v1"}}
	var got []string
	for pages := 1; ; pages++ {
		page, err := b.telemetry.ListRequests(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.GetRequests() {
			got = append(got, r.GetRequestId())
		}
		if page.GetNextPageToken() == "" {
			if pages != 3 {
				t.Errorf("there are %d pages, want 3", pages)
			}
			break
		}
		req.PageToken = page.GetNextPageToken()
	}
	var want []string
	for k := range 25 {
		want = append(want, fmt.Sprintf("v1-200-%d", 24-k))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	for name, filter := range map[string]*telemetryv1.ListRequestsRequest{
		"code":    {Parent: endpoint, CodeClass: 5},
		"latency": {Parent: endpoint, MinLatency: durationpb.New(time.Millisecond)},
		"id":      {Parent: endpoint, RequestId: "v2-503-0"},
	} {
		page, err := b.telemetry.ListRequests(t.Context(), filter)
		if err != nil || len(page.GetRequests()) != 1 || page.GetRequests()[0].GetVersion() != "v2" {
			t.Errorf("by %s: %v, %v", name, page, err)
		}
	}
	req.Versions = nil
	if _, err := b.telemetry.ListRequests(t.Context(), req); status.Code(err) != codes.InvalidArgument {
		t.Errorf("the token of another list: %v", err)
	}
}

func TestTail(t *testing.T) {
	b := start(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := b.telemetry.TailRequests(ctx, &telemetryv1.TailRequestsRequest{Name: endpoint, Versions: []string{"v2"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	r := newReport(1, time.Now())
	requests(r, "u", "v1", 200, 1, 2, 3)
	requests(r, "u", "v2", 200, 7)
	b.report(r, r)
	got, err := stream.Recv()
	if err != nil || got.GetRequest().GetRequestId() != "v2-200-0" {
		t.Fatalf("the stream gives %v, %v", got, err)
	}
	cancel()
	if got, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("then comes %v, %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	b := start(t, t.TempDir())
	now := timestamppb.Now()
	for name, call := range map[string]func() error{
		"name": func() error {
			_, err := b.telemetry.GetSummary(t.Context(), &telemetryv1.GetSummaryRequest{Name: "diabetes"})
			return err
		},
		"range": func() error {
			_, err := b.telemetry.GetSummary(t.Context(), &telemetryv1.GetSummaryRequest{Name: endpoint, StartTime: now, EndTime: now})
			return err
		},
		"step": func() error {
			_, err := b.telemetry.QueryTimeSeries(t.Context(), &telemetryv1.QueryTimeSeriesRequest{Name: endpoint, Step: durationpb.New(time.Millisecond)})
			return err
		},
		"points": func() error {
			_, err := b.telemetry.QueryTimeSeries(t.Context(), &telemetryv1.QueryTimeSeriesRequest{Name: endpoint, Step: durationpb.New(time.Second)})
			return err
		},
		"report": func() error {
			stream, err := b.records.Record(t.Context())
			if err != nil {
				return err
			}
			stream.Send(&telemetryv1.RecordRequest{})
			_, err = stream.Recv()
			return err
		},
	} {
		if err := call(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", name, err)
		}
	}
	cfg := Config{}
	if err := cfg.Validate(); err == nil {
		t.Error("an empty configuration is good")
	}
}
