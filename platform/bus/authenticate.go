package bus

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	authTimeout = 5 * time.Second
	ownUser     = "fairlead"
)

// gate decides about every connection of an embedded server.
type gate struct {
	secret       string // what Connect presents in process
	authenticate Authenticator
	logger       *slog.Logger
}

func newGate(authenticate Authenticator, logger *slog.Logger) *gate {
	return &gate{secret: rand.Text() + rand.Text(), authenticate: authenticate, logger: logger}
}

// Check implements server.Authentication.
func (g *gate) Check(c server.ClientAuthentication) bool {
	if c.Kind() != server.CLIENT {
		return false
	}
	opts := c.GetOpts()
	cred := Credential{User: opts.Username, Password: opts.Password, Token: opts.Token}
	if addr := c.RemoteAddress(); addr != nil {
		cred.RemoteAddr = addr.String()
	}
	if state := c.GetTLSConnectionState(); state != nil && len(state.VerifiedChains) > 0 {
		cred.Certificate = state.VerifiedChains[0][0]
	}
	if subtle.ConstantTimeCompare([]byte(cred.Password), []byte(g.secret)) == 1 {
		c.RegisterUser(&server.User{Username: ownUser})
		return true
	}
	if g.authenticate == nil {
		g.logger.Warn("connection refused: no authenticator is configured", "remote", cred.RemoteAddr)
		return false
	}
	access, err := g.ask(cred)
	if err != nil {
		g.logger.Warn("connection refused", "remote", cred.RemoteAddr, "error", err)
		return false
	}
	if access.level == accessNone {
		g.logger.Warn("connection refused: its credential allows nothing", "remote", cred.RemoteAddr)
		return false
	}
	for _, w := range access.workspaces {
		if w == "" || strings.ContainsAny(w, ".*> \t\r\n") {
			g.logger.Error("connection refused: the authenticator named an impossible workspace", "workspace", w)
			return false
		}
	}
	c.RegisterUser(&server.User{Permissions: access.permissions(), ConnectionDeadline: access.until})
	return true
}

func (g *gate) ask(cred Credential) (Access, error) {
	ctx, cancel := context.WithTimeout(context.Background(), authTimeout)
	defer cancel()
	return g.authenticate(ctx, cred)
}
