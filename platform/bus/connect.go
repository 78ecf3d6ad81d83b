package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 500 * time.Millisecond
	connectTimeout  = 3 * time.Second
	pingInterval    = 10 * time.Second
)

// Target says which NATS to connect to: Embedded, or else URL.
type Target struct {
	// Name is shown by the server's monitoring and in log lines.
	Name     string
	Embedded *Embedded
	// URL is nats://user:password@host:port.
	URL string
	TLS *tls.Config
}

// Connect waits for the first connection, until ctx ends. After that the
// connection reconnects for ever, with jitter, until it is closed; what is
// published meanwhile fails after its own timeout and is never buffered.
func Connect(ctx context.Context, t Target, logger *slog.Logger) (*nats.Conn, error) {
	logger = logger.With("connection", t.Name)
	opts := []nats.Option{
		nats.Name(t.Name),
		nats.CustomInboxPrefix(InboxPrefix),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.ReconnectBufSize(-1),
		nats.Timeout(connectTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if nc.IsClosed() || err == nil {
				return
			}
			logger.Warn("nats connection lost, reconnecting", "error", err)
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			logger.Info("nats connection is back", "server", nc.ConnectedServerName())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			logger.Error("nats reports an error", "subject", subject, "error", err)
		}),
	}
	switch {
	case t.Embedded != nil && t.URL != "":
		return nil, errors.New("bus: a target is either embedded or a url, not both")
	case t.Embedded != nil:
		opts = append(opts, nats.InProcessServer(inProcess{t.Embedded}), nats.UserInfo(ownUser, t.Embedded.gate.secret))
	case t.URL != "":
		if t.TLS != nil {
			opts = append(opts, nats.Secure(t.TLS))
		}
	default:
		return nil, errors.New("bus: a target needs an embedded server or a url")
	}
	return dial(ctx, t.URL, opts, logger)
}

func dial(ctx context.Context, addr string, opts []nats.Option, logger *slog.Logger) (*nats.Conn, error) {
	wait := reconnectWait
	for {
		nc, err := nats.Connect(addr, opts...)
		if err == nil {
			return nc, nil
		}
		if errors.Is(err, nats.ErrAuthorization) {
			return nil, fmt.Errorf("bus: %s refuses the credential: %w", redact(addr), err)
		}
		logger.Warn("nats can't be reached yet, trying again", "server", redact(addr), "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("bus: %s could not be reached: %w", redact(addr), errors.Join(ctx.Err(), err))
		case <-timer.C:
		}
		wait = min(2*wait, 8*reconnectWait)
	}
}

// redact keeps passwords and tokens in a URL out of logs and errors.
func redact(addr string) string {
	if addr == "" {
		return "the embedded server"
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" {
		return "the nats server"
	}
	return u.Host
}
