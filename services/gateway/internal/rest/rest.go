// Package rest is the REST interface: JSON over HTTP for the methods that the
// contracts bind to a path. It is an adapter over client connections, so that
// every call goes through the same checks of the service as a gRPC call, and
// its errors are the same google.rpc.Status, as JSON. A handler is safe for
// concurrent use.
package rest

import (
	"context"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/rpc"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	longrunninggw "github.com/fairlead/fairlead/proto/gen/google/longrunning"
	"github.com/fairlead/fairlead/services/gateway/internal/httperr"
)

// register binds one gRPC service's methods to their paths.
type register func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error

// bindings are the gRPC services of each service.
func bindings() map[string][]register {
	return map[string][]register{
		"auth": {
			authv1.RegisterWorkspaceServiceHandler, authv1.RegisterEndpointKeyServiceHandler, authv1.RegisterTokenServiceHandler,
			authv1.RegisterIdentityServiceHandler, authv1.RegisterRoleBindingServiceHandler,
			authv1.RegisterServicePrincipalServiceHandler, authv1.RegisterAuditServiceHandler,
		},
		"compute": {
			computev1.RegisterComputeTargetServiceHandler, computev1.RegisterWorkloadServiceHandler,
		},
		"deploy": {
			deployv1.RegisterModelServiceHandler, deployv1.RegisterEndpointServiceHandler, deployv1.RegisterEnvironmentServiceHandler,
			deployv1.RegisterArtefactServiceHandler, // after the endpoints: it has …/versions/*:read
		},
		"router":    {routerv1.RegisterRouterServiceHandler},
		"telemetry": {telemetryv1.RegisterTelemetryServiceHandler},
	}
}

// New makes the handler of everything under /v1/ that the contracts bind, over
// the connections to the services by name; paths of a service without a
// connection do not exist.
func New(ctx context.Context, conns map[string]*grpc.ClientConn, operations longrunningpb.OperationsClient) (http.Handler, error) {
	a, err := newAPI(ctx, conns, operations)
	if err != nil {
		return nil, err
	}
	return withBody(withPlainStreamErrors(a)), nil
}

func newAPI(ctx context.Context, conns map[string]*grpc.ClientConn, operations longrunningpb.OperationsClient) (*api, error) {
	a := &api{contract: readContract()}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newJSONCodec()),
		runtime.WithMiddlewares(a.checked),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptReserved),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithIncomingHeaderMatcher(incoming),
		runtime.WithMetadata(clientAddress),
		runtime.WithOutgoingHeaderMatcher(nothing),
		runtime.WithOutgoingTrailerMatcher(nothing),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(a.writeRoutingError),
	)
	// What is bound later is matched first, and GET …/endpoints/* would take
	// …/endpoints/*:summary as well: telemetry has to come after deploy.
	all := bindings()
	for _, service := range slices.Sorted(maps.Keys(all)) {
		conn := conns[service]
		if conn == nil {
			continue
		}
		for _, register := range all[service] {
			if err := register(ctx, mux, conn); err != nil {
				return nil, err
			}
		}
	}
	if err := longrunninggw.RegisterOperationsHandlerClient(ctx, mux, operations); err != nil {
		return nil, err
	}
	a.mux = mux
	return a, nil
}

// incoming names the headers that services get beside Authorization. All
// others, above all those that would set metadata freely, stay here.
func incoming(header string) (string, bool) {
	switch h := textproto.CanonicalMIMEHeaderKey(header); h {
	case "X-Request-Id", "Traceparent", "Tracestate":
		return h, true
	default:
		return "", false
	}
}

// clientAddress tells services where a request comes from, for the audit log.
func clientAddress(_ context.Context, r *http.Request) metadata.MD {
	return metadata.Pairs(rpc.ClientAddressHeader, rpc.HostOf(r.RemoteAddr))
}

// nothing of a service's metadata becomes a header: the request's id is set already.
func nothing(string) (string, bool) { return "", false }

func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	st := apierr.ToStatus(err)
	if st.Code() == codes.InvalidArgument && len(st.Details()) == 0 {
		err = fromDecoding(st.Message())
	}
	httperr.Write(w, err, r.Header.Get(rpc.RequestIDHeader))
}

// fromDecoding gives an error of the generated code, which has text only, the
// form of all others.
func fromDecoding(message string) error {
	e, ok := unknownIn(message)
	if !ok {
		return apierr.New(apierr.InvalidArgument, "INVALID_ARGUMENT", "%s", message)
	}
	var bad apierr.Violations
	for _, name := range e.names {
		bad.Add(name, "is no field of this request; the fields are in /openapi.json")
	}
	return bad.Err()
}

// WriteNotFound answers a request for a path that does not exist.
func WriteNotFound(w http.ResponseWriter, r *http.Request) {
	httperr.Write(w, apierr.New(apierr.NotFound, "NO_SUCH_PATH",
		"there is no %s here; all paths are in /openapi.json", r.URL.Path), r.Header.Get(rpc.RequestIDHeader))
}

// WriteReadOnly answers any other method than GET and HEAD for a path that has only these.
func WriteReadOnly(w http.ResponseWriter, r *http.Request) {
	writeMethodNotAllowed(w, r, http.MethodGet, http.MethodHead)
}

func writeMethodNotAllowed(w http.ResponseWriter, r *http.Request, allowed ...string) {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	st := apierr.ToStatus(apierr.New(apierr.InvalidArgument, "METHOD_NOT_ALLOWED",
		"%s is not a method of %s; the methods of every path are in /openapi.json", r.Method, r.URL.Path))
	httperr.WriteStatus(w, st, http.StatusMethodNotAllowed, r.Header.Get(rpc.RequestIDHeader))
}
