package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/rpc"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/services/gateway/internal/catalogue"
	"github.com/fairlead/fairlead/services/gateway/internal/eventstream"
	"github.com/fairlead/fairlead/services/gateway/internal/grpcproxy"
	"github.com/fairlead/fairlead/services/gateway/internal/health"
	"github.com/fairlead/fairlead/services/gateway/internal/httperr"
	"github.com/fairlead/fairlead/services/gateway/internal/operations"
	"github.com/fairlead/fairlead/services/gateway/internal/rest"
	"github.com/fairlead/fairlead/services/gateway/internal/stopping"
	"github.com/fairlead/fairlead/services/gateway/internal/timedwriter"
)

// maxMessage is the largest gRPC message that a caller may send.
const maxMessage = 4 << 20

// writeTimeout is how long a caller may leave a part of its answer unread.
const writeTimeout = 30 * time.Second

// edge is everything that answers on the listener.
type edge struct {
	log     *slog.Logger
	grpc    *grpc.Server
	rest    http.Handler
	events  *eventstream.Service
	health  *health.Server
	openAPI []byte
	version string
}

func newEdge(ctx context.Context, cfg Config, deps Deps, stop *stopping.Signal) (*edge, error) {
	conns := map[string]grpc.ClientConnInterface{}
	for name, conn := range deps.Conns {
		conns[name] = conn
	}
	ops := operations.NewClient(
		operations.Source{Service: "compute", Client: longrunningpb.NewOperationsClient(deps.Conns["compute"])},
		operations.Source{Service: "deploy", Client: longrunningpb.NewOperationsClient(deps.Conns["deploy"])},
	)
	api, err := rest.New(ctx, deps.Conns, ops)
	if err != nil {
		return nil, err
	}
	e := &edge{
		log:  deps.Logger,
		rest: api,
		events: eventstream.New(eventstream.Deps{
			Logger: deps.Logger, Log: deps.EventLog, Access: deps.Access, Stopping: stop, KeepAlive: cfg.EventKeepAlive,
		}),
		health:  health.New(conns, stop),
		openAPI: deps.OpenAPI,
		version: deps.Version,
	}
	methods := catalogue.Read()
	e.grpc = e.newGRPC(grpcproxy.New(conns, methods, stop), ops)
	owners := append(slices.Collect(maps.Keys(conns)), "events")
	registerReflection(e.grpc, append(methods.Services(owners...), longrunningpb.Operations_ServiceDesc.ServiceName,
		healthpb.Health_ServiceDesc.ServiceName))
	return e, nil
}

// newGRPC makes the server of the edge's own gRPC services; all others go
// through the proxy.
func (e *edge) newGRPC(proxy *grpcproxy.Proxy, ops *operations.Client) *grpc.Server {
	s := grpc.NewServer(
		grpc.ForceServerCodecV2(grpcproxy.Codec()),
		grpc.UnknownServiceHandler(proxy.Handle),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.UnaryInterceptor(e.unary),
		grpc.StreamInterceptor(e.stream),
	)
	healthpb.RegisterHealthServer(s, e.health)
	longrunningpb.RegisterOperationsServer(s, operations.NewServer(ops))
	eventsv1.RegisterEventServiceServer(s, e.events)
	return s
}

// served are the names that reflection lists.
type served []string

// GetServiceInfo gives the names in the form that reflection asks for.
func (s served) GetServiceInfo() map[string]grpc.ServiceInfo {
	out := map[string]grpc.ServiceInfo{}
	for _, name := range s {
		out[name] = grpc.ServiceInfo{}
	}
	return out
}

func registerReflection(s *grpc.Server, names served) {
	opts := reflection.ServerOptions{Services: names}
	reflectionv1.RegisterServerReflectionServer(s, reflection.NewServerV1(opts))
	reflectionv1alpha.RegisterServerReflectionServer(s, reflection.NewServer(opts))
}

func (e *edge) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer e.finish(info.FullMethod, &err)
	return handler(ctx, req)
}

func (e *edge) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer e.finish(info.FullMethod, &err)
	return handler(srv, ss)
}

