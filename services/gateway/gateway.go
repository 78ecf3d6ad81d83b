// Package gateway is the control plane's one edge: a single listener for gRPC,
// REST and server-sent events, over HTTP/1.1 and HTTP/2 without TLS.
//
// The gateway decides nothing. Calls go on to the services with the caller's
// bearer token, and the services check it; to them the gateway is nobody. What
// it answers itself is health, reflection, the operations and the events of all
// services together, the OpenAPI document and the version. A Service is a
// component; all methods are safe for concurrent use.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/services/gateway/internal/eventstream"
	"github.com/fairlead/fairlead/services/gateway/internal/stopping"
)

// Config is what a user writes.
type Config struct {
	// Listen is the address of the control plane, host:port.
	Listen string
	// EventKeepAlive is how often a quiet stream of server-sent events shows
	// that it lives.
	EventKeepAlive time.Duration
	// DrainTimeout is how long calls may go on after the gateway is told to stop.
	DrainTimeout time.Duration
}

// NewDefaultConfig gives the defaults: this machine only.
func NewDefaultConfig() Config {
	return Config{Listen: "127.0.0.1:8081", EventKeepAlive: 15 * time.Second, DrainTimeout: 3 * time.Second}
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var problems []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		problems = append(problems, fmt.Errorf("the control plane's address must be host:port: %w", err))
	}
	if c.EventKeepAlive <= 0 {
		problems = append(problems, errors.New("the keep-alive interval of event streams must be above 0"))
	}
	if c.DrainTimeout < 0 {
		problems = append(problems, errors.New("the drain timeout must not be below 0"))
	}
	return errors.Join(problems...)
}

// EventLog is the log of all services' events.
type EventLog = eventstream.Log

// Deps is what the code hands over.
type Deps struct {
	Logger *slog.Logger
	// Conns are the connections to the services by name: auth, compute and
	// deploy; router and telemetry where there are such.
	Conns    map[string]*grpc.ClientConn
	EventLog EventLog
	Access   rpc.Access
	OpenAPI  []byte // the OpenAPI document, JSON
	Version  string
	// Wrap goes around all that is answered, to trace it; nil means nothing does.
	Wrap func(http.Handler) http.Handler
}

func (d Deps) validate() error {
	var problems []error
	for _, service := range []string{"auth", "compute", "deploy"} {
		if d.Conns[service] == nil {
			problems = append(problems, fmt.Errorf("the gateway needs a connection to %s", service))
		}
	}
	for _, service := range slices.Sorted(maps.Keys(d.Conns)) {
		if !slices.Contains([]string{"auth", "compute", "deploy", "router", "telemetry"}, service) {
			problems = append(problems, fmt.Errorf("the gateway knows no service %q", service))
		}
	}
	if d.Logger == nil || d.EventLog == nil || d.Access == nil || len(d.OpenAPI) == 0 {
		problems = append(problems, errors.New("the gateway needs a logger, the event log, access and the OpenAPI document"))
	}
	return errors.Join(problems...)
}

// Service is the gateway.
type Service struct {
	cfg      Config
	log      *slog.Logger
	handler  http.Handler
	grpc     *grpc.Server
	stopping *stopping.Signal
	addr     atomic.Value // string
	ready    chan struct{}
}

// New builds the gateway.
func New(ctx context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := errors.Join(cfg.Validate(), deps.validate()); err != nil {
		return nil, err
	}
	stop := stopping.New()
	e, err := newEdge(ctx, cfg, deps, stop)
	if err != nil {
		return nil, err
	}
	handler := e.handler()
	if deps.Wrap != nil {
		handler = deps.Wrap(handler)
	}
	return &Service{cfg: cfg, log: deps.Logger, handler: handler, grpc: e.grpc, stopping: stop, ready: make(chan struct{})}, nil
}

// Ready is closed when the gateway listens.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Addr is the address that the gateway listens on, "" before it is ready.
func (s *Service) Addr() string {
	addr, _ := s.addr.Load().(string)
	return addr
}

// Run listens and serves until ctx ends. Streams end then at once, other calls
// get the drain timeout to finish.
func (s *Service) Run(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("the control plane cannot listen: %w", err)
	}
	s.addr.Store(listener.Addr().String())
	requests, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	server := newHTTPServer(requests, s.handler, s.log)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	close(s.ready)
	select {
	case err := <-failed:
		return fmt.Errorf("the control plane's listener failed: %w", err)
	case <-ctx.Done():
	}
	s.stopping.Give()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainTimeout)
	defer cancel()
	err = server.Shutdown(drain)
	end()
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	s.grpc.Stop()
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// newHTTPServer has limits on what a caller may take, but none on how long an
// answer lasts: answers can be streams.
func newHTTPServer(requests context.Context, handler http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 1000, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
