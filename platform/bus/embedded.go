package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	defaultMaxStore  = 16 << 30
	defaultMaxMemory = 64 << 20
	defaultName      = "fairlead"

	readyTimeout    = 30 * time.Second
	maxPayload      = 1 << 20
	maxControlLine  = 8 << 10 // encoded keys are long subjects
	writeDeadline   = 10 * time.Second
	maxPendingBytes = 64 << 20
)

// Config is what a user may set of an embedded server.
type Config struct {
	// StoreDir keeps streams. It is created when absent.
	StoreDir string
	// Listen is a TCP address such as 127.0.0.1:4222; empty means in process only.
	Listen string
	// ServerName is shown to clients; default "fairlead".
	ServerName string
	// MaxStore and MaxMemory bound all streams together, in bytes. Defaults: 16 GiB, 64 MiB.
	MaxStore  int64
	MaxMemory int64
	// Unsynced leaves writes to the operating system, for a store that is being
	// filled and that the caller syncs as a whole after Close.
	Unsynced bool
}

// Deps is what code hands over.
type Deps struct {
	Logger *slog.Logger
	// TLS, when set, is required of TCP connections.
	TLS *tls.Config
	// Authenticate decides about TCP connections; required with Config.Listen.
	Authenticate Authenticator
}

// Embedded is a NATS server with JetStream in this process.
type Embedded struct {
	srv  *server.Server
	gate *gate
	lock *os.File
	addr string

	closeOnce sync.Once
	closed    chan struct{}
}

// Start starts a server; it is ready for connections when Start returns. The
// caller ends it with Close, or hands it to a group of components by Run.
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
	g := newGate(deps.Authenticate, deps.Logger)
	opts, err := serverOptions(cfg, deps, g)
	if err != nil {
		return nil, err
	}
	if err := checkFree(ctx, cfg.Listen); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.StoreDir)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bus: the server's settings are refused: %w", err), lock.Close())
	}
	srv.SetLoggerV2(serverLog{deps.Logger}, false, false, false)
	e := &Embedded{srv: srv, gate: g, lock: lock, closed: make(chan struct{})}
	srv.Start()
	if err := e.awaitReady(ctx); err != nil {
		e.Close()
		return nil, err
	}
	if tcp, ok := srv.Addr().(*net.TCPAddr); ok && cfg.Listen != "" {
		e.addr = tcp.String()
	}
	return e, nil
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

func serverOptions(cfg Config, deps Deps, g *gate) (*server.Options, error) {
	o := &server.Options{
		ServerName:                 orDefault(cfg.ServerName, defaultName),
		DontListen:                 cfg.Listen == "",
		JetStream:                  true,
		StoreDir:                   cfg.StoreDir,
		SyncAlways:                 !cfg.Unsynced,
		JetStreamMaxStore:          orDefault(cfg.MaxStore, defaultMaxStore),
		JetStreamMaxMemory:         orDefault(cfg.MaxMemory, defaultMaxMemory),
		NoSigs:                     true,
		DisableJetStreamBanner:     true,
		MaxPayload:                 maxPayload,
		MaxControlLine:             maxControlLine,
		MaxPending:                 maxPendingBytes,
		WriteDeadline:              writeDeadline,
		AuthTimeout:                authTimeout.Seconds(),
		CustomClientAuthentication: g,
	}
	if cfg.Listen == "" {
		return o, nil
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("bus: listen address %q is not host:port: %w", cfg.Listen, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("bus: listen address %q has no usable port: %w", cfg.Listen, err)
	}
	o.Host = host
	o.Port = int(n)
	if n == 0 {
		o.Port = server.RANDOM_PORT
	}
	if deps.TLS != nil {
		o.TLSConfig = deps.TLS
		o.TLS = true
		o.TLSTimeout = authTimeout.Seconds()
	}
	return o, nil
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
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
func (e *Embedded) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !e.srv.ReadyForConnections(time.Millisecond) || !e.srv.JetStreamEnabled() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("bus: the server did not become ready: %w", ctx.Err())
		case <-tick.C:
		}
		if !e.srv.Running() {
			return errors.New("bus: the server stopped while starting: its log lines say why")
		}
	}
	return nil
}

// Addr gives the TCP address the server listens on, or "".
func (e *Embedded) Addr() string { return e.addr }

// Run blocks until ctx ends or the server stops by itself, then closes it.
func (e *Embedded) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		e.srv.WaitForShutdown()
		close(stopped)
	}()
	select {
	case <-ctx.Done():
		e.Close()
		<-stopped
		return nil
	case <-e.closed:
		<-stopped
		return nil
	case <-stopped:
		e.Close()
		return errors.New("bus: the server stopped by itself: its log lines say why")
	}
}

// Close stops the server and waits until it has stopped. Further calls do nothing.
func (e *Embedded) Close() {
	e.closeOnce.Do(func() {
		close(e.closed)
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
		_ = e.lock.Close()
	})
}
