package score

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/scorer"
)

const (
	// lookPause is between two looks at the files. A change counts when two looks
	// agree about it, so that no half-written file is loaded.
	lookPause = 200 * time.Millisecond
	// watchDrain is how long requests may hold up a reload.
	watchDrain = "2s"
	farewell   = time.Second
)

// watch serves until ctx ends, with one scorer after the other: each change of the
// files begins a new one. They share a socket, so a caller waits for the next
// scorer instead of being refused. While the script can't start, requests are
// answered with the cause.
func (r *run) watch(ctx context.Context) error {
	r.args = append(r.args, "--drain-timeout", watchDrain)
	socket, err := r.open(ctx, r.listen)
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	seen := r.watched.look()
	for announced := false; ; {
		next, err := r.generation(ctx, socket, seen, &announced)
		if err != nil || ctx.Err() != nil {
			return err
		}
		r.session.Notef("%s: loading anew", strings.Join(differing(seen, next), ", "))
		seen = next
	}
}

// generation serves the files as they were seen until they differ, and gives how
// they are then.
func (r *run) generation(ctx context.Context, socket net.Listener, seen files, announced *bool) (files, error) {
	listener, err := duplicate(socket)
	if err != nil {
		return nil, err
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan files, 1)
	go func() { changed <- r.watched.change(waiting, seen) }()
	s, err := r.start(ctx, listener)
	if err != nil {
		return r.broken(ctx, socket, changed, err)
	}
	loaded := make(chan bool, 1)
	go func() { loaded <- s.ready(waiting) }()
	for {
		select {
		case next := <-changed:
			return next, ignoreStart(s.end())
		case ok := <-loaded:
			if ok && !*announced {
				r.announce(s.address)
				*announced = true
			} else if ok {
				r.session.Notef("loaded")
			}
			loaded = nil
		case err := <-s.ended:
			s.stop()
			if ctx.Err() != nil {
				return nil, r.outcome(err)
			}
			return r.broken(ctx, socket, changed, err)
		}
	}
}

// ignoreStart drops why a scorer that is not wanted any more did not work.
func ignoreStart(err error) error {
	if isBroken(err) {
		return nil
	}
	return err
}

func isBroken(err error) bool {
	var start *scorer.StartError
	var wrong *scorer.ConfigError
	var loop *scorer.CrashLoopError
	return errors.As(err, &start) || errors.As(err, &wrong) || errors.As(err, &loop)
}

// broken answers requests with the reason why the script does not work, until its
// files differ.
func (r *run) broken(ctx context.Context, socket net.Listener, changed <-chan files, cause error) (files, error) {
	if !isBroken(cause) {
		return nil, failure.New(failure.Error, "%s does not serve any more: %v", r.name, cause)
	}
	listener, err := duplicate(socket)
	if err != nil {
		return nil, err
	}
	r.session.Notef("%s can't start: %v; it is tried again when a file changes", r.name, cause)
	server := &http.Server{ReadHeaderTimeout: farewell, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, fmt.Sprintf("%s can't start: %v", r.name, cause), http.StatusServiceUnavailable)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	next := <-changed // also when ctx ends
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if server.Shutdown(leaving) != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return nil, err
	}
	return next, nil
}

// duplicate gives a second listener on the same socket.
func duplicate(l net.Listener) (net.Listener, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("a socket of kind %T can't be shared", l)
	}
	file, err := tcp.File()
	if err != nil {
		return nil, fmt.Errorf("share the socket: %w", err)
	}
	defer file.Close()
	second, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("share the socket: %w", err)
	}
	return second, nil
}

// change waits for files that differ from those seen and gives them; nil when ctx ends.
func (w watched) change(ctx context.Context, seen files) files {
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	last := seen
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := w.look()
		if settled := maps.Equal(now, last); settled && !maps.Equal(now, seen) {
			return now
		}
		last = now
	}
}
