package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/exchange"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

const (
	typeGRPC         = "application/grpc"
	headerGRPCStatus = "Grpc-Status"
	// idleTimeout is how long a connection is kept: less than servers keep theirs, so that none is used that they are about to close.
	idleTimeout = time.Second
	dialTimeout = 5 * time.Second
)

// Statuses of gRPC that refusals have.
const (
	grpcDeadlineExceeded  = 4
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcUnavailable       = 14
)

func newTransport(cfg Config) *http.Transport {
	t := &http.Transport{
		Proxy:                 nil, // the server is on this machine, whatever the environment says
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       idleTimeout,
		ResponseHeaderTimeout: cfg.Timeout,
	}
	if cfg.GRPC {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return t
}

// Score forwards a request to the scoring route.
func (s *Server) Score(w http.ResponseWriter, r *http.Request, _ string) {
	if s.cfg.GRPC && s.cfg.ScoringRoute == "" {
		exchange.Fail(w, http.StatusNotFound, "The server of this version speaks gRPC: it has no scoring route.", false)
		return
	}
	r.URL.Path, r.URL.RawPath = s.cfg.ScoringRoute, ""
	if r.URL.Path == "" {
		r.URL.Path = "/score"
	}
	s.serve(w, r)
}

// ServeHTTP forwards a request as it is.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isCall(r) && !s.cfg.GRPC {
		refuseCall(w, grpcUnimplemented, "The server of this version does not speak gRPC.")
		return
	}
	s.serve(w, r)
}

// serve waits for a place and for the server, and forwards.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > s.cfg.MaxBody {
		s.fail(w, r, nil, &http.MaxBytesError{Limit: s.cfg.MaxBody})
		return
	}
	// A WebSocket lives as long as its sides want; the transport bounds the time until it is agreed to.
	if r.Header.Get("Upgrade") == "" {
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
		defer cancel()
		r = r.WithContext(ctx)
	}
	if err := s.places.take(r.Context()); err != nil {
		s.fail(w, r, nil, err)
		return
	}
	defer s.places.leave()
	p, err := s.await(r.Context())
	if err != nil {
		s.fail(w, r, nil, err)
		return
	}
	p.busy.Add(1)
	defer p.busy.Add(-1)
	s.forward(w, r, p)
}

// forward sends the request to the server. The ids that the answer has win over the server's own, and the server sees them.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, p *process) {
	if id := w.Header().Get("X-Request-Id"); id != "" {
		r.Header.Set("X-Request-Id", id)
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		// Otherwise net/http takes the rest of the body itself as soon as the answer begins.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	proxy := &httputil.ReverseProxy{
		Transport: s.transport,
		Rewrite: func(out *httputil.ProxyRequest) {
			out.Out.URL.Scheme, out.Out.URL.Host, out.Out.Host = "http", p.address(), ""
			for _, key := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if values, ok := out.In.Header[key]; ok {
					out.Out.Header[key] = values
				}
			}
		},
		ModifyResponse: func(response *http.Response) error {
			p.answered.Add(1)
			for _, key := range []string{"X-Request-Id", "X-Ms-Request-Id", "X-Ms-Client-Request-Id", exchange.HeaderVersion} {
				if w.Header().Get(key) != "" {
					response.Header.Del(key)
				}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { s.fail(w, r, p, err) },
		ErrorLog:     slog.NewLogLogger(s.deps.Log.Handler(), slog.LevelDebug),
	}
	proxy.ServeHTTP(w, r)
}

// fail answers a request that got no answer from the server; p is nil when it did not get there.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, p *process, err error) {
	status, code, message := s.explain(r, p, err)
	switch {
	case status == 0:
		s.deps.Log.Debug("request not answered: its caller left", "error", err)
		exchange.Abort(w)
	case isCall(r):
		refuseCall(w, code, message)
	default:
		exchange.Fail(w, status, message, p != nil && status != http.StatusRequestEntityTooLarge)
	}
}

// explain says what is answered for an error, in HTTP and as a status of gRPC; a status of 0 means nothing.
func (s *Server) explain(r *http.Request, p *process, err error) (status, code int, message string) {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, grpcResourceExhausted, fmt.Sprintf("The request body must not exceed %d bytes.", tooLarge.Limit)
	case errors.Is(err, worker.ErrQueueFull):
		return http.StatusServiceUnavailable, grpcUnavailable, "Too many requests wait for the server."
	case errors.Is(err, worker.ErrStopped):
		return http.StatusServiceUnavailable, grpcUnavailable, exchange.MessageDraining
	case errors.Is(r.Context().Err(), context.Canceled):
		return 0, 0, ""
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout, grpcDeadlineExceeded, fmt.Sprintf("Scoring timeout after %d ms", s.cfg.Timeout.Milliseconds())
	}
	p.failed.Store(true)
	s.deps.Log.Warn("request not answered by the server", "pid", p.pid(), "error", err)
	message = "The server closed the connection before it answered. Check the logs for more info."
	patience := time.NewTimer(lastWords)
	defer patience.Stop()
	select {
	case <-p.ended:
		message = "The server ended while it ran this request: " + p.exit + ". Check the logs for more info."
	case <-patience.C:
	}
	return http.StatusBadGateway, grpcUnavailable, message
}

// isCall says whether a request is a call of gRPC.
func isCall(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get(exchange.HeaderContentType), typeGRPC)
}

// refuseCall answers with a status of gRPC. The messages are of plain characters.
func refuseCall(w http.ResponseWriter, code int, message string) {
	h := w.Header()
	h[exchange.HeaderContentType] = []string{typeGRPC}
	h[headerGRPCStatus] = []string{fmt.Sprint(code)}
	h["Grpc-Message"] = []string{strings.ReplaceAll(message, "%", "%25")}
	w.WriteHeader(http.StatusOK)
}
