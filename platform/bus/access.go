package bus

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	eventSubjects = "fairlead.events."
	eventStream   = "EVENTS"

	// InboxPrefix is where service connections receive replies.
	InboxPrefix = "_FAIRLEAD_INBOX"
)

// Credential is what a connection presents: nats.Token(t) fills Token,
// nats.UserInfo(user, password) fills User and Password.
type Credential struct {
	User       string
	Password   string
	Token      string
	RemoteAddr string
	// Certificate is one that the server's authority vouches for; nil when the
	// connection is not by TLS or came without.
	Certificate *x509.Certificate
}

// Secret gives the token, or the password when there is no token, so that both
// ways of presenting a token work.
func (c Credential) Secret() string {
	if c.Token != "" {
		return c.Token
	}
	return c.Password
}

// Authenticator decides what a connection may do. An error refuses it; the error
// is logged, the client only learns that authorization failed. It is called
// concurrently, and ctx ends when the connection's time to authenticate is over.
type Authenticator func(ctx context.Context, c Credential) (Access, error)

type accessLevel int

const (
	accessNone accessLevel = iota
	accessService
	accessAllWorkspaces
	accessWorkspaces
)

// Access says what a connection may do. The zero value allows nothing and
// refuses the connection.
type Access struct {
	level      accessLevel
	workspaces []string
	consumers  bool
	until      time.Time
}

// ServiceAccess allows everything; it is for Fairlead's own services.
func ServiceAccess() Access { return Access{level: accessService} }

// AllWorkspaces allows to receive every workspace's events, by plain subscription.
func AllWorkspaces() Access { return Access{level: accessAllWorkspaces} }

// WithConsumers adds JetStream consumers on the stream EVENTS to AllWorkspaces; it
// changes no other access. See the package comment for the trust it needs.
func (a Access) WithConsumers() Access {
	a.consumers = a.level == accessAllWorkspaces
	return a
}

// Workspaces allows to receive the events of the workspaces named, by plain
// subscription. With no names it allows nothing.
func Workspaces(names ...string) Access {
	if len(names) == 0 {
		return Access{}
	}
	return Access{level: accessWorkspaces, workspaces: append([]string(nil), names...)}
}

// Until ends the connection at t, for instance when the token that opened it
// expires.
func (a Access) Until(t time.Time) Access {
	a.until = t
	return a
}

// permissions gives what the server enforces; nil means no limit.
func (a Access) permissions() *server.Permissions {
	nothing := &server.SubjectPermission{Deny: []string{">"}}
	switch a.level {
	case accessService:
		return nil
	case accessAllWorkspaces:
		all := eventSubjects + ">"
		if !a.consumers {
			return &server.Permissions{Publish: nothing, Subscribe: &server.SubjectPermission{Allow: []string{all}}}
		}
		return &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: consumerAPI()},
			Subscribe: &server.SubjectPermission{Allow: []string{all, "_INBOX.>"}},
		}
	case accessWorkspaces:
		var allow []string
		for _, w := range a.workspaces {
			allow = append(allow, eventSubjects+w+".>")
		}
		return &server.Permissions{Publish: nothing, Subscribe: &server.SubjectPermission{Allow: allow}}
	default:
		return &server.Permissions{Publish: nothing, Subscribe: nothing}
	}
}

// consumerAPI lists what a client publishes to when it makes, reads, acknowledges
// and removes consumers on EVENTS. Acknowledgements have two shapes: servers move
// to the second, which starts with the domain and the account.
func consumerAPI() []string {
	const api = "$JS.API."
	return []string{
		api + "INFO",
		api + "STREAM.INFO." + eventStream,
		api + "CONSUMER.CREATE." + eventStream,
		api + "CONSUMER.CREATE." + eventStream + ".>",
		api + "CONSUMER.DURABLE.CREATE." + eventStream + ".*",
		api + "CONSUMER.INFO." + eventStream + ".*",
		api + "CONSUMER.NAMES." + eventStream,
		api + "CONSUMER.LIST." + eventStream,
		api + "CONSUMER.DELETE." + eventStream + ".*",
		api + "CONSUMER.MSG.NEXT." + eventStream + ".*",
		"$JS.ACK." + eventStream + ".>",
		"$JS.ACK.*.*." + eventStream + ".>",
		"$JS.FC." + eventStream + ".>",
	}
}
