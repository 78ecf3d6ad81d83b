// Package proxy carries a request to a replica and the answer back, both as
// streams.
//
// Guarantees: what is hop-by-hop does not pass, in either direction; the
// caller's Authorization does not reach the container; the request to the
// replica ends when ctx ends, which is when the caller leaves or the scoring
// timeout is over; nothing has been written to the caller when an error other
// than ErrAborted is returned; a request is never sent twice, unless the replica
// has certainly seen nothing of it (ErrUnreachable), or HTTP calls it idempotent,
// which an Idempotency-Key does for any, and the connection was a kept one.
//
// Replicas are spoken to in HTTP/1.1, for gRPC in HTTP/2 without TLS. A WebSocket
// becomes a tunnel, which lives until one of its sides ends it, nothing passes on
// it for too long, or Drain cuts it.
//
// A Forwarder may be used by many goroutines.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// headerElsewhere tells a scorer that a request can be sent to another one, so
	// that it need not wait there for a worker to be replaced.
	headerElsewhere = "X-Fairlead-Elsewhere"
	// headerNotRun says why a scorer has not run a request.
	headerNotRun = "X-Fairlead-Not-Run"
)

// What Forward answers when there is no answer to the caller.
var (
	// ErrUnreachable: no connection to the replica could be made; nothing was sent.
	ErrUnreachable = errors.New("the replica cannot be reached")
	// ErrNoReply: the replica ended the connection before it answered.
	ErrNoReply = errors.New("replica closed connection before replying")
	// ErrNotRun: the replica cannot run anything for a moment and has not run this.
	ErrNotRun = errors.New("the replica cannot run requests for a moment")
	// ErrTooLarge: the request's body is larger than allowed.
	ErrTooLarge = errors.New("the request body is too large")
	// ErrBody: the request's body could not be read.
	ErrBody = errors.New("the request body cannot be read")
	// ErrAborted: the answer had begun and cannot be finished; all that is left
	// is to end the caller's connection.
	ErrAborted = errors.New("the answer was cut off")
)

// Forwarder forwards requests. It keeps connections to replicas open.
type Forwarder struct {
	transport, calls *http.Transport // calls are those of gRPC
	buffers          bufferPool
	tunnels          tunnels
}

// NotGRPCError says that a replica answered a call of gRPC, but not in gRPC.
type NotGRPCError struct{ Status int }

func (e *NotGRPCError) Error() string {
	return fmt.Sprintf("the replica answered a call of gRPC with HTTP status %d", e.Status)
}

// New makes a forwarder.
func New() *Forwarder {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}
	f := &Forwarder{transport: newTransport(dialer), calls: newTransport(dialer)}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	f.calls.Protocols = &protocols
	return f
}

func newTransport(dialer *net.Dialer) *http.Transport {
	return &http.Transport{
		Proxy:              nil, // replicas are reached directly, whatever the environment says
		DialContext:        dialer.DialContext,
		DisableCompression: true,
		// A connection per place of a replica is the most that is ever used.
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Drain waits for the tunnels to end, and cuts those that are left when ctx ends.
// No new ones are made.
func (f *Forwarder) Drain(ctx context.Context) { f.tunnels.drain(ctx) }

// Close ends the connections that are idle.
func (f *Forwarder) Close() {
	f.transport.CloseIdleConnections()
	f.calls.CloseIdleConnections()
}

// Call is a request on its way to a replica.
type Call struct {
	// Inbound is the caller's request. Its body is read through Body only.
	Inbound *http.Request
	Body    *Body
	// Path is the replica's own path for it; EscapedPath is how it is spelled
	// where that is not the usual way.
	Path, EscapedPath string
	// Header is what the replica gets, made by OutboundHeader.
	Header http.Header
	// GRPC calls are forwarded in HTTP/2, with trailers.
	GRPC bool
	// Upgrade asks the replica for a WebSocket, on which something has to pass
	// within Idle.
	Upgrade bool
	Idle    time.Duration
	// Upgraded is set when there was a WebSocket; it has ended.
	Upgraded *Upgraded
}

// Forward sends the call to the replica at address and its answer to w. Headers
// that w already has win over the replica's.
func (f *Forwarder) Forward(ctx context.Context, w http.ResponseWriter, call *Call, address string) error {
	out := &http.Request{
		Method: call.Inbound.Method,
		URL: &url.URL{
			Scheme: "http", Host: address, Path: call.Path, RawPath: call.EscapedPath,
			RawQuery: call.Inbound.URL.RawQuery, ForceQuery: call.Inbound.URL.ForceQuery,
		},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: call.Header,
		Host:   address,
	}
	call.Body.attach(out)
	transport := f.transport
	switch {
	case call.GRPC:
		transport = f.calls
		out.Header["Te"] = []string{"trailers"}
	case call.Upgrade:
		askWebSocket(out.Header)
	}
	out.Header[headerElsewhere] = []string{"1"}
	response, err := transport.RoundTrip(out.WithContext(ctx))
	if err != nil {
		return classify(ctx, call.Body, err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusServiceUnavailable && response.Header.Get(headerNotRun) != "":
		return fmt.Errorf("%w: %s", ErrNotRun, response.Header.Get(headerNotRun))
	case response.StatusCode == http.StatusSwitchingProtocols && call.Upgrade:
		return f.tunnel(w, call, response)
	case response.StatusCode == http.StatusSwitchingProtocols:
		return fmt.Errorf("%w: it switched protocols without being asked", ErrNoReply)
	case call.GRPC && (response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/grpc")):
		return &NotGRPCError{Status: response.StatusCode}
	}
	return relay(w, response, &f.buffers)
}

// classify says what a failed round trip means.
func classify(ctx context.Context, body *Body, err error) error {
	bodyRead, bodyErr := body.state()
	var op *net.OpError
	switch {
	case errors.Is(bodyErr, ErrTooLarge):
		return bodyErr
	case ctx.Err() != nil:
		return ctx.Err()
	case bodyErr != nil:
		return fmt.Errorf("%w: %w", ErrBody, bodyErr)
	case errors.As(err, &op) && op.Op == "dial" && !bodyRead:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	default:
		return fmt.Errorf("%w: %w", ErrNoReply, err)
	}
}
