package assembly

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/lifecycle"
	"github.com/fairlead/fairlead/platform/telemetry"
)

// observed is how a process is watched: its metrics, and where its traces go.
type observed struct {
	registry *prometheus.Registry
	calls    *telemetry.CallMetrics
	tracing  *telemetry.Tracing // nil when nothing is traced
}

func observe(ctx context.Context, deps Deps) (observed, error) {
	registry := telemetry.NewRegistry()
	o := observed{registry: registry, calls: telemetry.NewCallMetrics(registry)}
	if deps.Getenv == nil {
		return o, nil
	}
	var err error
	o.tracing, err = telemetry.NewTracing(ctx, telemetry.TraceConfig{Getenv: deps.Getenv, Version: deps.Version})
	return o, err
}

// serverOptions count and trace the calls of a gRPC server.
func (o observed) serverOptions() []grpc.ServerOption {
	return append(o.tracing.ServerOptions(), grpc.StatsHandler(o.calls))
}

// member sends the last spans when all else has ended.
func (o observed) member() lifecycle.Member {
	return lifecycle.Member{Name: "traces", Component: o.tracing}
}
