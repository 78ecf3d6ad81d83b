// Package grpcproxy passes gRPC calls on to the services that own them.
//
// Messages are not decoded: what a service understands, its callers can send.
// Metadata, deadlines, cancellation, streams in both directions, trailers and
// the details of errors pass unchanged, except for metadata that could be taken
// for a service's identity. Methods that are for services only are refused
// here, before their owner refuses them again. A Proxy is safe for concurrent
// use.
package grpcproxy

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/gateway/internal/catalogue"
	"github.com/fairlead/fairlead/services/gateway/internal/stopping"
)

// connectTimeout is how long a call waits for a service that is not reachable.
const connectTimeout = 10 * time.Second

// Proxy passes calls on.
type Proxy struct {
	conns    map[string]grpc.ClientConnInterface
	methods  catalogue.Catalogue
	stopping *stopping.Signal
	patience time.Duration // how long a call waits for a service that is away
}

// New makes a Proxy over the connections to the services by name. The signal
// ends streams of answers.
func New(conns map[string]grpc.ClientConnInterface, methods catalogue.Catalogue, stop *stopping.Signal) *Proxy {
	return &Proxy{conns: conns, methods: methods, stopping: stop, patience: connectTimeout}
}

// Handle is the handler of unknown services of a server that uses Codec.
func (p *Proxy) Handle(_ any, down grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(down)
	conn, method, err := p.route(name)
	if err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(down.Context())
	bind := context.WithCancelCause
	if method.Streams {
		bind = p.stopping.Bind
	}
	ctx, cancel := bind(metadata.NewOutgoingContext(down.Context(), WithAddress(down.Context(), Outgoing(md))))
	defer cancel(nil)
	up, err := p.open(ctx, cancel, conn, name)
	if err != nil {
		return stopping.Cause(ctx, err)
	}
	// The goroutine ends when the handler has returned: then down receives no more.
	go func() {
		if err := passRequests(down, up); err != nil {
			cancel(err)
		}
	}()
	err = passAnswers(up, down)
	down.SetTrailer(up.Trailer())
	return stopping.Cause(ctx, err)
}

// route finds who answers a method.
func (p *Proxy) route(name string) (grpc.ClientConnInterface, catalogue.Method, error) {
	service, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	method, known := p.methods.Method(name)
	if known && !method.Public {
		return nil, method, apierr.New(apierr.PermissionDenied, "SERVICES_ONLY", "%s is for Fairlead's own services", name)
	}
	conn := p.conns[catalogue.Owner(service)]
	if conn == nil || !known {
		return nil, method, status.Errorf(codes.Unimplemented, "%s is not served here; list what is with gRPC reflection", name)
	}
	return conn, method, nil
}

// open begins the call to the service; it does not wait for ever for one that
// is away, though connections wait by default.
func (p *Proxy) open(ctx context.Context, cancel context.CancelCauseFunc, conn grpc.ClientConnInterface, name string) (grpc.ClientStream, error) {
	away := time.AfterFunc(p.patience, func() {
		cancel(apierr.New(apierr.Unavailable, "SERVICE_AWAY", "the service behind %s cannot be reached now; try again", name))
	})
	defer away.Stop()
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	return conn.NewStream(ctx, desc, name, grpc.ForceCodecV2(Codec()))
}

func passRequests(down grpc.ServerStream, up grpc.ClientStream) error {
	for {
		var f frame
		switch err := down.RecvMsg(&f); {
		case errors.Is(err, io.EOF):
			return up.CloseSend()
		case err != nil:
			return err
		case up.SendMsg(&f) != nil:
			return nil //nolint:nilerr // the call is over; its answers tell why
		}
	}
}

func passAnswers(up grpc.ClientStream, down grpc.ServerStream) error {
	header, err := up.Header()
	if err != nil {
		return err
	}
	if len(header) > 0 {
		if err := down.SendHeader(header); err != nil {
			return err
		}
	}
	for {
		var f frame
		err := up.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := down.SendMsg(&f); err != nil {
			return err
		}
	}
}
