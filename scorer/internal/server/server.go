// Package server answers a scorer's HTTP requests as the old product's scoring server did: routes, status codes, ids, headers.
// It also has Fairlead's own routes below /-/.
//
//	GET  /            Healthy, once the runtime is loaded; 503 before, and when it can't be brought back
//	GET|POST /score   the runtime's answer; OPTIONS is answered empty, unless the runtime takes all methods
//	GET  /swagger.json?version=2|3|3.1   what /score takes and gives
//	GET  /-/ready     200 when a request would be taken and answered, else 503 with the reason
//	GET  /-/status    runtime, workers, queue, state, last error
//	POST /-/drain     no more scoring; the scorer ends when what runs has ended
//	/v2, gRPC         the Open Inference Protocol, where the runtime has tensors
//
// A runtime may also be given all other paths.
//
// A Server may be used from any goroutine.
package server

import (
	"net/http"
	"strings"
	"sync"

	"github.com/fairlead/fairlead/scorer/internal/cors"
	"github.com/fairlead/fairlead/scorer/internal/exchange"
	"github.com/fairlead/fairlead/scorer/internal/gate"
)

const (
	messageNotFound   = "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
	messageMethod     = "The method is not allowed for the requested URL."
	messageHead       = "Method not allowed"
	failedLoadsAtMost = 3
)

// Runtime is what answers requests.
type Runtime interface {
	// Loaded reports whether it has become able to answer; later troubles don't change it.
	Loaded() bool
	// Status gives a snapshot.
	Status() Status
	// Score answers a request to /score that has its ids and was let in, once Loaded.
	Score(w http.ResponseWriter, r *http.Request, id string)
}

// AllMethods is implemented by runtimes that may want to answer HEAD and OPTIONS to /score, too.
type AllMethods interface{ TakesAllMethods() bool }

// documents describe the service; the error of Get says why there is none.
type documents interface {
	Get(version string) ([]byte, error)
}

// Config is what the server needs to know.
type Config struct {
	// Service names the service in status answers.
	Service string
	// Product is the value of the server version header; without one there is no such header.
	Product string
}

// Deps is what the server uses.
type Deps struct {
	Runtime Runtime
	// Gate counts the requests; handlers that run beside the runtime use the same.
	Gate *gate.Gate
	// Swagger answers /swagger.json; without it there is no such path.
	Swagger documents
	// Origins says which other origins may call; nil for none.
	Origins *cors.Policy
	// Inference, if not nil, answers the Open Inference Protocol: /v2 and what is below, and gRPC. It sees to the gate itself.
	Inference http.Handler
	// Passthrough, if not nil, answers every request that is not the server's own and not Inference's, once the runtime is loaded; of
	// the server's own it answers /swagger.json, too.
	Passthrough http.Handler
}

// Server is the scorer's HTTP handler.
type Server struct {
	cfg      Config
	deps     Deps
	drained  chan struct{} // closed by the first POST /-/drain
	drainOne sync.Once
}

// New makes a server.
func New(cfg Config, deps Deps) *Server {
	return &Server{cfg: cfg, deps: deps, drained: make(chan struct{})}
}

// Drain refuses scoring from now on. The channel closes when the last request that was let in has ended.
func (s *Server) Drain() <-chan struct{} { return s.deps.Gate.Close() }

// DrainAsked closes when somebody has asked for a drain over HTTP.
func (s *Server) DrainAsked() <-chan struct{} { return s.drained }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/score":
		s.routeScore(w, r)
	case "/":
		s.public(w, r, s.health)
	case "/swagger.json":
		if s.deps.Passthrough != nil { // it knows better what it takes
			s.pass(w, r)
			return
		}
		s.public(w, r, s.swagger)
	case "/-/ready":
		s.only(w, r, s.ready, http.MethodGet)
	case "/-/status":
		s.only(w, r, s.status, http.MethodGet)
	case "/-/drain":
		s.only(w, r, s.drain, http.MethodPost)
	default:
		s.routeOther(w, r)
	}
}

// routeOther serves what is not the scoring server's own.
func (s *Server) routeOther(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.deps.Inference != nil && isInference(r):
		s.infer(w, r)
	case s.deps.Passthrough != nil && !strings.HasPrefix(r.URL.Path, "/-/"):
		s.pass(w, r)
	default:
		exchange.Fail(w, http.StatusNotFound, messageNotFound, false)
	}
}

// infer hands a request to Inference. The ids are for logs: the protocol has its own, so ones that are too long are left out, not refused.
func (s *Server) infer(w http.ResponseWriter, r *http.Request) {
	if id, err := resolveIDs(r.Header, newUUID); err == nil {
		id.write(w.Header())
		if r.Header.Get(headerRequestID) == "" {
			r = r.Clone(r.Context())
			r.Header.Set(headerRequestID, id.request)
		}
	}
	s.deps.Inference.ServeHTTP(w, r)
}

