package assembly

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/audit"
	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/lifecycle"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store/jetstream"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// The services, by the names under which they find each other.
const (
	authService      = "auth"
	telemetryService = "telemetry"
	computeService   = "compute"
	deployService    = "deploy"
	routerService    = "router"
	gatewayService   = rpc.Gateway
	natsService      = "nats"
)

// Services are all names that Serve takes, in the order of their start: a router
// reports its last figures when it stops, so telemetry is there before it.
func Services() []string {
	return []string{natsService, authService, telemetryService, computeService, deployService, routerService, gatewayService}
}

// site is the place where services of one process are built.
type site struct {
	log     *slog.Logger
	version string
	clock   func() time.Time
	dataDir string
	observed
	network func(service string) (rpc.Network, error)
	nats    func(service string) (bus.Target, error)
	// trouble says what is wrong with the NATS server of this process; nil where there
	// is none.
	trouble func() string
	// addresses are filled in as listeners are built.
	addresses listening
	closers   []func() error
}

// close releases what the services were given, in reverse order.
func (s *site) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i](); err != nil {
			s.log.Warn("a connection was not closed cleanly", "error", err)
		}
	}
	s.closers = nil
}

// connections is the member of a group that closes all connections when the
// members after it have ended.
func (s *site) connections() lifecycle.Member {
	return lifecycle.Member{Name: "connections", Component: lifecycle.Func(func(ctx context.Context) error {
		<-ctx.Done()
		s.close()
		return nil
	})}
}

func (s *site) path(parts ...string) string {
	return filepath.Join(append([]string{s.dataDir}, parts...)...)
}

// dial connects one service to another.
func (s *site) dial(from, to string) (*grpc.ClientConn, error) {
	network, err := s.network(from)
	if err != nil {
		return nil, err
	}
	conn, err := network.Dial(from, to)
	if err != nil {
		return nil, fmt.Errorf("connect %s to %s: %w", from, to, err)
	}
	s.closers = append(s.closers, conn.Close)
	return conn, nil
}

func (s *site) connectNATS(ctx context.Context, service string) (*nats.Conn, natsjetstream.JetStream, error) {
	target, err := s.nats(service)
	if err != nil {
		return nil, nil, err
	}
	conn, err := bus.Connect(ctx, target, s.log)
	if err != nil {
		return nil, nil, fmt.Errorf("connect %s to NATS: %w", service, err)
	}
	s.closers = append(s.closers, func() error { conn.Close(); return nil })
	js, err := natsjetstream.New(conn)
	return conn, js, err
}

// store opens the state of a service and adds its events to the public log.
func (s *site) store(ctx context.Context, service string) (*jetstream.Store, error) {
	conn, js, err := s.connectNATS(ctx, service)
	if err != nil {
		return nil, err
	}
	st, err := jetstream.Open(ctx, jetstream.Config{Service: service}, jetstream.Deps{Conn: conn, Logger: s.log})
	if err != nil {
		return nil, fmt.Errorf("open the state of %s: %w", service, err)
	}
	if err := events.EnsureLog(ctx, js, events.LogConfig{}, service); err != nil {
		return nil, fmt.Errorf("add %s to the event log: %w", service, err)
	}
	return st, nil
}

// registrar is a service that has methods.
type registrar interface {
	lifecycle.Component
	Register(grpc.ServiceRegistrar)
}

// serve gives a service and its gRPC server as members of a group.
func (s *site) serve(name string, service registrar, access rpc.Access) ([]lifecycle.Member, error) {
	network, err := s.network(name)
	if err != nil {
		return nil, err
	}
	listener, err := network.Listen(name)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	trail, err := s.auditTrail(name)
	if err != nil {
		return nil, err
	}
	server, err := rpc.NewServer(listener, rpc.ServerDeps{
		Logger: s.log.With("service", name), Access: access, Audit: trail, Credentials: network.Credentials(),
		Options: s.serverOptions(),
		// The first decides on the token that it is given; the second is public.
		Open: []string{authv1.AccessService_CheckAccess_FullMethodName, authv1.TokenService_GetJwks_FullMethodName},
	})
	if err != nil {
		return nil, err
	}
	service.Register(server)
	return []lifecycle.Member{
		{Name: name, Component: service}, {Name: name + " audit trail", Component: trail}, {Name: name + " server", Component: server},
	}, nil
}

// auditTrail brings what a service notes of calls to the audit log.
func (s *site) auditTrail(service string) (*audit.Trail, error) {
	conn, err := s.dial(service, authService)
	if err != nil {
		return nil, err
	}
	client := authv1.NewAuditServiceClient(conn)
	send := func(ctx context.Context, id string, entries []audit.Entry) error {
		req := &authv1.RecordAuditEntriesRequest{BatchId: id}
		for _, e := range entries {
			req.AuditEntries = append(req.AuditEntries, &authv1.AuditEntry{
				Time: timestamppb.New(e.Time), Principal: e.Principal, Method: e.Method, Resource: e.Resource, Details: e.Details,
				ClientAddress: e.ClientAddress, Denied: e.Denied, Code: e.Code.String(), Message: e.Message,
				RequestId: e.RequestID, Count: e.Count,
			})
		}
		_, err := client.RecordAuditEntries(ctx, req)
		return err
	}
	return audit.NewTrail(send, s.log.With("service", service)), nil
}

// access is the auth service as the servers of other services ask it.
type access struct{ client authv1.AccessServiceClient }

// Check asks the auth service.
func (a access) Check(ctx context.Context, token, method, resource string) (string, error) {
	answer, err := a.client.CheckAccess(ctx, &authv1.CheckAccessRequest{Token: token, Method: method, Resource: resource})
	return answer.GetPrincipal(), err
}

func (s *site) access(from string) (rpc.Access, error) {
	conn, err := s.dial(from, authService)
	if err != nil {
		return nil, err
	}
	return access{authv1.NewAccessServiceClient(conn)}, nil
}
