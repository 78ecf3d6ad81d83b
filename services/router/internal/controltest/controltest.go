// Package controltest is a control plane for tests: the three watches that a
// router follows, over real gRPC in memory. It can be stopped and started again
// and keeps what it was told meanwhile. Methods may be called by many goroutines.
package controltest

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Plane is a control plane.
type Plane struct {
	deployv1.UnimplementedRouteServiceServer
	computev1.UnimplementedWorkloadServiceServer
	authv1.UnimplementedEndpointKeyServiceServer
	authv1.UnimplementedTokenServiceServer

	conn      *grpc.ClientConn
	routes    *topic[*deployv1.WatchRoutesResponse]
	workloads *topic[*computev1.WatchWorkloadsResponse]
	digests   *topic[*authv1.WatchEndpointKeyDigestsResponse]
	tokens    *topic[*authv1.WatchTokenKeysResponse]

	mu       sync.Mutex
	listener *bufconn.Listener // nil while stopped
	server   *grpc.Server
}

// New starts a control plane that ends with the test.
func New(t testing.TB) *Plane {
	p := &Plane{
		routes:    newTopic[*deployv1.WatchRoutesResponse](),
		workloads: newTopic[*computev1.WatchWorkloadsResponse](),
		digests:   newTopic[*authv1.WatchEndpointKeyDigestsResponse](),
		tokens:    newTopic[*authv1.WatchTokenKeysResponse](),
	}
	conn, err := grpc.NewClient("passthrough:///control",
		grpc.WithContextDialer(p.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond}}),
	)
	if err != nil {
		t.Fatalf("control plane: %v", err)
	}
	p.conn = conn
	p.Start()
	t.Cleanup(func() {
		p.Stop()
		conn.Close()
	})
	return p
}

// Conn is a connection to all of its services.
func (p *Plane) Conn() *grpc.ClientConn { return p.conn }

// Start serves again.
func (p *Plane) Start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = bufconn.Listen(1 << 20)
	p.server = grpc.NewServer()
	deployv1.RegisterRouteServiceServer(p.server, p)
	computev1.RegisterWorkloadServiceServer(p.server, p)
	authv1.RegisterEndpointKeyServiceServer(p.server, p)
	authv1.RegisterTokenServiceServer(p.server, p)
	go p.server.Serve(p.listener) // ends with Stop
}

// Stop breaks all watches and refuses new ones.
func (p *Plane) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return
	}
	p.server.Stop()
	p.listener = nil
}

func (p *Plane) dial(ctx context.Context, _ string) (net.Conn, error) {
	p.mu.Lock()
	listener := p.listener
	p.mu.Unlock()
	if listener == nil {
		return nil, errors.New("the control plane is stopped")
	}
	return listener.DialContext(ctx)
}

// SetRoute makes the route be so.
func (p *Plane) SetRoute(r *deployv1.Route) {
	p.routes.set(r.GetEndpoint(), &deployv1.WatchRoutesResponse{Event: &deployv1.WatchRoutesResponse_Changed{Changed: r}})
}

// DropRoute removes the endpoint's route.
func (p *Plane) DropRoute(endpoint string) {
	p.routes.remove(endpoint, &deployv1.WatchRoutesResponse{Event: &deployv1.WatchRoutesResponse_Deleted{Deleted: endpoint}})
}

// SetWorkload makes the workload be so.
func (p *Plane) SetWorkload(w *computev1.Workload) {
	p.workloads.set(w.GetName(), &computev1.WatchWorkloadsResponse{Event: &computev1.WatchWorkloadsResponse_Changed{Changed: w}})
}

// DropWorkload removes the workload.
func (p *Plane) DropWorkload(name string) {
	p.workloads.remove(name, &computev1.WatchWorkloadsResponse{Event: &computev1.WatchWorkloadsResponse_Deleted{Deleted: name}})
}

