// Package telemetry lets a process be watched by the tools that people have:
// Prometheus reads its metrics, and traces go to an OTLP collector when the
// environment names one (OTEL_EXPORTER_OTLP_ENDPOINT and the variables beside
// it, as OpenTelemetry defines them). Without one nothing is traced, at no cost.
//
// Nothing is global: what is made here is handed to those who use it. All
// functions and what they give are safe for concurrent use.
package telemetry

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// NewRegistry holds metrics, and has those of the process and of Go already.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler serves a registry's metrics in the formats that Prometheus reads.
func Handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// CallMetrics count the calls that a process's gRPC servers answer, by service,
// method and code. It is a stats.Handler, for any number of servers.
type CallMetrics struct {
	calls *prometheus.CounterVec
	took  *prometheus.HistogramVec
}

var _ stats.Handler = (*CallMetrics)(nil)

// NewCallMetrics adds the metrics to a registry.
func NewCallMetrics(r prometheus.Registerer) *CallMetrics {
	m := &CallMetrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_grpc_server_calls_total", Help: "Calls that gRPC servers have answered.",
		}, []string{"service", "method", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fairlead_grpc_server_call_duration_seconds", Help: "How long answering unary calls took.",
			Buckets: []float64{.001, .004, .016, .064, .25, 1, 4, 16},
		}, []string{"service"}),
	}
	r.MustRegister(m.calls, m.took)
	return m
}

// call is what is known of one while it lasts.
type call struct {
	service, method string
	streams         bool
}

type callKey struct{}

// TagRPC notes the method.
func (m *CallMetrics) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	service, method, _ := strings.Cut(strings.TrimPrefix(info.FullMethodName, "/"), "/")
	return context.WithValue(ctx, callKey{}, &call{service: service, method: method})
}

// HandleRPC counts a call at its end. Calls of methods that no server has do not
// come here, so callers cannot make up labels.
func (m *CallMetrics) HandleRPC(ctx context.Context, s stats.RPCStats) {
	of, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return
	}
	switch s := s.(type) {
	case *stats.Begin:
		of.streams = s.IsClientStream || s.IsServerStream
	case *stats.End:
		m.calls.WithLabelValues(of.service, of.method, status.Code(s.Error).String()).Inc()
		if !of.streams {
			m.took.WithLabelValues(of.service).Observe(s.EndTime.Sub(s.BeginTime).Seconds())
		}
	}
}

// TagConn does nothing.
func (m *CallMetrics) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn does nothing.
func (m *CallMetrics) HandleConn(context.Context, stats.ConnStats) {}
