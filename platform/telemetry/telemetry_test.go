package telemetry_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/platform/telemetry"
)

// collector is a real OTLP receiver, by gRPC and by HTTP.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer

	mu    sync.Mutex
	spans []*tracev1.Span
}

func (c *collector) Export(_ context.Context, req *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range req.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			c.spans = append(c.spans, s.GetSpans()...)
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	req := &collectorv1.ExportTraceServiceRequest{}
	if err := proto.Unmarshal(content, req); err != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.Export(r.Context(), req)
}

func (c *collector) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, s := range c.spans {
		names = append(names, s.GetName())
	}
	slices.Sort(names)
	return names
}

// listen serves the collector and gives the environment that names it.
func (c *collector) listen(t *testing.T, protocol string) map[string]string {
	if protocol != "grpc" {
		server := httptest.NewServer(c)
		t.Cleanup(server.Close)
		return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + listener.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
}

// tracing sets up tracing as a program does, from its environment.
func tracing(t *testing.T, env map[string]string) (*telemetry.Tracing, func()) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value) // the exporters read it by themselves
	}
	tr, err := telemetry.NewTracing(t.Context(), telemetry.TraceConfig{Getenv: func(name string) string { return env[name] }, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	return tr, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestTraceGoesThroughHTTPAndGRPC(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			c := &collector{}
			tr, stop := tracing(t, c.listen(t, protocol))
			defer stop()
			listener := bufconn.Listen(1 << 16)
			server := grpc.NewServer(tr.ServerOptions()...)
			healthpb.RegisterHealthServer(server, health.NewServer())
			go server.Serve(listener)
			defer server.Stop()
			conn, err := grpc.NewClient("passthrough:///health", append(tr.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			front := tr.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if _, err := healthpb.NewHealthClient(conn).Check(r.Context(), &healthpb.HealthCheckRequest{}); err != nil {
					t.Error(err)
				}
			}))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
			r.Header.Set("traceparent", "00-"+trace+"-"+parent+"-01")
			front.ServeHTTP(httptest.NewRecorder(), r)
			// The answer leaves before the server's span ends.
			server.GracefulStop()
			stop()

			if want := []string{"GET", "grpc.health.v1.Health/Check", "grpc.health.v1.Health/Check"}; !slices.Equal(c.names(), want) {
				t.Fatalf("spans are %v, want %v", c.names(), want)
			}
			parents := map[string]bool{parent: true}
			for _, s := range c.spans {
				parents[hexOf(s.GetSpanId())] = true
			}
			for _, s := range c.spans {
				if hexOf(s.GetTraceId()) != trace || !parents[hexOf(s.GetParentSpanId())] {
					t.Errorf("span %s is of trace %x under %x", s.GetName(), s.GetTraceId(), s.GetParentSpanId())
				}
			}
		})
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, c := range b {
		out.WriteByte(digits[c>>4])
		out.WriteByte(digits[c&15])
	}
	return out.String()
}

func TestTracingIsOff(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing set": {},
		"disabled":    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		"no exporter": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			tr, stop := tracing(t, env)
			defer stop()
			if tr != nil || tr.Tracer() != nil || tr.ServerOptions() != nil || tr.DialOptions() != nil {
				t.Error("something is traced")
			}
			w := httptest.NewRecorder()
			tr.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })).
				ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if w.Code != http.StatusTeapot {
				t.Errorf("the answer is %d", w.Code)
			}
		})
	}
	_, err := telemetry.NewTracing(t.Context(), telemetry.TraceConfig{Getenv: func(string) string { return "carrier-pigeon" }})
	if err == nil || !strings.Contains(err.Error(), "http/protobuf") {
		t.Errorf("an unknown protocol gives %v", err)
	}
}

func TestCallsAreCounted(t *testing.T) {
	registry := telemetry.NewRegistry()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.StatsHandler(telemetry.NewCallMetrics(registry)))
	healthpb.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	conn, err := grpc.NewClient("passthrough:///health", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	client := healthpb.NewHealthClient(conn)
	client.Check(t.Context(), &healthpb.HealthCheckRequest{})
	client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "no such"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn.Invoke(ctx, "/made.up.Service/Name", &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{})
	conn.Close()
	server.GracefulStop() // calls are counted when it returns
	w := httptest.NewRecorder()
	telemetry.Handler(registry).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{
		`fairlead_grpc_server_calls_total{code="OK",method="Check",service="grpc.health.v1.Health"} 1`,
		`fairlead_grpc_server_calls_total{code="NotFound",method="Check",service="grpc.health.v1.Health"} 1`,
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(text, "made.up") {
		t.Error("a made-up name is a label")
	}
}
