// Package health tells whether the control plane can serve: each service is
// asked, and the whole serves when all of them do. It is safe for concurrent
// use.
package health

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/services/gateway/internal/catalogue"
	"github.com/fairlead/fairlead/services/gateway/internal/stopping"
)

const (
	// askTimeout is how long a service may take to say how it is.
	askTimeout = 2 * time.Second
	// watchInterval is how often a watch asks.
	watchInterval = time.Second
)

// Server serves grpc.health.v1 for the services behind the edge. A health
// service is named by the service ("deploy") or by one of its gRPC services
// (fairlead.deploy.v1.EndpointService); "" is all.
type Server struct {
	healthpb.UnsafeHealthServer
	clients  map[string]healthpb.HealthClient
	stopping *stopping.Signal
}

var _ healthpb.HealthServer = (*Server)(nil)

// New makes a Server over the connections to the services by name. After the
// signal nothing serves any more.
func New(conns map[string]grpc.ClientConnInterface, stop *stopping.Signal) *Server {
	s := &Server{clients: map[string]healthpb.HealthClient{}, stopping: stop}
	for name, conn := range conns {
		s.clients[name] = healthpb.NewHealthClient(conn)
	}
	return s
}

// Check asks the named services.
func (s *Server) Check(ctx context.Context, req *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	names, err := s.named(req.GetService())
	if err != nil {
		return nil, err
	}
	return &healthpb.HealthCheckResponse{Status: s.worst(s.ask(ctx, names))}, nil
}

// List gives the state of every service by name, and of all under "".
func (s *Server) List(ctx context.Context, _ *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	each := s.ask(ctx, slices.Sorted(maps.Keys(s.clients)))
	out := &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{"": {Status: s.worst(each)}}}
	for name, state := range each {
		out.Statuses[name] = &healthpb.HealthCheckResponse{Status: state}
	}
	return out, nil
}

// Watch sends the state of the named services now and whenever it changes.
func (s *Server) Watch(req *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	last := healthpb.HealthCheckResponse_UNKNOWN
	for {
		now := healthpb.HealthCheckResponse_SERVICE_UNKNOWN
		if names, err := s.named(req.GetService()); err == nil {
			now = s.worst(s.ask(stream.Context(), names))
		}
		if now != last {
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-s.stopping.Given():
			return stopping.Err()
		case <-tick.C:
		}
	}
}

// NotReady gives the names of the services that do not serve.
func (s *Server) NotReady(ctx context.Context) []string {
	var out []string
	for name, state := range s.ask(ctx, slices.Sorted(maps.Keys(s.clients))) {
		if state != healthpb.HealthCheckResponse_SERVING {
			out = append(out, name)
		}
	}
	if s.isStopping() {
		out = append(out, "gateway")
	}
	slices.Sort(out)
	return out
}

func (s *Server) named(service string) ([]string, error) {
	if service == "" {
		return slices.Sorted(maps.Keys(s.clients)), nil
	}
	name := service
	if owner := catalogue.Owner(service); owner != "" {
		name = owner
	}
	if _, ok := s.clients[name]; !ok {
		return nil, status.Errorf(codes.NotFound, "there is no service %q here", service)
	}
	return []string{name}, nil
}

// ask asks all at the same time.
func (s *Server) ask(ctx context.Context, names []string) map[string]healthpb.HealthCheckResponse_ServingStatus {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	states := make([]healthpb.HealthCheckResponse_ServingStatus, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			states[i] = healthpb.HealthCheckResponse_NOT_SERVING
			if answer, err := s.clients[name].Check(ctx, &healthpb.HealthCheckRequest{}); err == nil {
				states[i] = answer.GetStatus()
			}
		})
	}
	wg.Wait()
	out := map[string]healthpb.HealthCheckResponse_ServingStatus{}
	for i, name := range names {
		out[name] = states[i]
	}
	return out
}

// worst is SERVING when all are, and nothing stops.
func (s *Server) worst(states map[string]healthpb.HealthCheckResponse_ServingStatus) healthpb.HealthCheckResponse_ServingStatus {
	for _, state := range states {
		if state != healthpb.HealthCheckResponse_SERVING {
			return healthpb.HealthCheckResponse_NOT_SERVING
		}
	}
	if s.isStopping() {
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}

func (s *Server) isStopping() bool {
	select {
	case <-s.stopping.Given():
		return true
	default:
		return false
	}
}
