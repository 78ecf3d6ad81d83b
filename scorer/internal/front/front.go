// Package front is the runtime that puts a server of the user's own behind a scorer: it starts the server, waits until it is ready,
// starts it again when it ends, and forwards requests to it.
//
// Guarantees: the server has at most so many requests at a time; who comes while it is started again waits for it; a request that it
// dies of gets an answer that says so, and is not sent twice; its output comes line by line; it never outlives the scorer, for it is
// killed by the kernel when the thread that started it ends, and its process group is killed as a whole when it has ended. (What it
// puts into another group is its own affair.)
//
// A Server may be used from any goroutine; Run owns all that it starts.
package front

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/crashloop"
	"github.com/fairlead/fairlead/scorer/internal/server"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// Name is the runtime's.
const Name = "custom"

// Reasons of a *worker.LoadError, for programs.
const (
	// reasonMissing: the program that the command names can't be started.
	reasonMissing = "ServerMissing"
	// reasonFailed: the server ended before it was ready.
	reasonFailed = "ServerFailed"
)

const (
	// firstStarts is how often a server is tried that has never been ready.
	firstStarts = 3
	// endGrace is how long it may take to end when it is asked to.
	endGrace = 10 * time.Second
)

// Config says what to run.
type Config struct {
	// Command is the program with its arguments; "{port}" in them becomes the port.
	Command []string
	// Dir is the working directory, Env the environment, complete but for PORT.
	Dir string
	Env []string
	// Port the server listens on, on loopback; 0 means a free one each time.
	Port int
	// GRPC servers are spoken to in HTTP/2 without TLS.
	GRPC bool
	// HealthRoute answers while the server lives, ReadyRoute once it can score; with neither, taking connections is enough.
	HealthRoute, ReadyRoute string
	// ScoringRoute is where requests to /score go.
	ScoringRoute string
	// Concurrency is how many requests it gets at the same time, 0 for no limit; MaxQueue is how many may wait.
	Concurrency, MaxQueue int
	// Timeout bounds a request, waiting included; for a WebSocket until it is agreed to.
	Timeout time.Duration
	// MaxBody is the longest request body, in bytes.
	MaxBody int64
	// MemoryLimited says that there is a memory limit; for the words about a server that was killed.
	MemoryLimited bool
}

func (c Config) readyRoute() string {
	if c.ReadyRoute != "" {
		return c.ReadyRoute
	}
	return c.HealthRoute
}

// Deps is what a Server uses. The server's output goes to Stdout and Stderr.
type Deps struct {
	Log            *slog.Logger
	Stdout, Stderr *os.File
}

// Server is the runtime. Use New, then Run.
type Server struct {
	cfg       Config
	deps      Deps
	places    *places
	transport *http.Transport
	checker   *checker

	mu        sync.Mutex
	process   *process // nil while none is started
	up        bool     // it takes requests
	changed   chan struct{}
	loaded    bool
	stopped   bool
	restarts  int
	failing   int // starts that failed since one succeeded, after the first
	lastError string
}

var _ server.Runtime = (*Server)(nil)

// New makes a Server; nothing runs before Run.
func New(cfg Config, deps Deps) *Server {
	transport := newTransport(cfg)
	return &Server{
		cfg: cfg, deps: deps, places: newPlaces(cfg.Concurrency, cfg.MaxQueue), transport: transport,
		checker: &checker{transport: transport, grpc: cfg.GRPC}, changed: make(chan struct{}),
	}
}