// SetKeys makes these the endpoint's keys; none removes them.
func (p *Plane) SetKeys(endpoint string, keys ...string) {
	changed := &authv1.WatchEndpointKeyDigestsResponse_Digests{Endpoint: endpoint}
	for _, key := range keys {
		sum := sha256.Sum256([]byte(key))
		changed.Sha256 = append(changed.Sha256, sum[:])
	}
	event := &authv1.WatchEndpointKeyDigestsResponse{Event: &authv1.WatchEndpointKeyDigestsResponse_Changed{Changed: changed}}
	if len(keys) == 0 {
		p.digests.remove(endpoint, event)
		return
	}
	p.digests.set(endpoint, event)
}

// WatchRoutes implements RouteService.
func (p *Plane) WatchRoutes(_ *deployv1.WatchRoutesRequest, stream grpc.ServerStreamingServer[deployv1.WatchRoutesResponse]) error {
	return p.routes.serve(stream.Context(), stream.Send,
		&deployv1.WatchRoutesResponse{Event: &deployv1.WatchRoutesResponse_Synced{Synced: true}})
}

// WatchWorkloads implements WorkloadService.
func (p *Plane) WatchWorkloads(_ *computev1.WatchWorkloadsRequest, stream grpc.ServerStreamingServer[computev1.WatchWorkloadsResponse]) error {
	return p.workloads.serve(stream.Context(), stream.Send,
		&computev1.WatchWorkloadsResponse{Event: &computev1.WatchWorkloadsResponse_Synced{Synced: true}})
}

// WatchEndpointKeyDigests implements EndpointKeyService.
func (p *Plane) WatchEndpointKeyDigests(_ *authv1.WatchEndpointKeyDigestsRequest, stream grpc.ServerStreamingServer[authv1.WatchEndpointKeyDigestsResponse]) error {
	return p.digests.serve(stream.Context(), stream.Send,
		&authv1.WatchEndpointKeyDigestsResponse{Event: &authv1.WatchEndpointKeyDigestsResponse_Synced{Synced: true}})
}

// SetTokenKey makes the key valid for tokens.
func (p *Plane) SetTokenKey(kid string, public []byte) {
	p.tokens.set("key "+kid, &authv1.WatchTokenKeysResponse{Event: &authv1.WatchTokenKeysResponse_Key{
		Key: &authv1.TokenKey{Kid: kid, PublicKey: public},
	}})
}

// RevokeTokens makes the tokens of an endpoint below a generation invalid.
func (p *Plane) RevokeTokens(endpoint, uid string, generation int64) {
	p.tokens.set(endpoint, &authv1.WatchTokenKeysResponse{Event: &authv1.WatchTokenKeysResponse_Generation{
		Generation: &authv1.TokenGeneration{Endpoint: endpoint, EndpointUid: uid, Generation: generation},
	}})
}

// WatchTokenKeys implements TokenService.
func (p *Plane) WatchTokenKeys(_ *authv1.WatchTokenKeysRequest, stream grpc.ServerStreamingServer[authv1.WatchTokenKeysResponse]) error {
	return p.tokens.serve(stream.Context(), stream.Send,
		&authv1.WatchTokenKeysResponse{Event: &authv1.WatchTokenKeysResponse_Synced{Synced: true}})
}

// topic is what one watch tells of: what there is, and all changes so far.
type topic[E any] struct {
	mu    sync.Mutex
	items map[string]E
	log   []E
	grown chan struct{} // closed and replaced with every change
}

func newTopic[E any]() *topic[E] {
	return &topic[E]{items: map[string]E{}, grown: make(chan struct{})}
}

func (t *topic[E]) set(name string, event E) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items[name] = event
	t.append(event)
}

func (t *topic[E]) remove(name string, event E) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.items, name)
	t.append(event)
}

func (t *topic[E]) append(event E) {
	t.log = append(t.log, event)
	close(t.grown)
	t.grown = make(chan struct{})
}

func (t *topic[E]) serve(ctx context.Context, send func(E) error, synced E) error {
	t.mu.Lock()
	next := len(t.log)
	events := make([]E, 0, len(t.items)+1)
	for _, event := range t.items {
		events = append(events, event)
	}
	events = append(events, synced)
	grown := t.grown
	t.mu.Unlock()
	for {
		for _, event := range events {
			if err := send(event); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
		t.mu.Lock()
		events = t.log[next:len(t.log):len(t.log)]
		next = len(t.log)
		grown = t.grown
		t.mu.Unlock()
	}
}
