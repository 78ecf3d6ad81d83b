// Package httpapi is the data plane's HTTP interface: it takes a scoring request
// through the stages (find the endpoint, authenticate, choose the version, admit,
// forward) and answers by itself when a stage refuses.
//
// Decisions that callers see:
//   - An endpoint that does not exist is 404 also without a key: clear errors win
//     over hiding names.
//   - An endpoint is opened by keys or by tokens, never by both; a refusal says which.
//   - OPTIONS passes without a key, so that browsers' preflight requests work. Its
//     body does not: who shows no key must not keep a replica busy with one.
//   - Health, swagger.json and OPTIONS go to the endpoint's anchor version; only
//     scoring walks the split.
//   - The scoring timeout runs from arrival, waiting included.
//   - A request that a replica may have seen is sent again only when its caller
//     marks it with an Idempotency-Key, and once.
//   - No call but to a replica is made while a request waits.
//
// A Handler may be used by many goroutines.
package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/router/internal/admission"
	"github.com/fairlead/fairlead/services/router/internal/arrival"
	"github.com/fairlead/fairlead/services/router/internal/proxy"
	"github.com/fairlead/fairlead/services/router/internal/record"
	"github.com/fairlead/fairlead/services/router/internal/requestid"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
	"github.com/fairlead/fairlead/services/router/internal/token"
	"github.com/fairlead/fairlead/services/router/internal/tracecontext"
)

// Headers in canonical form.
const (
	headerVersion     = "Azureml-Model-Deployment"
	headerTraceparent = "Traceparent"
	headerTracestate  = "Tracestate"
	// headerIdempotencyKey marks requests that may be repeated.
	headerIdempotencyKey = "Idempotency-Key"
)

const (
	// How long a caller may take to send and receive what is answered without a replica.
	refusalTimeout = 10 * time.Second
	// How much longer than the timeout the connection can be read: a little, so
	// that the end of the timeout is noticed as such and not as a caller that left.
	readGrace = 100 * time.Millisecond
	// How much longer it can be written, so that the 504 itself still passes.
	writeGrace = 5 * time.Second
	// How often the version is chosen again when the chosen one goes away.
	maxChoices = 4
	// How many replicas a request is sent to at most.
	maxTries = 3
)

// Handler answers data-plane requests.
type Handler struct {
	logger       *slog.Logger
	routes       *routetable.Current
	forwarder    *proxy.Forwarder
	maxBodyBytes int64
	count        func(*record.Request)
	tracer       trace.Tracer // nil without tracing
	tokens       *token.Verifier
	clock        func() time.Time
}

// Deps are what a Handler works with.
type Deps struct {
	Logger    *slog.Logger
	Routes    *routetable.Current
	Forwarder *proxy.Forwarder
	// MaxBodyBytes limits the body of a request.
	MaxBodyBytes int64
	// Count takes every scoring request that has ended; nil means nobody does.
	Count func(*record.Request)
	// Tracer makes spans; nil means nothing is traced.
	Tracer trace.Tracer
	// Clock says what time it is for tokens; nil means the machine's.
	Clock func() time.Time
}

// New makes a handler.
func New(deps Deps) *Handler {
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	return &Handler{
		logger: deps.Logger, routes: deps.Routes, forwarder: deps.Forwarder, maxBodyBytes: deps.MaxBodyBytes, count: deps.Count,
		tokens: token.NewVerifier(), tracer: deps.Tracer, clock: deps.Clock,
	}
}

// exchange is one request with what is known of it so far.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	arrival time.Time
	ids     requestid.IDs
	target  target
	seen    observation
	span    trace.Span // nil without tracing
	// repeated is set once the request was sent again after a replica had seen it.
	repeated bool
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{r: r, arrival: arrival.Of(r.Context()), seen: observation{ResponseWriter: w}}
	x.w = &x.seen
	defer h.observe(x) // last, when a fault has been answered
	defer h.recoverFrom(x)
	if r.URL.Path == "/" {
		h.serveHealth(x)
		return
	}
	var tooLong string
	x.ids, tooLong = requestid.From(r.Header)
	x.ids.Answer(w.Header())
	h.begin(x)                     //nolint:contextcheck // the exchange carries the request and its context
	refused := h.serve(x, tooLong) //nolint:contextcheck // the exchange carries the request and its context
	if refused != nil {
		x.refuse(refused)
	}
}