// Run keeps the server running until ctx ends, then ends it and returns nil. It fails with a *worker.LoadError when the server never
// becomes ready, with a *worker.CrashLoopError when it dies again and again.
func (s *Server) Run(ctx context.Context) error {
	// The server dies with this thread. When Run returns there is none.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer s.transport.CloseIdleConnections()
	defer s.stop()
	fruitless := 0
	var deaths []crashloop.Death
	for {
		p, err := s.start()
		if err != nil {
			return err
		}
		ready := s.attend(ctx, p)
		if ctx.Err() != nil {
			return nil
		}
		if fruitless++; p.answered.Load() > 0 {
			fruitless = 0
		}
		if err := s.startFailed(p, ready, fruitless); err != nil {
			return err
		}
		var verdict string
		death := crashloop.Death{At: time.Now(), Serving: p.busy.Load() > 0 || p.failed.Load(), Answered: p.answered.Load(), Exit: p.exit}
		if deaths, verdict = crashloop.Judge("the server", append(deaths, death)); verdict != "" {
			return &worker.CrashLoopError{Cause: verdict}
		}
		if !wait(ctx, crashloop.Pause(fruitless, rand.Float64())) {
			return nil
		}
	}
}

// start starts the server.
func (s *Server) start() (*process, error) {
	p, err := spawn(s.cfg, s.deps)
	if err != nil {
		return nil, err
	}
	s.deps.Log.Info("server started", "pid", p.pid(), "port", p.port)
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	return p, nil
}

// startFailed notes how a server ended. It fails for one that has never been ready often enough.
func (s *Server) startFailed(p *process, ready bool, fruitless int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ready {
		s.restarts++
		s.failing = 0
		s.lastError = "the server ended: " + p.exit
		s.deps.Log.Warn("server ended, it will be started again", "pid", p.pid(), "exit", p.exit, "answered", p.answered.Load())
		return nil
	}
	s.lastError = "the server ended before it was ready: " + p.exit
	s.deps.Log.Warn("server ended before it was ready", "pid", p.pid(), "exit", p.exit)
	switch {
	case s.loaded:
		s.failing++
	case fruitless >= firstStarts:
		return &worker.LoadError{Reason: reasonFailed, Cause: "the server ended before it was ready: " + p.exit}
	}
	return nil
}

// attend looks after a server until it has ended, and reports whether it was ready at some time. When ctx ends it ends the server.
func (s *Server) attend(ctx context.Context, p *process) (ready bool) {
	looking, done := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		defer p.end() // whatever the reason, nothing of it is left
		ready = s.watch(looking, p)
	})
	p.reap()
	done()
	watching.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = nil
	s.set(false)
	s.transport.CloseIdleConnections()
	return ready
}

// set says whether the server takes requests. The lock is held.
func (s *Server) set(up bool) {
	if s.up == up {
		return
	}
	s.up = up
	s.loaded = s.loaded || up
	if up {
		s.failing = 0
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// stop lets nobody wait any more.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	close(s.changed)
	s.changed = make(chan struct{})
}

// await gives the server, once it takes requests.
func (s *Server) await(ctx context.Context) (*process, error) {
	for {
		s.mu.Lock()
		p, up, stopped, changed := s.process, s.up, s.stopped, s.changed
		s.mu.Unlock()
		switch {
		case stopped:
			return nil, worker.ErrStopped
		case up && !p.hasEnded(): // that it has is noted a moment later
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Loaded reports whether the server has been ready once.
func (s *Server) Loaded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded
}

// Status gives a snapshot. The server counts as the one worker there is.
func (s *Server) Status() server.Status {
	busy, queued := s.places.counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &worker.Status{
		Configured: 1, Busy: busy, Queued: queued, Restarts: s.restarts, Loaded: s.loaded,
		FailedLoads: s.failing, LastError: s.lastError, Processes: []worker.Member{},
	}
	if s.up {
		w.Ready = 1
	}
	if s.process != nil {
		w.Processes = append(w.Processes, worker.Member{PID: s.process.pid(), Answered: s.process.answered.Load()})
	}
	return server.Status{
		Runtime: Name, Loaded: s.loaded, Pending: s.pending(), Configured: 1, Ready: w.Ready,
		FailedLoads: s.failing, LastError: s.lastError, Workers: w,
	}
}

func (s *Server) pending() string {
	text := "the server does not take connections yet"
	if route := s.cfg.readyRoute(); route != "" {
		text = fmt.Sprintf("the server does not answer %s with success yet", route)
	}
	if s.lastError != "" {
		text += "; " + s.lastError
	}
	return text
}

// wait reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