// finish turns a panic into an error and an error into its status.
func (e *edge) finish(method string, err *error) {
	if p := recover(); p != nil {
		e.log.Error("the gateway panicked", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = apierr.New(apierr.Internal, "PANIC", "internal error")
	}
	if *err == nil {
		return
	}
	st := apierr.ToStatus(*err)
	if st.Code() == codes.Internal && !isStatus(*err) {
		e.log.Error("a call failed at the gateway", "method", method, "error", *err)
	}
	*err = st.Err()
}

func isStatus(err error) bool {
	_, ok := status.FromError(err)
	return ok
}

// handler puts everything behind one listener.
func (e *edge) handler() http.Handler {
	mux := http.NewServeMux()
	for at, page := range map[string]http.HandlerFunc{
		"/{$}":          e.welcome,
		"/healthz":      func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, map[string]string{"status": "alive"}) },
		"/readyz":       e.readiness,
		"/openapi.json": e.document,
		"/v1/version":   func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, map[string]string{"version": e.version}) },
		"/v1/workspaces/{workspace}/events:watch": e.events.ServeHTTP,
	} {
		mux.HandleFunc("GET "+at, page)
		mux.HandleFunc(at, rest.WriteReadOnly)
	}
	mux.Handle("/v1/", e.rest)
	mux.Handle("/.well-known/jwks.json", e.rest)
	mux.HandleFunc("/v1", rest.WriteNotFound) // else a redirect to a path that is none
	mux.HandleFunc("/", rest.WriteNotFound)
	plain := e.guard(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = timedwriter.New(w, writeTimeout)
		switch {
		case !isGRPC(r.Header.Get("Content-Type")):
			plain.ServeHTTP(w, r)
		case r.ProtoMajor == 2:
			r.Header.Set(rpc.RequestIDHeader, requestID(r))
			e.grpc.ServeHTTP(w, r)
		default:
			st := status.New(codes.InvalidArgument, "gRPC needs HTTP/2; over HTTP/1.1 use the REST interface in /openapi.json")
			httperr.WriteStatus(w, st, http.StatusHTTPVersionNotSupported, requestID(r))
		}
	})
}

func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// guard gives each request its id, sets what every answer carries, and answers
// for a handler that panics.
func (e *edge) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		r.Header.Set(rpc.RequestIDHeader, id)
		w.Header().Set(rpc.RequestIDHeader, id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p) //nolint:forbidigo // net/http's own way to break a connection off
			default:
				e.log.Error("the gateway panicked", "path", r.URL.Path, "request", id, "panic", p, "stack", string(debug.Stack()))
				httperr.Write(w, apierr.New(apierr.Internal, "PANIC", "internal error"), id)
			}
		}()
		if !isClean(r.URL.EscapedPath()) {
			rest.WriteNotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isClean is false for a path with empty segments or dots, which http.ServeMux
// would answer with a redirect for people.
func isClean(p string) bool {
	clean := path.Clean(p)
	return p == clean || p == clean+"/"
}

// requestID takes over the caller's id when it is a plain short word.
func requestID(r *http.Request) string {
	const most = 100
	id := r.Header.Get(rpc.RequestIDHeader)
	odd := func(c rune) bool { return c <= ' ' || c > '~' }
	if id == "" || len(id) > most || strings.ContainsFunc(id, odd) {
		return rand.Text()
	}
	return id
}

func (e *edge) readiness(w http.ResponseWriter, r *http.Request) {
	away := e.health.NotReady(r.Context())
	if len(away) == 0 {
		writeJSON(w, map[string]string{"status": "ready"})
		return
	}
	httperr.Write(w, apierr.New(apierr.Unavailable, "NOT_READY", "not ready: %s", strings.Join(away, ", ")), r.Header.Get(rpc.RequestIDHeader))
}

func (e *edge) document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(e.openAPI)
}

func (e *edge) welcome(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]string{
		"name":    "Fairlead control plane",
		"version": e.version,
		"rest":    "/v1/workspaces",
		"openapi": "/openapi.json",
		"events":  "/v1/workspaces/default/events:watch",
		"grpc":    "on this port, with reflection",
		"ready":   "/readyz",
	})
}

func writeJSON(w http.ResponseWriter, v map[string]string) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n'))
}