// serve takes the request through the stages. It returns what is to be answered
// when the replica did not.
func (h *Handler) serve(x *exchange, tooLong string) *refusal {
	if tooLong != "" {
		return refuseHeader(tooLong)
	}
	var ok bool
	if x.target, ok = parsePath(x.r.URL); !ok {
		return refusePath()
	}
	endpoint, refused := h.find(x.target.id)
	if refused != nil {
		return refused
	}
	x.seen.endpoint = endpoint
	if !x.target.allows(x.r.Method) {
		return refuseMethod(x.target)
	}
	if refused := h.authenticate(endpoint, x); refused != nil {
		return refused
	}
	return h.score(x, endpoint)
}

// find looks the endpoint up. Before the table is complete nothing is answered:
// a key that has not arrived yet would be called wrong.
func (h *Handler) find(id routetable.ID) (*routetable.Endpoint, *refusal) {
	table := h.routes.Load()
	if !table.Complete {
		return nil, refuseStarting()
	}
	endpoint, found := table.Lookup(id)
	if !found {
		return nil, refuseEndpoint(id)
	}
	return endpoint, nil
}

// score chooses the version and sees the request through, again with the newest
// table when the chosen version goes away while the request waits.
func (h *Handler) score(x *exchange, endpoint *routetable.Endpoint) *refusal {
	var call *proxy.Call
	for choice := range maxChoices {
		version, refused := choose(endpoint, x)
		if refused != nil {
			return refused
		}
		x.w.Header()[headerVersion] = []string{version.Name}
		x.seen.version = version.Name
		if choice == 0 {
			x.setDeadlines(version.ScoringTimeout)
			body, err := h.takeBody(x)
			if err != nil {
				return h.explain(x, version, err)
			}
			x.seen.body, call = body, x.call(body)
		}
		err := h.forward(x, version, call)
		if err == nil {
			return nil
		}
		if !errors.Is(err, admission.ErrMoved) && !errors.Is(err, admission.ErrClosed) {
			return h.explain(x, version, err)
		}
		delete(x.w.Header(), headerVersion)
		x.seen.version = ""
		if endpoint, refused = h.find(x.target.id); refused != nil {
			return refused
		}
	}
	return refuseNoReplicas(x.target.id.Endpoint)
}

// takeBody takes over the body of a request, as far as the replica gets it.
func (h *Handler) takeBody(x *exchange) (*proxy.Body, error) {
	body := &proxy.Body{}
	if x.r.Method != http.MethodOptions {
		var err error
		if body, err = proxy.ReadBody(x.r, h.maxBodyBytes); err != nil {
			return nil, err
		}
	}
	if body.Streamed() || x.r.Method == http.MethodOptions {
		// Otherwise net/http takes the rest of the body itself as soon as the
		// answer begins. A writer that cannot (in tests) works without.
		_ = http.NewResponseController(x.w).EnableFullDuplex()
	}
	return body, nil
}

// forward waits for a place and sends the request there. When the replica cannot
// be reached, or ends without an answer to a request that may be repeated,
// another place is tried.
func (h *Handler) forward(x *exchange, version *routetable.Version, call *proxy.Call) error {
	ctx, cancel := context.WithDeadline(x.r.Context(), x.arrival.Add(version.ScoringTimeout))
	defer cancel()
	begin := time.Now()
	patience := admission.Patience{Until: begin.Add(version.MaxQueueWait)}
	if version.Holds {
		patience.Held = x.arrival.Add(version.ScoringTimeout)
	}
	acquire := version.Gate.Acquire
	for try := 1; ; try++ {
		place, err := acquire(ctx, patience)
		x.seen.queueWait += time.Since(begin)
		if err != nil {
			return err
		}
		err = h.forwardTo(ctx, x, place, call)
		if err == nil || try == maxTries || !x.mayRepeat(err) {
			return err
		}
		h.logger.Warn("no answer from a replica, another place is tried", "replica", place.Replica(), "request_id", x.ids.MSRequest, "error", err)
		acquire, begin = version.Gate.Reacquire, time.Now()
	}
}

