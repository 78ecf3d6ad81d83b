package rest

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/services/gateway/internal/httperr"
)

// api routes requests to the generated handlers.
type api struct {
	contract contract
	mux      *runtime.ServeMux
}

// ServeHTTP answers HEAD like GET; the server leaves the body out.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		if bound, ok := a.find(r, http.MethodGet); ok && !bound.streams {
			r = r.Clone(r.Context())
			r.Method = http.MethodGet
		}
	}
	a.mux.ServeHTTP(w, r)
}

// checked refuses what a generated handler would ignore.
func (a *api) checked(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		pattern, _ := runtime.HTTPPattern(r.Context())
		bound, known := a.contract[r.Method+" "+pattern.String()]
		if p, ok := r.Context().Value(probeKey{}).(*probe); ok {
			p.bound, p.found = bound, true
			return
		}
		if known {
			if err := bound.checkQuery(r.URL.RawQuery); err != nil {
				httperr.Write(w, err, r.Header.Get(rpc.RequestIDHeader))
				return
			}
		}
		next(w, r, params)
	}
}

// probe is a request that only asks whether there is a handler for it.
type probe struct {
	bound binding
	found bool
}

type probeKey struct{}

// find says how the request's path is bound to an HTTP method.
func (a *api) find(r *http.Request, method string) (binding, bool) {
	var p probe
	asked := r.WithContext(context.WithValue(r.Context(), probeKey{}, &p))
	asked.Method = method
	a.mux.ServeHTTP(unanswered{}, asked)
	return p.bound, p.found
}

// unanswered is where the answers to probes go.
type unanswered struct{}

func (unanswered) Header() http.Header         { return http.Header{} }
func (unanswered) Write(b []byte) (int, error) { return len(b), nil }
func (unanswered) WriteHeader(int)             {}

// allowed gives the methods of the request's path.
func (a *api) allowed(r *http.Request) []string {
	var out []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		bound, ok := a.find(r, method)
		if !ok {
			continue
		}
		out = append(out, method)
		if method == http.MethodGet && !bound.streams {
			out = append(out, http.MethodHead)
		}
	}
	return out
}

func (a *api) writeRoutingError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	if ctx.Value(probeKey{}) != nil {
		return
	}
	switch code {
	case http.StatusNotFound:
		WriteNotFound(w, r)
	case http.StatusMethodNotAllowed:
		writeMethodNotAllowed(w, r, a.allowed(r)...)
	default:
		httperr.WriteStatus(w, status.New(codes.InvalidArgument, "the path is malformed"), code, r.Header.Get(rpc.RequestIDHeader))
	}
}
