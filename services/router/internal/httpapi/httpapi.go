// Package httpapi is the data plane's interface for HTTP/1.1, HTTP/2 and gRPC: it takes
// a scoring request, or one of the Open Inference Protocol, through the stages (find the endpoint, authenticate, choose the version, admit,
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
//   - The scoring timeout runs from arrival, waiting included. A WebSocket may live
//     longer: for it the timeout is how long nothing may pass on it. Its place on
//     the replica is taken as long as it lives.
//   - What is below an endpoint and neither score nor swagger.json is for custom
//     servers only, and counts as scoring.
//   - A request that a replica may have seen is sent again only when its caller
//     marks it with an Idempotency-Key, and once.
//   - No call but to a replica is made while a request waits.
//
// A Handler may be used by many goroutines.
package httpapi

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/fairlead/fairlead/services/router/internal/arrival"
	"github.com/fairlead/fairlead/services/router/internal/proxy"
	"github.com/fairlead/fairlead/services/router/internal/record"
	"github.com/fairlead/fairlead/services/router/internal/requestid"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
	"github.com/fairlead/fairlead/services/router/internal/token"
)

// Headers in canonical form.
const (
	headerVersion     = "Azureml-Model-Deployment"
	headerTraceparent = "Traceparent"
	headerTracestate  = "Tracestate"
	// headerIdempotencyKey marks requests that may be repeated.
	headerIdempotencyKey = "Idempotency-Key"
	// headerTimeout is how many milliseconds are left for a request: the caller's
	// own limit, and what the replica is told.
	headerTimeout = "X-Fairlead-Timeout-Ms"
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
	version      string
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
	// Version of the product, for the metadata of the server.
	Version string
}

// New makes a handler.
func New(deps Deps) *Handler {
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	return &Handler{
		logger: deps.Logger, routes: deps.Routes, forwarder: deps.Forwarder, maxBodyBytes: deps.MaxBodyBytes, count: deps.Count,
		tokens: token.NewVerifier(), tracer: deps.Tracer, clock: deps.Clock, version: deps.Version,
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
	// limit is how long the caller waits, from the request's arrival; 0 when it does not say.
	limit time.Duration
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
	if refused := x.locate(); refused != nil {
		return refused
	}
	if x.target.own != ownNothing {
		return h.serveOwn(x)
	}
	endpoint, refused := h.find(x.target.id)
	if refused != nil {
		return refused
	}
	x.seen.endpoint = endpoint
	if x.target.passed && !endpoint.HasCustom() {
		return refusePath()
	}
	if !x.target.allows(x.r.Method) {
		return refuseMethod(x.target)
	}
	if refused := h.authenticate(endpoint, x); refused != nil {
		return refused
	}
	return h.score(x, endpoint)
}

// locate says what the request is about.
func (x *exchange) locate() *refusal {
	if isGRPC(x.r) {
		return x.locateCall()
	}
	var ok bool
	if x.target, ok = parsePath(x.r.URL); !ok {
		return refusePath()
	}
	if value := x.r.Header.Get(headerTimeout); value != "" {
		ms, err := strconv.ParseInt(value, 10, 32)
		if err != nil || ms <= 0 {
			return refuseBadRequest("x-fairlead-timeout-ms is " + strconv.Quote(value) + "; it has to be a whole number of milliseconds above 0.")
		}
		x.limit = time.Duration(ms) * time.Millisecond
	}
	return nil
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

// setDeadlines bounds how long the connection can be read and written: the
// handler's context does not end a read of a body or a write of an answer.
func (x *exchange) setDeadlines(timeout time.Duration) {
	control := http.NewResponseController(x.w)
	deadline := x.arrival.Add(timeout)
	// A writer that has no deadlines (in tests) works without.
	_ = control.SetReadDeadline(deadline.Add(readGrace))
	_ = control.SetWriteDeadline(deadline.Add(writeGrace))
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