// mayRepeat tells whether a request may be sent to another replica: when this
// one has certainly seen nothing of it, or, once, when the caller says that
// twice is as good as once and its body can be sent again.
func (x *exchange) mayRepeat(err error) bool {
	if errors.Is(err, proxy.ErrUnreachable) {
		return true
	}
	if x.repeated || !errors.Is(err, proxy.ErrNoReply) || x.r.Header.Get(headerIdempotencyKey) == "" || x.seen.body.Streamed() {
		return false
	}
	x.repeated = true
	return true
}

func (h *Handler) forwardTo(ctx context.Context, x *exchange, place *admission.Reservation, call *proxy.Call) error {
	// Deferred, since a panic on the way must not keep the place.
	defer place.Release()
	x.seen.replica = resourcename.Last(place.Replica())
	ctx, done := h.toReplica(ctx, call.Header, x.seen.replica)
	begin := time.Now()
	err := h.forwarder.Forward(ctx, x.w, call, place.Address())
	x.seen.execution = time.Since(begin)
	done(err)
	if errors.Is(err, proxy.ErrUnreachable) {
		place.ReleaseUnreachable()
	}
	return err
}

// call makes what the replica gets.
func (x *exchange) call(body *proxy.Body) *proxy.Call {
	header := proxy.OutboundHeader(x.r)
	x.ids.PassOn(header)
	return &proxy.Call{Inbound: x.r, Body: body, Path: x.target.path, Header: header}
}

// setDeadlines bounds how long the connection can be read and written: the
// handler's context does not end a read of a body or a write of an answer.
func (x *exchange) setDeadlines(timeout time.Duration) {
	control := http.NewResponseController(x.w)
	deadline := x.arrival.Add(timeout)
	// A writer that has no deadlines (in tests) works without.
	_ = control.SetReadDeadline(deadline.Add(readGrace))
	_ = control.SetWriteDeadline(deadline.Add(writeGrace))
}

// serveHealth answers for the router itself.
func (h *Handler) serveHealth(x *exchange) {
	x.setDeadlines(refusalTimeout)
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.ids, _ = requestid.From(x.r.Header)
		x.ids.Answer(x.w.Header())
		x.refuse(refuseMethod(target{methods: []string{http.MethodGet, http.MethodHead}}))
		return
	}
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(x.w, "Healthy") //nolint:errcheck // the prober left
}

// recoverFrom answers 500 for a fault of the router.
func (h *Handler) recoverFrom(x *exchange) {
	fault := recover()
	if fault == nil {
		return
	}
	if fault == http.ErrAbortHandler { //nolint:errorlint // net/http compares so, too
		panic(fault) //nolint:forbidigo // passed on to net/http, whose it is
	}
	h.logger.Error("request failed by a fault of the router", "request_id", x.ids.MSRequest, "fault", fault)
	x.refuse(refuseFault())
}

// choose gives the version that the request names or whose turn it is.
func choose(endpoint *routetable.Endpoint, x *exchange) (*routetable.Version, *refusal) {
	if name := x.r.Header.Get(headerVersion); name != "" {
		if version, ok := endpoint.Version(name); ok {
			return version, nil
		}
		return nil, refuseVersion(endpoint, name)
	}
	version := endpoint.Anchor()
	if x.target.scoring && x.r.Method != http.MethodOptions {
		version = endpoint.Next()
	}
	if version == nil {
		return nil, refuseNoReplicas(endpoint.ID.Endpoint)
	}
	return version, nil
}

// passTrace makes the request part of a trace, of the caller's if it has one, and
// tells the caller which.
func passTrace(request, answer http.Header) {
	values := request[headerTraceparent]
	if len(values) != 1 || !tracecontext.Valid(values[0]) {
		values = []string{tracecontext.New()}
		request[headerTraceparent] = values
		delete(request, headerTracestate)
	}
	answer[headerTraceparent] = values
}
