package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	readyTimeout  = 30 * time.Second
	writeDeadline = 10 * time.Second
)

// Embedded is a NATS server with JetStream in this process.
type Embedded struct {
	cfg  Config // what it listens on is settled at the first start
	deps Deps
	gate *gate
	lock *os.File

	mu      sync.Mutex // held while the server is started or stopped
	current atomic.Pointer[server.Server]
	trouble atomic.Pointer[string]
	closing sync.Once
	closed  chan struct{}
}

// Start starts a server; it is ready for connections when Start returns. The
// caller ends it with Close, or hands it to a group of components by Run, which
// also starts it again when it can't write any more.
func Start(ctx context.Context, cfg Config, deps Deps) (*Embedded, error) {
	if deps.Logger == nil {
		return nil, errors.New("bus: a logger is required")
	}
	if cfg.StoreDir == "" {
		return nil, errors.New("bus: a store directory is required")
	}
	if cfg.Listen != "" && deps.Authenticate == nil {
		return nil, errors.New("bus: listening needs an authenticator: give one, or do not listen")
	}
	e := &Embedded{cfg: cfg, deps: deps, gate: newGate(deps.Authenticate, deps.Logger), closed: make(chan struct{})}
	opts, err := serverOptions(cfg, deps, e.gate)
	if err != nil {
		return nil, err
	}
	if err := checkFree(ctx, cfg.Listen); err != nil {
		return nil, err
	}
	if e.lock, err = lockDir(cfg.StoreDir); err != nil {
		return nil, err
	}
	srv, err := launch(ctx, opts, deps.Logger, e.closed)
	if err != nil {
		return nil, errors.Join(err, e.lock.Close())
	}
	e.current.Store(srv)
	if tcp, ok := srv.Addr().(*net.TCPAddr); ok && cfg.Listen != "" {
		e.cfg.Listen = tcp.String()
	}
	return e, nil
}

// launch starts a server and waits until it is ready.
func launch(ctx context.Context, opts *server.Options, logger *slog.Logger, closed <-chan struct{}) (*server.Server, error) {
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("bus: the server's settings are refused: %w", err)
	}
	fatal := make(chan string, 1)
	srv.SetLoggerV2(serverLog{logger: logger, fatal: fatal}, false, false, false)
	srv.Start()
	if err := awaitReady(ctx, srv, fatal, closed); err != nil {
		stop(srv)
		return nil, err
	}
	return srv, nil
}

func stop(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

// checkFree says plainly that an address cannot be listened on; the server would
// only log it and never become ready.
func checkFree(ctx context.Context, address string) error {
	if address == "" {
		return nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("bus: NATS cannot listen: %w", err)
	}
	return l.Close()
}

// lockDir keeps a second process from using the same store. The kernel frees the
// lock when the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bus: the store directory can't be made: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bus: the store directory can't be written: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(
			fmt.Errorf("bus: store directory %s is in use by another process: stop it or choose another directory: %w", dir, err),
			f.Close())
	}
	return f, nil
}

// awaitReady polls: the server has no notification that JetStream is up.
func awaitReady(ctx context.Context, srv *server.Server, fatal <-chan string, closed <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !srv.ReadyForConnections(time.Millisecond) || !srv.JetStreamEnabled() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("bus: the server did not become ready: %w", ctx.Err())
		case <-closed:
			return errClosed
		case reason := <-fatal:
			return fmt.Errorf("bus: the server can't start: %s", reason)
		case <-tick.C:
		}
		if !srv.Running() {
			return errors.New("bus: the server stopped while starting: its log lines say why")
		}
	}
	return nil
}

// Addr gives the TCP address the server listens on, or "".
func (e *Embedded) Addr() string { return e.cfg.Listen }

// Close stops the server and waits until it has stopped. Further calls do nothing.
func (e *Embedded) Close() {
	e.closing.Do(func() {
		close(e.closed)
		e.mu.Lock()
		defer e.mu.Unlock()
		stop(e.current.Load())
		_ = e.lock.Close()
	})
}
