// Package script is the runtime that answers with an entry script: it hands requests to the workers and turns what run() returned
// or raised into the old product's answers.
//
// A Runtime may be used from any goroutine; Run is called once.
package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"

	"github.com/fairlead/fairlead/scorer/internal/exchange"
	"github.com/fairlead/fairlead/scorer/internal/server"
	"github.com/fairlead/fairlead/scorer/internal/swagger"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// Name is the runtime's name in configurations and status answers.
const Name = "script"

const messageRaised = "An unexpected error occurred in scoring script. Check the logs for more info."

// pool is what the runtime needs of the workers.
type pool interface {
	Run(ctx context.Context) error
	Score(ctx context.Context, req worker.Request) (*worker.Reply, error)
	Status() worker.Status
	Facts() worker.Facts
	Loaded() bool
}

// Config is what the runtime needs to know.
type Config struct {
	// MaxBody is the longest request body, in bytes.
	MaxBody int64
	// FormBody lets the body of a form reach a plain run() as it was sent.
	FormBody bool
}

// Deps is what the runtime uses.
type Deps struct {
	Pool pool
	Log  *slog.Logger
}

// Runtime answers with an entry script.
type Runtime struct {
	cfg      Config
	pool     pool
	log      *slog.Logger
	formOnce sync.Once
}

// New makes a runtime; nothing runs before Run.
func New(cfg Config, deps Deps) *Runtime {
	return &Runtime{cfg: cfg, pool: deps.Pool, log: deps.Log}
}

// Run keeps the workers until ctx ends. A script that can't be loaded ends it with a *worker.LoadError, one whose workers die again
// and again with a *worker.CrashLoopError.
func (r *Runtime) Run(ctx context.Context) error { return r.pool.Run(ctx) }

// Loaded reports whether init() has succeeded in every worker once.
func (r *Runtime) Loaded() bool { return r.pool.Loaded() }

// Status gives a snapshot.
func (r *Runtime) Status() server.Status {
	workers := r.pool.Status()
	return server.Status{
		Runtime: Name, Loaded: workers.Loaded, Pending: "init() has not succeeded in all workers yet",
		Configured: workers.Configured, Ready: workers.Ready, FailedLoads: workers.FailedLoads, LastError: workers.LastError,
		Workers: &workers,
	}
}

// TakesAllMethods reports whether run() answers HEAD and OPTIONS, too: one that gets the request itself does.
func (r *Runtime) TakesAllMethods() bool { return r.pool.Facts().Form == worker.FormRaw }

// Schemas describes what run() takes and gives.
func (r *Runtime) Schemas() swagger.Schemas {
	schema := r.pool.Facts().Schema
	if schema == nil {
		return swagger.Schemas{}
	}
	return swagger.Schemas{Input: schema.Input, Output: schema.Output, Versions: schema.Versions}
}

// Score has run() answer a request.
func (r *Runtime) Score(w http.ResponseWriter, req *http.Request, id string) {
	body, large, err := r.readBody(w, req)
	if err != nil {
		exchange.FailBody(w, err, r.log)
		return
	}
	if large != nil {
		defer large.Close()
	}
	elsewhere := req.Header.Get(exchange.HeaderElsewhere) != ""
	req.Header.Del(exchange.HeaderElsewhere) // it is not the caller's, nor the script's affair
	if !r.reachesRun(req, len(body)) {
		body, large = nil, nil
	}
	reply, err := r.pool.Score(req.Context(), worker.Request{
		ID: id, Method: req.Method, Query: req.URL.RawQuery, Host: req.Host, Header: req.Header,
		Remote: req.RemoteAddr, Local: localAddress(req), Body: body, Large: large, Elsewhere: elsewhere,
	})
	if err != nil {
		r.failScore(w, err)
		return
	}
	defer reply.Close()
	r.answerReply(w, reply)
}

// readBody reads a request's body whole: a large one, whose size is known, into memory that a worker can map.
func (r *Runtime) readBody(w http.ResponseWriter, req *http.Request) ([]byte, *worker.LargeBody, error) {
	if req.ContentLength >= worker.LargeSize && req.ContentLength <= r.cfg.MaxBody {
		large, err := worker.ReadLarge(req.Body, req.ContentLength)
		switch {
		case err != nil:
			return nil, nil, err
		case large != nil:
			return large.Bytes(), large, nil
		}
	}
	body, err := exchange.ReadBody(w, req, r.cfg.MaxBody)
	return body, nil, err
}

// reachesRun reports whether run() gets the body. A plain one does not get that of a GET request, but only behind a body can net/http
// see that the client leaves, so it has been read; nor that of a form, as in the old product.
func (r *Runtime) reachesRun(req *http.Request, length int) bool {
	switch {
	case length == 0 || r.pool.Facts().Form != worker.FormText:
		return true
	case req.Method == http.MethodGet:
		return false
	case r.cfg.FormBody || !isForm(req.Header.Get(exchange.HeaderContentType)):
		return true
	}
	r.formOnce.Do(func() {
		r.log.Warn("the body of a form reaches run() as an empty string: send it as application/json, or set FORM_BODY_ENABLED=true",
			"content_type", req.Header.Get(exchange.HeaderContentType))
	})
	return false
}

