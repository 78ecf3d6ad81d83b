package front

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// startEvery is between two looks at a server that starts, checkEvery at one that is up.
	startEvery = 50 * time.Millisecond
	checkEvery = time.Second
	// checkTimeout is how long an answer may take.
	checkTimeout = 5 * time.Second
	// maxMisses in a row mean that the server does not live any more.
	maxMisses = 3
	// servingStatus is how the answer of gRPC's own health service begins when the server serves.
	servingStatus = "\x08\x01"
	healthService = "/grpc.health.v1.Health/"
)

// checker asks a server how it is.
type checker struct {
	transport http.RoundTripper
	grpc      bool
}

// watch sees the server become ready, and then looks whether it lives and is ready, until ctx ends or the server has to be ended. It
// reports whether it was ready at some time.
func (s *Server) watch(ctx context.Context, p *process) (wasReady bool) {
	misses := 0
	pause := startEvery
	for wait(ctx, pause) {
		ready, err := s.look(ctx, p)
		if ctx.Err() != nil {
			return wasReady
		}
		if wasReady = wasReady || ready; wasReady {
			pause = checkEvery
		}
		s.mu.Lock()
		s.set(ready)
		s.mu.Unlock()
		if misses++; err == nil || !wasReady {
			misses = 0
		}
		if misses >= maxMisses {
			s.deps.Log.Warn("server does not answer its health route, it will be started again", "pid", p.pid(), "error", err)
			p.condemn("ended by the scorer because it did not answer its health route: " + err.Error())
			return wasReady
		}
	}
	return wasReady
}

// look tells whether the server is ready, and what is wrong with its health. A server that has requests may be too busy to answer in
// time: that says nothing of it.
func (s *Server) look(ctx context.Context, p *process) (ready bool, health error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	tooBusy := func(err error) bool { return errors.Is(err, context.DeadlineExceeded) && p.busy.Load() > 0 }
	if s.cfg.HealthRoute != "" && s.cfg.ReadyRoute != "" {
		if health = s.checker.check(ctx, p.address(), s.cfg.HealthRoute); tooBusy(health) {
			health = nil
		}
	}
	err := s.checker.check(ctx, p.address(), s.cfg.readyRoute())
	if s.cfg.ReadyRoute == "" && !tooBusy(err) {
		health = err
	}
	return health == nil && (err == nil || tooBusy(err)), health
}

// check asks the route, or only for a connection when there is none.
func (c *checker) check(ctx context.Context, address, route string) error {
	if route == "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if c.grpc {
		method, body = http.MethodPost, bytes.NewReader(make([]byte, 5)) // one empty message
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+address+route, body)
	if err != nil {
		return err
	}
	if c.grpc {
		r.Header.Set("Content-Type", typeGRPC)
		r.Header.Set("Te", "trailers")
	}
	response, err := c.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	switch {
	case err != nil:
		return err
	case c.grpc:
		return judgeCall(route, response, content)
	case response.StatusCode < 200 || response.StatusCode > 299:
		return fmt.Errorf("%s answers with status %d", route, response.StatusCode)
	}
	return nil
}

// judgeCall says what is wrong with the answer to a call of gRPC.
func judgeCall(route string, response *http.Response, content []byte) error {
	status := response.Trailer.Get(headerGRPCStatus)
	if status == "" {
		status = response.Header.Get(headerGRPCStatus)
	}
	switch {
	case status == "":
		return fmt.Errorf("%s does not answer in gRPC (HTTP status %d)", route, response.StatusCode)
	case status != "0":
		return fmt.Errorf("%s answers with status %s of gRPC", route, status)
	case strings.HasPrefix(route, healthService) && (len(content) < 5 || !bytes.HasPrefix(content[5:], []byte(servingStatus))):
		return fmt.Errorf("%s does not answer SERVING", route)
	}
	return nil
}
