package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
)

// Variables of the environment, as OpenTelemetry defines them. The exporters
// read the others (headers, certificates, timeouts) by themselves.
const (
	endpointVariable       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	traceEndpointVariable  = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocolVariable       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	traceProtocolVariable  = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	traceExporterVariable  = "OTEL_TRACES_EXPORTER"
	sdkDisabledVariable    = "OTEL_SDK_DISABLED"
	serviceNameVariable    = "OTEL_SERVICE_NAME"
	protocolGRPC           = "grpc"
	protocolHTTP           = "http/protobuf"
	instrumentation        = "github.com/fairlead/fairlead"
	exportTimeoutAtTheEnd  = 3 * time.Second
	defaultServiceName     = "fairlead"
	serviceNameAttribute   = "service.name"
	serviceVersionProperty = "service.version"
)

// TraceConfig is what tracing is set up from.
type TraceConfig struct {
	// Getenv reads the environment.
	Getenv func(string) string
	// Version of the program.
	Version string
}

// Tracing is where spans go. A nil Tracing traces nothing.
type Tracing struct {
	provider *sdktrace.TracerProvider
}

// NewTracing reads the environment; the answer is nil when it names no collector.
func NewTracing(ctx context.Context, cfg TraceConfig) (*Tracing, error) {
	endpoint := first(cfg.Getenv(traceEndpointVariable), cfg.Getenv(endpointVariable))
	if endpoint == "" || strings.EqualFold(cfg.Getenv(sdkDisabledVariable), "true") || cfg.Getenv(traceExporterVariable) == "none" {
		return nil, nil //nolint:nilnil // nil is a Tracing that does nothing
	}
	client, err := exporterClient(first(cfg.Getenv(traceProtocolVariable), cfg.Getenv(protocolVariable), protocolHTTP))
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("export traces to %s: %w", endpoint, err)
	}
	about, err := resource.New(ctx, resource.WithFromEnv(), resource.WithAttributes(
		attribute.String(serviceNameAttribute, first(cfg.Getenv(serviceNameVariable), defaultServiceName)),
		attribute.String(serviceVersionProperty, cfg.Version)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("describe this process to the collector of traces: %w", err), exporter.Shutdown(ctx))
	}
	return &Tracing{provider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))}, nil
}

func exporterClient(protocol string) (otlptrace.Client, error) {
	switch protocol {
	case protocolGRPC:
		return otlptracegrpc.NewClient(), nil
	case protocolHTTP:
		return otlptracehttp.NewClient(), nil
	}
	return nil, fmt.Errorf("%s=%s: must be %s or %s", protocolVariable, protocol, protocolGRPC, protocolHTTP)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Run sends what is left when ctx ends.
func (t *Tracing) Run(ctx context.Context) error {
	<-ctx.Done()
	if t == nil {
		return nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportTimeoutAtTheEnd)
	defer cancel()
	// A collector that is away is no reason to end badly.
	_ = t.provider.Shutdown(last)
	return nil
}

// Tracer makes spans; nil when nothing is traced.
func (t *Tracing) Tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer(instrumentation)
}

// options of gRPC: traces only, metrics are counted otherwise.
func (t *Tracing) options() []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
	}
}

// ServerOptions make a gRPC server trace its calls.
func (t *Tracing) ServerOptions() []grpc.ServerOption {
	if t == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(t.options()...))}
}

// DialOptions make a gRPC client trace its calls and pass the trace on.
func (t *Tracing) DialOptions() []grpc.DialOption {
	if t == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(t.options()...))}
}

// Wrap makes an HTTP handler part of the caller's trace, or of a new one. Spans
// are named by the method alone: paths have names in them.
func (t *Tracing) Wrap(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	tracer := t.Tracer()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)))
		defer span.End()
		// What passes the header on passes this span's.
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
