// Package router is the data plane: it takes scoring requests, checks their key,
// chooses a version by its share and a replica by its load, and forwards.
//
// It answers from an immutable table in memory, kept fresh by watches of the
// deploy, compute and auth services and kept on disk: with all of them down it
// goes on, also after a restart. No request waits for anything but a replica.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"

	"github.com/fairlead/fairlead/services/router/internal/arrival"
	"github.com/fairlead/fairlead/services/router/internal/feed"
	"github.com/fairlead/fairlead/services/router/internal/grpcapi"
	"github.com/fairlead/fairlead/services/router/internal/httpapi"
	"github.com/fairlead/fairlead/services/router/internal/loadreport"
	"github.com/fairlead/fairlead/services/router/internal/proxy"
	"github.com/fairlead/fairlead/services/router/internal/record"
	"github.com/fairlead/fairlead/services/router/internal/reporting"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
	"github.com/fairlead/fairlead/services/router/internal/snapshot"
)

// Config is what a user writes.
type Config struct {
	// Listen is the host:port of the data plane.
	Listen string
	// SnapshotPath is the file that the table is kept in; empty means none.
	SnapshotPath string
	// ReportsPath is the file for figures that could not be reported before the
	// router stopped; empty means they are lost.
	ReportsPath string
	// MaxBodyBytes is the largest body of a request.
	MaxBodyBytes int64
	// DrainTimeout is how long requests may go on after the router is told to stop.
	DrainTimeout time.Duration
}

// NewDefaultConfig listens on loopback and keeps no snapshot.
func NewDefaultConfig() Config {
	return Config{Listen: "127.0.0.1:8080", MaxBodyBytes: 100 << 20, DrainTimeout: 30 * time.Second}
}

// Validate names everything that is wrong.
func (c Config) Validate() error {
	var wrong []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		wrong = append(wrong, fmt.Errorf("listen must be host:port, not %q", c.Listen))
	}
	if c.MaxBodyBytes <= 0 {
		wrong = append(wrong, fmt.Errorf("max body bytes must be above 0, not %d", c.MaxBodyBytes))
	}
	if c.DrainTimeout < 0 {
		wrong = append(wrong, fmt.Errorf("drain timeout must not be negative, not %v", c.DrainTimeout))
	}
	return errors.Join(wrong...)
}

// Deps are what the code hands over.
type Deps struct {
	Logger *slog.Logger
	// Connections to the services whose watches are followed.
	Deploy, Compute, Auth grpc.ClientConnInterface
	// Telemetry takes figures and records of requests; nil means nothing is counted.
	Telemetry grpc.ClientConnInterface
	// Metrics shows the figures to Prometheus; nil means nobody sees them.
	Metrics prometheus.Registerer
	// Tracer makes spans of requests; nil means nothing is traced.
	Tracer trace.Tracer
	// Clock says what time it is; nil means the machine's.
	Clock func() time.Time
	// Version of the product, for those who ask the server what it is.
	Version string
}

// Service is a router.
type Service struct {
	config    Config
	logger    *slog.Logger
	clock     func() time.Time
	version   string
	listener  net.Listener
	routes    *routetable.Current
	forwarder *proxy.Forwarder
	feed      *feed.Feed
	load      *loadreport.Reporter
	tracer    trace.Tracer
	recorder  *record.Recorder    // nil with reports
	reports   *reporting.Reporter // nil without a telemetry service
	saver     *snapshot.Saver     // nil without a path
	ready     <-chan struct{}
}

// New binds the listener and loads the snapshot. A snapshot that cannot be used
// is logged and ignored.
func New(ctx context.Context, config Config, deps Deps) (*Service, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("router configuration: %w", err)
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	s := &Service{
		config: config, logger: deps.Logger, clock: deps.Clock, version: deps.Version, routes: routetable.NewCurrent(), forwarder: proxy.New(), tracer: deps.Tracer,
	}
	s.load = loadreport.New(loadreport.Deps{Logger: deps.Logger, Deploy: deps.Deploy, Routes: s.routes})
	if err := s.count(config, deps); err != nil {
		return nil, fmt.Errorf("router metrics: %w", err)
	}
	var last *routerv1.Snapshot
	if config.SnapshotPath != "" {
		s.saver = snapshot.NewSaver(config.SnapshotPath, deps.Logger)
		var err error
		if last, _, err = snapshot.Load(config.SnapshotPath); err != nil {
			deps.Logger.Warn("snapshot of routes not used", "error", err)
		}
	}
	s.feed = feed.New(feed.Deps{
		Logger: deps.Logger, Deploy: deps.Deploy, Compute: deps.Compute, Auth: deps.Auth,
		Install: s.installer(deps.Clock),
	}, last)
	s.ready = s.feed.Synced()
	if last != nil {
		s.ready = closed()
	}
	var listen net.ListenConfig
	var err error
	if s.listener, err = listen.Listen(ctx, "tcp", config.Listen); err != nil {
		return nil, fmt.Errorf("router data plane: %w", err)
	}
	return s, nil
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// installer builds the next table from each state and keeps the state on disk,
// once it is whole.
func (s *Service) installer(clock func() time.Time) func(*feed.State) {
	builder := routetable.NewBuilder(s.load.Wake)
	return func(state *feed.State) {
		s.routes.Install(builder.Build(state.Inputs(), s.routes.Load(), clock()))
		if s.saver != nil && state.Complete() {
			s.saver.Offer(state.Snapshot(clock()))
		}
	}
}

// Register adds RouterService.
func (s *Service) Register(registrar grpc.ServiceRegistrar) {
	routerv1.RegisterRouterServiceServer(registrar, grpcapi.New(s.routes, s.feed.Fresh))
}

// Addr is where the data plane listens.
func (s *Service) Addr() net.Addr { return s.listener.Addr() }

// Ready is closed when requests can be answered: at once with a snapshot,
// otherwise when all that exists has been heard of.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends, then finishes what it has within DrainTimeout. It
// is called once.
func (s *Service) Run(ctx context.Context) error {
	// The feed goes on while requests finish: they may still wait for replicas.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	results := make(chan error, 4)
	parts := 2
	go func() { results <- s.feed.Run(inner) }()
	go func() { results <- s.load.Run(inner) }()
	if s.reports != nil {
		parts++
		go func() { results <- s.reports.Run(inner) }()
	}
	if s.saver != nil {
		parts++
		go func() { results <- s.saver.Run(inner) }()
	}
	errs := []error{s.serve(ctx)}
	stop()
	for range parts {
		errs = append(errs, <-results)
	}
	s.forwarder.Close()
	return errors.Join(errs...)
}

func (s *Service) serve(ctx context.Context) error {
	handling := httpapi.Deps{
		Logger: s.logger, Clock: s.clock, Routes: s.routes, Forwarder: s.forwarder, MaxBodyBytes: s.config.MaxBodyBytes, Version: s.version,
	}
	if s.recorder != nil {
		handling.Count = s.recorder.Observe
	}
	handling.Tracer = s.tracer
	server := newHTTPServer(httpapi.New(handling), s.logger)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(arrival.Listener{Listener: s.listener}) }()
	select {
	case err := <-failed:
		return fmt.Errorf("router data plane: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		s.logger.Warn("requests were cut off because they did not end within the drain timeout", "drain_timeout", s.config.DrainTimeout)
		_ = server.Close() // only says what could not be closed in order
	}
	s.forwarder.Drain(drain)
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newHTTPServer serves HTTP/1.1, and HTTP/2 without TLS, which gRPC is.
func newHTTPServer(handler http.Handler, logger *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         &protocols,
		ConnContext:       arrival.Context,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
