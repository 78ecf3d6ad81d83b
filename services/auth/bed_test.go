package auth_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/memory"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is the service on its server, as services and people reach it.
type bed struct {
	dir     string
	store   *memory.Store
	service *auth.Service
	stop    func()
	peer    *grpc.ClientConn // as the deploy service
	edge    *grpc.ClientConn // through the gateway: only the token counts
	notes   *notes
}

func config(dir string) auth.Config {
	return auth.Config{AdminTokenPath: filepath.Join(dir, "admin.token"), SealingKeyPath: filepath.Join(dir, "sealing.key"), ScoringBaseURL: "http://data:8080/"}
}

func start(t *testing.T) *bed {
	t.Helper()
	return restart(t, &bed{dir: t.TempDir(), store: memory.New()}, nil)
}

// restart runs a service over the files and the store of b, or over wrapped.
func restart(t *testing.T, b *bed, wrapped store.Store) *bed {
	t.Helper()
	if wrapped == nil {
		wrapped = b.store
	}
	log := slog.New(slog.DiscardHandler)
	next := &bed{dir: b.dir, store: b.store, notes: &notes{}}
	var err error
	next.service, err = auth.New(t.Context(), config(b.dir), auth.Deps{Logger: log, Store: wrapped})
	if err != nil {
		t.Fatal(err)
	}
	network := rpc.NewMemory()
	listener, err := network.Listen("auth")
	if err != nil {
		t.Fatal(err)
	}
	server, err := rpc.NewServer(listener, rpc.ServerDeps{Logger: log, Access: next.service, Audit: next.notes, Credentials: network.Credentials()})
	if err != nil {
		t.Fatal(err)
	}
	next.service.Register(server)
	next.peer, next.edge = dial(t, network, "deploy"), dial(t, network, rpc.Gateway)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- next.service.Run(ctx) }()
	go func() { ended <- server.Run(ctx) }()
	stopped := false
	next.stop = func() {
		if stopped {
			return
		}
		stopped = true
		_, _ = next.peer.Close(), next.edge.Close()
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(next.stop)
	select {
	case <-next.service.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the service did not get ready")
	}
	return next
}

func dial(t *testing.T, network *rpc.Memory, from string) *grpc.ClientConn {
	t.Helper()
	conn, err := network.Dial(from, "auth")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (b *bed) token(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// admin gives a context of a call with the administrator's token.
func (b *bed) admin(t *testing.T) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+b.token(t))
}

func (b *bed) workspaces() authv1.WorkspaceServiceClient {
	return authv1.NewWorkspaceServiceClient(b.edge)
}

// keys is for calls of people, with a token; services calls itself by its connection.
func (b *bed) keys() authv1.EndpointKeyServiceClient {
	return authv1.NewEndpointKeyServiceClient(b.edge)
}

func (b *bed) services() authv1.EndpointKeyServiceClient {
	return authv1.NewEndpointKeyServiceClient(b.peer)
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// failsWith checks an error's kind, its reason, and the fields that it names.
func failsWith(t *testing.T, err error, kind apierr.Kind, reason string, fields ...string) {
	t.Helper()
	got := apierr.FromStatus(err)
	if got == nil {
		t.Fatalf("no error, want %s", reason)
	}
	var named []string
	for _, v := range got.Violations {
		named = append(named, v.Field)
	}
	if got.Kind != kind || got.Reason != reason || !cmp.Equal(fields, named) {
		t.Errorf("error = %v (kind %v, reason %s, fields %v), want kind %v, reason %s, fields %v", err, got.Kind, got.Reason, named, kind, reason, fields)
	}
}

// facts gives the events of one resource in short: verb and sequence.
func (b *bed) facts(subject string) []string {
	var out []string
	for _, e := range b.store.Events() {
		if e.Subject == subject {
			out = append(out, e.Type()+" "+string(rune('0'+e.Sequence)))
		}
	}
	return out
}

func (b *bed) last(t *testing.T) events.Event {
	t.Helper()
	all := b.store.Events()
	if len(all) == 0 {
		t.Fatal("no event")
	}
	return all[len(all)-1]
}
