package score

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/scorer"
)

// readyPause is between two questions whether the script can answer.
const readyPause = 20 * time.Millisecond

// serving is a scorer that runs.
type serving struct {
	address string
	ended   chan error // gets its end, once
	stop    context.CancelFunc
}

// start starts a scorer on listener, which it closes in any case.
func (r *run) start(ctx context.Context, listener net.Listener) (*serving, error) {
	cfg, err := r.config()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	deps := r.deps()
	deps.Listener = listener
	s := &serving{address: listener.Addr().String(), ended: make(chan error, 1), stop: stop}
	go func() { s.ended <- scorer.Run(ctx, cfg, deps) }()
	return s, nil
}

// ready blocks until the scorer can answer; false when ctx ends or the scorer has
// ended before, whose end is then in s.ended.
func (s *serving) ready(ctx context.Context) bool {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(readyPause)
	defer tick.Stop()
	for {
		if s.asksReady(ctx, client) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case err := <-s.ended:
			s.ended <- err
			return false
		case <-tick.C:
		}
	}
}

func (s *serving) asksReady(ctx context.Context, client *http.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // one that has ended leaves the question unanswered
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/-/ready", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// end ends the scorer and gives how it ended.
func (s *serving) end() error {
	s.stop()
	return <-s.ended
}

func (r *run) open(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, failure.New(failure.Error, "--listen: %v", err)
	}
	return l, nil
}

// serve serves until ctx ends.
func (r *run) serve(ctx context.Context) error {
	listener, err := r.open(ctx, r.listen)
	if err != nil {
		return err
	}
	s, err := r.start(ctx, listener)
	if err != nil {
		return r.outcome(err)
	}
	defer s.stop()
	if s.ready(ctx) {
		r.announce(s.address)
	}
	return r.outcome(<-s.ended)
}

func (r *run) announce(address string) {
	_, _ = fmt.Fprintln(r.session.Streams.Out, "ready")
	r.session.Notef("serving at http://%s/score", address)
}

// answer answers one request.
func (r *run) answer(ctx context.Context, data string) error {
	body, err := r.request(data)
	if err != nil {
		return failure.New(failure.Error, "-d/--data: %v", err)
	}
	listener, err := r.open(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	s, err := r.start(ctx, listener)
	if err != nil {
		return r.outcome(err)
	}
	if !s.ready(ctx) {
		if err := s.end(); err != nil {
			return r.outcome(err)
		}
		return context.Cause(ctx)
	}
	answered := r.score(ctx, s.address, body)
	if err := s.end(); err != nil && answered == nil {
		return r.outcome(err)
	}
	return answered
}

// request gives the request's body. What is the name of a file stands for the file.
func (r *run) request(data string) ([]byte, error) {
	file, isFile := strings.CutPrefix(data, "@")
	switch {
	case isFile && file == "-":
		return io.ReadAll(r.session.Streams.In)
	case isFile:
		return os.ReadFile(file)
	}
	if info, err := os.Stat(data); err == nil && info.Mode().IsRegular() {
		return os.ReadFile(data)
	}
	return []byte(data), nil
}

func (r *run) score(ctx context.Context, address string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/score", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return failure.New(failure.Error, "%s gave no answer: the connection was closed, as when the script ends its process", r.name)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return failure.New(failure.Error, "the answer broke off: %v", err)
	}
	if !bytes.HasSuffix(answer, []byte("\n")) {
		answer = append(answer, '\n')
	}
	if _, err := r.session.Streams.Out.Write(answer); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return failure.New(failure.Error, "%s answered %s", r.name, resp.Status)
	}
	return nil
}
