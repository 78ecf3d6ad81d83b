// Package server answers a scorer's HTTP requests as the old product's scoring server did: routes, status codes, ids, headers.
// It also has Fairlead's own routes below /-/.
//
//	GET  /            Healthy, once init() has succeeded; 503 before, and when no worker can be brought back
//	GET|POST /score   run(); OPTIONS is answered empty
//	GET  /-/ready     200 when a request would be taken and a worker is up, else 503 with the reason
//	GET  /-/status    workers, queue, state, last error
//	POST /-/drain     no more scoring; the scorer ends when what runs has ended
//
// A Server may be used from any goroutine.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"

	"github.com/fairlead/fairlead/scorer/internal/worker"
)

const (
	headerFailed      = "X-Ms-Run-Function-Failed"
	headerExec        = "X-Ms-Run-Fn-Exec-Ms"
	headerVersion     = "X-Ms-Server-Version"
	headerContentType = "Content-Type"

	typeJSON = "application/json"
	typeHTML = "text/html; charset=utf-8"

	messageNotFound   = "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
	messageMethod     = "The method is not allowed for the requested URL."
	messageHead       = "Method not allowed"
	messageRaised     = "An unexpected error occurred in scoring script. Check the logs for more info."
	messageInternal   = "An unexpected internal error occurred. Check the logs for more info."
	messageStarting   = "The service is starting: init() has not succeeded yet."
	messageDraining   = "The service is shutting down."
	messageNoWorker   = "No worker is up: the script could not be loaded again. Check the logs for more info."
	failedLoadsAtMost = 3
)

// pool is what the server needs of the workers.
type pool interface {
	Score(ctx context.Context, req worker.Request) (*worker.Reply, error)
	Status() worker.Status
	Loaded() bool
}

// Config is what the server needs to know.
type Config struct {
	// Service names the service in status answers.
	Service string
	// Product is the value of the server version header.
	Product string
	// MaxBody is the longest request body, in bytes.
	MaxBody int64
}

// Deps is what the server uses.
type Deps struct {
	Pool pool
	Log  *slog.Logger
}

// Server is the scorer's HTTP handler.
type Server struct {
	cfg      Config
	pool     pool
	log      *slog.Logger
	gate     *gate
	drained  chan struct{} // closed by the first POST /-/drain
	drainOne sync.Once
	formOnce sync.Once
}

// New makes a server.
func New(cfg Config, deps Deps) *Server {
	return &Server{cfg: cfg, pool: deps.Pool, log: deps.Log, gate: newGate(), drained: make(chan struct{})}
}

// Drain refuses scoring from now on. The channel closes when the last request that was let in has ended.
func (s *Server) Drain() <-chan struct{} { return s.gate.close() }

// DrainAsked closes when somebody has asked for a drain over HTTP.
func (s *Server) DrainAsked() <-chan struct{} { return s.drained }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/score":
		s.routeScore(w, r)
	case "/":
		s.only(w, r, s.health, http.MethodGet, http.MethodHead)
	case "/-/ready":
		s.only(w, r, s.ready, http.MethodGet)
	case "/-/status":
		s.only(w, r, s.status, http.MethodGet)
	case "/-/drain":
		s.only(w, r, s.drain, http.MethodPost)
	default:
		fail(w, http.StatusNotFound, messageNotFound, false)
	}
}

func (s *Server) only(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc, methods ...string) {
	for _, m := range methods {
		if r.Method == m {
			serve(w, r)
			return
		}
	}
	fail(w, http.StatusMethodNotAllowed, messageMethod, false)
}

func (s *Server) routeScore(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodOptions, http.MethodHead:
	default:
		fail(w, http.StatusMethodNotAllowed, messageMethod, false)
		return
	}
	id, ok := s.identify(w, r)
	if !ok {
		return
	}
	switch r.Method {
	case http.MethodHead:
		fail(w, http.StatusMethodNotAllowed, messageHead, false)
	case http.MethodOptions:
		w.Header()[headerFailed] = []string{"False"}
		write(w, http.StatusOK, typeHTML, nil)
	default:
		s.score(w, r, id)
	}
}

// identify puts the ids and the server's version on the response. It reports false when it has refused the request.
func (s *Server) identify(w http.ResponseWriter, r *http.Request) (string, bool) {
	w.Header()[headerVersion] = []string{s.cfg.Product}
	id, err := resolveIDs(r.Header, newUUID)
	id.write(w.Header())
	if err != nil {
		fail(w, http.StatusRequestHeaderFieldsTooLarge, err.Error(), false)
		return "", false
	}
	return id.request, true
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.identify(w, r); !ok {
		return
	}
	switch status := s.pool.Status(); {
	case !status.Loaded:
		fail(w, http.StatusServiceUnavailable, messageStarting, false)
	case status.Ready == 0 && status.FailedLoads >= failedLoadsAtMost:
		fail(w, http.StatusServiceUnavailable, messageNoWorker, false)
	default:
		write(w, http.StatusOK, typeHTML, []byte("Healthy"))
	}
}

// fail answers with a message in JSON.
func fail(w http.ResponseWriter, status int, message string, runFailed bool) {
	setFailed(w, runFailed)
	write(w, status, typeJSON, messageJSON(message))
}

func setFailed(w http.ResponseWriter, failed bool) {
	value := "False"
	if failed {
		value = "True"
	}
	w.Header()[headerFailed] = []string{value}
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h[headerContentType] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}
