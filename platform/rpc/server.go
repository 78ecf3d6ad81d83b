package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// Access decides on calls that carry a bearer token.
type Access interface {
	// Check says who the token's bearer is, or refuses the call with an
	// *apierr.Error. method is the full gRPC method; resource is the name or
	// parent in the request, "" when there is none.
	Check(ctx context.Context, token, method, resource string) (principal string, err error)
}

// ServerDeps is what a server needs.
type ServerDeps struct {
	Logger *slog.Logger
	Access Access
	// Audit is told of calls that belong in an audit log; nil means nobody.
	Audit       Auditor
	Credentials credentials.TransportCredentials
	// Open are full methods that anybody may call, because they look at the
	// caller's token themselves.
	Open []string
	// Options come last, for servers that do more than serve their methods.
	Options []grpc.ServerOption
}

// Server is a gRPC server with health and reflection. It is a component.
type Server struct {
	*grpc.Server
	health   *health.Server
	listener net.Listener
	stopping context.CancelFunc
}

// NewServer makes the server; register services on it, then Run it.
func NewServer(listener net.Listener, deps ServerDeps) (*Server, error) {
	if deps.Logger == nil || deps.Access == nil || deps.Credentials == nil {
		return nil, errors.New("a server needs a logger, access and credentials")
	}
	validator, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("make the request validator: %w", err)
	}
	quit, stopping := context.WithCancel(context.Background())
	edge := &edge{log: deps.Logger, access: deps.Access, audit: deps.Audit, open: deps.Open, validate: validator, quit: quit}
	options := append([]grpc.ServerOption{
		grpc.Creds(deps.Credentials),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.UnaryInterceptor(edge.unary),
		grpc.StreamInterceptor(edge.stream),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}, deps.Options...)
	s := &Server{Server: grpc.NewServer(options...), health: health.NewServer(), listener: listener, stopping: stopping}
	healthpb.RegisterHealthServer(s.Server, s.health)
	reflection.Register(s.Server)
	return s, nil
}

// stopTimeout is how long calls may go on after a server is told to stop.
const stopTimeout = 3 * time.Second

// Run serves until ctx ends; streams end then, other calls under way get a short
// while to finish.
func (s *Server) Run(ctx context.Context) error {
	defer s.stopping()
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(s.listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.health.Shutdown()
	s.stopping()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.GracefulStop()
	}()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-stopped:
	case <-timer.C:
		s.Stop()
		<-stopped
	}
	if err := <-failed; !errors.Is(err, grpc.ErrServerStopped) { // stopped before it began
		return err
	}
	return nil
}
