package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/router/internal/admission"
	"github.com/fairlead/fairlead/services/router/internal/grpcwire"
	"github.com/fairlead/fairlead/services/router/internal/proxy"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

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
			x.setDeadlines(x.timeout(version))
			body, err := h.takeBody(x)
			if err != nil {
				return h.explain(x, version, err)
			}
			x.seen.body, call = body, x.call(body)
		}
		err := h.forward(x, version, call)
		if err == nil {
			x.finish(call)
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

// finish notes what an answer counts as whose status does not say it.
func (x *exchange) finish(call *proxy.Call) {
	switch {
	case call.Upgraded != nil:
		x.seen.status, x.seen.written = http.StatusSwitchingProtocols, call.Upgraded.Sent
	case x.target.form == formGRPC:
		x.seen.status = statusOfCall(x.w.Header())
	}
}

// choose gives the version that the request names or whose turn it is.
func choose(endpoint *routetable.Endpoint, x *exchange) (*routetable.Version, *refusal) {
	version, refused := chooseAny(endpoint, x)
	if refused == nil && x.target.passed && !version.Custom {
		return nil, refuseNotCustom(endpoint, version)
	}
	return version, refused
}

func chooseAny(endpoint *routetable.Endpoint, x *exchange) (*routetable.Version, *refusal) {
	name := x.r.Header.Get(headerVersion)
	if inside := x.target.version; inside != "" {
		if name != "" && name != inside {
			return nil, refuseTwoVersions(inside, name)
		}
		name = inside
	}
	if name != "" {
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
	end := x.arrival.Add(x.timeout(version))
	ctx, cancel := context.WithDeadline(x.r.Context(), end)
	defer cancel()
	begin := time.Now()
	patience := admission.Patience{Until: begin.Add(version.MaxQueueWait)}
	if version.Holds {
		patience.Held = end
	}
	if call.Upgrade {
		call.Idle = version.ScoringTimeout
	}
	acquire := version.Gate.Acquire
	for try := 1; ; try++ {
		place, err := acquire(ctx, patience)
		x.seen.queueWait += time.Since(begin)
		if err != nil {
			return err
		}
		tellTimeout(call, time.Until(end))
		err = h.forwardTo(ctx, x, place, call)
		if err == nil || try >= maxTries && !errors.Is(err, proxy.ErrNotRun) || !x.mayRepeat(err) {
			return err
		}
		level := slog.LevelWarn
		if errors.Is(err, proxy.ErrNotRun) {
			level = slog.LevelDebug // its own log says why
		}
		h.logger.Log(ctx, level, "no answer from a replica, another place is tried", "replica", place.Replica(), "request_id", x.ids.MSRequest, "error", err)
		acquire, begin = version.Gate.Reacquire, time.Now()
	}
}

// tellTimeout tells the replica how much of the request's time is left.
func tellTimeout(call *proxy.Call, left time.Duration) {
	if call.GRPC {
		call.Header[headerGRPCTimeout] = []string{grpcwire.FormatTimeout(left)}
		return
	}
	call.Header[headerTimeout] = []string{strconv.FormatInt(max(left.Milliseconds(), 0), 10)}
}

// mayRepeat tells whether a request may be sent to another replica: when this
// one has certainly run nothing of it, or, once, when the caller says that
// twice is as good as once and its body can be sent again.
func (x *exchange) mayRepeat(err error) bool {
	if errors.Is(err, proxy.ErrUnreachable) {
		return true
	}
	if errors.Is(err, proxy.ErrNotRun) {
		return !x.seen.body.Streamed()
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
	switch {
	case errors.Is(err, proxy.ErrUnreachable), errors.Is(err, proxy.ErrNotRun):
		place.ReleaseUnreachable()
	case err == nil && x.seen.status < http.StatusInternalServerError && !call.Upgrade:
		// What fails fast, or lasts as long as its caller likes, says nothing of speed.
		place.ReleaseAnswered()
	}
	return err
}

// call makes what the replica gets.
func (x *exchange) call(body *proxy.Body) *proxy.Call {
	header := proxy.OutboundHeader(x.r)
	x.ids.PassOn(header)
	if x.target.prefix != "" {
		header["X-Forwarded-Prefix"] = []string{x.target.prefix}
	}
	return &proxy.Call{
		Inbound: x.r, Body: body, Path: x.target.path, EscapedPath: x.target.escaped, Header: header,
		GRPC:    x.target.form == formGRPC,
		Upgrade: x.target.passed && proxy.WantsWebSocket(x.r),
	}
}
