package bus

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	defaultMaxStore  = 16 << 30
	defaultMaxMemory = 64 << 20
	defaultName      = "fairlead"

	maxPayload      = 1 << 20
	maxControlLine  = 8 << 10 // encoded keys are long subjects
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
	// TLS, when set, is required of TCP connections. Its ClientAuth says who must have
	// a certificate; Authenticate sees those that were verified.
	TLS *tls.Config
	// Authenticate decides about TCP connections; required with Config.Listen.
	Authenticate Authenticator
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
		o.TLSConfig = deps.TLS.Clone()
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