func isForm(contentType string) bool {
	if contentType == exchange.TypeJSON || contentType == "" {
		return false
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/x-www-form-urlencoded" || media == "multipart/form-data")
}

func localAddress(req *http.Request) string {
	if address, ok := req.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return address.String()
	}
	return ""
}

// failScore answers a request that got no reply from a worker.
func (r *Runtime) failScore(w http.ResponseWriter, err error) {
	var timeout *worker.TimeoutError
	var crash *worker.CrashError
	switch {
	case errors.As(err, &timeout):
		exchange.Fail(w, http.StatusInternalServerError, fmt.Sprintf("Scoring timeout after %d ms", timeout.Limit.Milliseconds()), true)
	case errors.As(err, &crash):
		exchange.Fail(w, http.StatusInternalServerError, "The worker ended while it ran this request: "+crash.Cause+". Check the logs for more info.", true)
	case errors.Is(err, worker.ErrExited):
		// The old product closes the connection too: its server process is the one that exits.
		exchange.Abort(w)
	case errors.Is(err, worker.ErrQueueFull):
		exchange.NotRun(w, "QueueFull", "Too many requests wait for a worker.")
	case errors.Is(err, worker.ErrNoWorker):
		exchange.NotRun(w, "NoWorker", "All workers are being replaced. Check the logs for more info.")
	case errors.Is(err, worker.ErrStopped):
		w.Header().Set("Connection", "close")
		exchange.NotRun(w, "Draining", exchange.MessageDraining)
	case errors.Is(err, context.Canceled):
		exchange.Abort(w)
	default:
		r.log.Error("request not run", "error", err)
		exchange.Fail(w, http.StatusInternalServerError, exchange.MessageInternal, false)
	}
}

func (r *Runtime) answerReply(w http.ResponseWriter, reply *worker.Reply) {
	switch reply.Outcome {
	case worker.OK:
	case worker.Raised:
		exchange.Fail(w, http.StatusInternalServerError, messageRaised, true)
		return
	case worker.BadInput:
		exchange.Fail(w, http.StatusBadRequest, reply.Message, false)
		return
	case worker.Unsupported:
		exchange.Fail(w, http.StatusUnsupportedMediaType, reply.Message, false)
		return
	case worker.Unsendable:
		exchange.Fail(w, http.StatusInternalServerError, exchange.MessageInternal, false)
		return
	default:
		r.log.Error("unknown outcome of a request", "outcome", reply.Outcome)
		exchange.Fail(w, http.StatusInternalServerError, exchange.MessageInternal, false)
		return
	}
	w.Header()[exchange.HeaderExec] = []string{strconv.FormatFloat(reply.ExecMS, 'f', 3, 64)}
	if reply.Status == 0 {
		exchange.SetFailed(w, false)
		w.Header()[exchange.HeaderContentType] = []string{exchange.TypeJSON}
		writeWhole(w, http.StatusOK, reply)
		return
	}
	r.answerOwn(w, reply)
}

// answerOwn sends what the script decided with an AMLResponse.
func (r *Runtime) answerOwn(w http.ResponseWriter, reply *worker.Reply) {
	h := w.Header()
	failed := reply.Status >= http.StatusInternalServerError
	h[exchange.HeaderContentType] = nil
	for _, pair := range reply.Headers {
		switch name := textproto.CanonicalMIMEHeaderKey(pair[0]); name {
		case exchange.HeaderFailed:
			failed = failed || strings.EqualFold(pair[1], "true")
		case "X-Request-Id", "X-Ms-Request-Id", "X-Ms-Client-Request-Id", exchange.HeaderVersion, exchange.HeaderExec:
			// The server's own.
		case "Content-Length", "Transfer-Encoding", "Connection":
			// These belong to the connection, and a wrong one would break it.
		default:
			if strings.HasPrefix(name, "Access-Control-") {
				// A script that answers other origins itself has the last word; browsers refuse two.
				delete(h, name)
			}
			h[name] = append(h[name], pair[1])
		}
	}
	exchange.SetFailed(w, failed)
	if reply.Streamed() {
		r.stream(w, reply)
		return
	}
	writeWhole(w, reply.Status, reply)
}

// writeWhole sends a body that is not streamed.
func writeWhole(w http.ResponseWriter, status int, reply *worker.Reply) {
	if bodyAllowed(status) {
		w.Header()["Content-Length"] = []string{strconv.FormatInt(reply.Size(), 10)}
	}
	w.WriteHeader(status)
	_, _ = reply.WriteTo(w) // the client may be gone
}

func (r *Runtime) stream(w http.ResponseWriter, reply *worker.Reply) {
	w.WriteHeader(reply.Status)
	control := http.NewResponseController(w)
	for {
		piece, err := reply.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.log.Warn("streamed response broken off", "error", err)
			exchange.Abort(w)
			return
		}
		if _, err := w.Write(piece); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
	}
}

func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