func isInference(r *http.Request) bool {
	return r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/") ||
		r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get(exchange.HeaderContentType), "application/grpc")
}

func (s *Server) only(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc, methods ...string) {
	for _, m := range methods {
		if r.Method == m {
			serve(w, r)
			return
		}
	}
	exchange.Fail(w, http.StatusMethodNotAllowed, messageMethod, false)
}

// public serves one of the old product's routes for GET, which take HEAD and OPTIONS, too.
func (s *Server) public(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		exchange.Fail(w, http.StatusMethodNotAllowed, messageMethod, false)
		return
	}
	if _, ok := s.identify(w, r); !ok {
		return
	}
	if r.Method == http.MethodOptions {
		w.Header()["Allow"] = []string{"GET, HEAD, OPTIONS"}
		exchange.Write(w, http.StatusOK, exchange.TypeHTML, nil)
		return
	}
	serve(w, r)
}

func (s *Server) routeScore(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodOptions, http.MethodHead:
	default:
		exchange.Fail(w, http.StatusMethodNotAllowed, messageMethod, false)
		return
	}
	id, ok := s.identify(w, r)
	if !ok {
		return
	}
	all, _ := s.deps.Runtime.(AllMethods)
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodPost || all != nil && all.TakesAllMethods():
		s.score(w, r, id)
	case r.Method == http.MethodHead:
		exchange.Fail(w, http.StatusMethodNotAllowed, messageHead, false)
	default:
		exchange.SetFailed(w, false)
		exchange.Write(w, http.StatusOK, exchange.TypeHTML, nil)
	}
}

// score lets a request through to the runtime.
func (s *Server) score(w http.ResponseWriter, r *http.Request, id string) {
	if s.enter(w) {
		defer s.deps.Gate.Leave()
		s.deps.Runtime.Score(w, r, id)
	}
}

// pass lets a request through to what the runtime serves beside /score.
func (s *Server) pass(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.identify(w, r); ok && s.enter(w) {
		defer s.deps.Gate.Leave()
		s.deps.Passthrough.ServeHTTP(w, r)
	}
}

// enter reports whether a request may go on to the runtime; then it is inside the gate. Otherwise it has been refused.
func (s *Server) enter(w http.ResponseWriter) bool {
	if !s.deps.Gate.Enter() {
		w.Header().Set("Connection", "close")
		exchange.NotRun(w, "Draining", exchange.MessageDraining)
		return false
	}
	if !s.deps.Runtime.Loaded() {
		s.deps.Gate.Leave()
		exchange.Fail(w, http.StatusServiceUnavailable, startingMessage(s.deps.Runtime.Status()), false)
		return false
	}
	return true
}

// identify puts the ids and the server's version on the response. It reports false when it has refused the request.
func (s *Server) identify(w http.ResponseWriter, r *http.Request) (string, bool) {
	if s.cfg.Product != "" {
		w.Header()[exchange.HeaderVersion] = []string{s.cfg.Product}
	}
	s.deps.Origins.Apply(w.Header(), r)
	id, err := resolveIDs(r.Header, newUUID)
	id.write(w.Header())
	if err != nil {
		exchange.Fail(w, http.StatusRequestHeaderFieldsTooLarge, err.Error(), false)
		return "", false
	}
	return id.request, true
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	switch status := s.deps.Runtime.Status(); {
	case !status.Loaded:
		exchange.Fail(w, http.StatusServiceUnavailable, startingMessage(status), false)
	case status.Ready == 0 && status.FailedLoads >= failedLoadsAtMost:
		exchange.Fail(w, http.StatusServiceUnavailable, goneMessage(status), false)
	default:
		exchange.Write(w, http.StatusOK, exchange.TypeHTML, []byte("Healthy"))
	}
}

// swagger describes the service, which is known once the runtime is loaded.
func (s *Server) swagger(w http.ResponseWriter, r *http.Request) {
	if !s.deps.Runtime.Loaded() {
		exchange.Fail(w, http.StatusServiceUnavailable, startingMessage(s.deps.Runtime.Status()), false)
		return
	}
	version := "2"
	if asked, ok := r.URL.Query()["version"]; ok {
		version = asked[0]
	}
	document, err := s.deps.Swagger.Get(version)
	if err != nil {
		exchange.Fail(w, http.StatusNotFound, err.Error(), false)
		return
	}
	exchange.SetFailed(w, false)
	exchange.Write(w, http.StatusOK, exchange.TypeJSON, document)
}
