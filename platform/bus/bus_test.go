package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/platform/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// tokens is an authenticator that knows a few tokens.
func tokens(_ context.Context, c bus.Credential) (bus.Access, error) {
	switch c.Secret() {
	case "service":
		return bus.ServiceAccess(), nil
	case "all":
		return bus.AllWorkspaces(), nil
	case "trusted":
		return bus.AllWorkspaces().WithConsumers(), nil
	case "red trusted":
		return bus.Workspaces("red").WithConsumers(), nil
	case "red":
		return bus.Workspaces("red"), nil
	case "brief":
		return bus.Workspaces("red").Until(time.Now().Add(300 * time.Millisecond)), nil
	case "nothing":
		return bus.Workspaces(), nil
	case "wild":
		return bus.Workspaces("*"), nil
	default:
		return bus.Access{}, errors.New("unknown token")
	}
}

func start(t *testing.T, listen string) *bus.Embedded {
	t.Helper()
	cfg := bus.Config{StoreDir: t.TempDir(), Listen: listen}
	e, err := bus.Start(t.Context(), cfg, bus.Deps{Logger: quiet(), Authenticate: tokens})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func connect(t *testing.T, target bus.Target) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(t.Context(), target, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func dial(t *testing.T, addr string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append(opts, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), nats.NoReconnect())
	nc, err := nats.Connect("nats://"+addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestInProcessHasFullAccess(t *testing.T) {
	e := start(t, "")
	if e.Addr() != "" {
		t.Errorf("listens on %s, though not asked to", e.Addr())
	}
	nc := connect(t, bus.Target{Name: "test", Embedded: e})
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s.a", []byte("x")); err != nil {
		t.Fatal(err)
	}
}

func TestStreamsOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		e, err := bus.Start(t.Context(), bus.Config{StoreDir: dir}, bus.Deps{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		nc := connect(t, bus.Target{Embedded: e})
		js, _ := jetstream.New(nc)
		s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "s.a", []byte("x")); err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := info.State.LastSeq, uint64(round+1); got != want {
			t.Errorf("round %d: last sequence %d, want %d", round, got, want)
		}
		nc.Close()
		e.Close()
	}
}

func TestStartRefuses(t *testing.T) {
	busy := t.TempDir()
	e, err := bus.Start(t.Context(), bus.Config{StoreDir: busy}, bus.Deps{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for name, c := range map[string]struct {
		cfg  bus.Config
		deps bus.Deps
	}{
		"a directory in use":                 {bus.Config{StoreDir: busy}, bus.Deps{Logger: quiet()}},
		"no directory":                       {bus.Config{}, bus.Deps{Logger: quiet()}},
		"listening without an authenticator": {bus.Config{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"}, bus.Deps{Logger: quiet()}},
		"a listen address without a port":    {bus.Config{StoreDir: t.TempDir(), Listen: "127.0.0.1"}, bus.Deps{Logger: quiet(), Authenticate: tokens}},
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := bus.Start(t.Context(), c.cfg, c.deps); err == nil {
				e.Close()
				t.Fatal("started")
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	e := start(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := nats.Connect("nats://"+e.Addr(), nats.Token("service")); err == nil {
		t.Fatal("still accepts connections")
	}
}

func TestAuthentication(t *testing.T) {
	e := start(t, "127.0.0.1:0")
	for name, c := range map[string]struct {
		opt    nats.Option
		accept bool
	}{
		"token":                 {nats.Token("service"), true},
		"token as password":     {nats.UserInfo("anything", "service"), true},
		"unknown token":         {nats.Token("guess"), false},
		"no credential":         {nats.Name("x"), false},
		"the in-process user":   {nats.UserInfo("fairlead", ""), false},
		"a grant of nothing":    {nats.Token("nothing"), false},
		"a wildcard workspace":  {nats.Token("wild"), false},
		"a workspace's token":   {nats.Token("red"), true},
		"all workspaces' token": {nats.UserInfo("x", "all"), true},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := nats.Connect("nats://"+e.Addr(), c.opt)
			if accepted := err == nil; accepted != c.accept {
				t.Errorf("accepted: %v, want %v (%v)", accepted, c.accept, err)
			}
			if nc != nil {
				nc.Close()
			}
		})
	}
}

func TestConnectByURL(t *testing.T) {
	e := start(t, "127.0.0.1:0")
	nc := connect(t, bus.Target{Name: "svc", URL: "nats://svc:service@" + e.Addr()})
	if err := nc.FlushTimeout(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Connect(t.Context(), bus.Target{URL: "nats://svc:wrong@" + e.Addr()}, quiet()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("wrong password: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := bus.Connect(ctx, bus.Target{URL: "nats://127.0.0.1:1"}, quiet()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestAccessEndsAtItsTime(t *testing.T) {
	e := start(t, "127.0.0.1:0")
	closed := make(chan struct{})
	nc := dial(t, e.Addr(), nats.Token("brief"), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Fatalf("still open, status %v", nc.Status())
	}
}

// received publishes on every subject as a service and tells which of them the
// connection saw.
func received(t *testing.T, e *bus.Embedded, nc *nats.Conn, patterns []string, subjects ...string) []string {
	t.Helper()
	got := make(chan *nats.Msg, 100)
	for _, p := range patterns {
		if _, err := nc.ChanSubscribe(p, got); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	svc := connect(t, bus.Target{Embedded: e})
	for _, s := range subjects {
		if err := svc.Publish(s, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := svc.FlushTimeout(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	var saw []string
	for len(got) > 0 {
		saw = append(saw, (<-got).Subject)
	}
	slices.Sort(saw)
	return slices.Compact(saw)
}

func TestConsumersSeeOnlyTheirEvents(t *testing.T) {
	e := start(t, "127.0.0.1:0")
	subjects := []string{
		"fairlead.events.blue.deploy.endpoint.created",
		"fairlead.events.red.deploy.endpoint.created",
		"$KV.deploy.x", "_INBOX.abc", bus.InboxPrefix + ".abc",
	}
	for name, c := range map[string]struct {
		token    string
		patterns []string
		want     []string
	}{
		"one workspace, its pattern": {"red", []string{"fairlead.events.red.>"}, subjects[1:2]},
		"one workspace, narrower":    {"red", []string{"fairlead.events.red.deploy.*.created"}, subjects[1:2]},
		"one workspace, all else":    {"red", []string{"fairlead.events.blue.>", "$KV.>", "_INBOX.>", "_FAIRLEAD_INBOX.>"}, nil},
		"one workspace, too wide":    {"red", []string{">", "fairlead.>", "fairlead.events.*.deploy.endpoint.created"}, nil},
		"all workspaces":             {"all", []string{"fairlead.events.>"}, subjects[:2]},
		"trusted":                    {"trusted", []string{"fairlead.events.>"}, subjects[:2]},
		"trusted, all else":          {"trusted", []string{">", "$KV.>", "_FAIRLEAD_INBOX.>"}, nil},
		"all workspaces, all else":   {"all", []string{">", "$KV.>", "_INBOX.>", "_FAIRLEAD_INBOX.>"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			nc := dial(t, e.Addr(), nats.Token(c.token))
			if got := received(t, e, nc, c.patterns, subjects...); !slices.Equal(got, c.want) {
				t.Errorf("saw %v, want %v", got, c.want)
			}
		})
	}
}

func TestConsumersCantPublish(t *testing.T) {
	e := start(t, "127.0.0.1:0")
	for _, token := range []string{"red", "all", "trusted"} {
		for _, subject := range []string{"fairlead.events.red.deploy.endpoint.created", "$KV.deploy.x", "$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.MSG.GET.KV_deploy", "$JS.API.CONSUMER.CREATE.KV_deploy"} {
			t.Run(token+" "+subject, func(t *testing.T) {
				svc := connect(t, bus.Target{Embedded: e})
				sub, err := svc.SubscribeSync(subject)
				if err != nil {
					t.Fatal(err)
				}
				if err := svc.FlushTimeout(2 * time.Second); err != nil {
					t.Fatal(err)
				}
				nc := dial(t, e.Addr(), nats.Token(token))
				if err := nc.Publish(subject, nil); err != nil {
					t.Fatal(err)
				}
				_ = nc.FlushTimeout(2 * time.Second)
				_ = svc.FlushTimeout(2 * time.Second)
				if n, _, _ := sub.Pending(); n != 0 {
					t.Error("the message went through")
				}
			})
		}
	}
}

func TestOnlyTheTrustedMayHaveConsumers(t *testing.T) {
	e := start(t, "127.0.0.1:0")
	svc, _ := jetstream.New(connect(t, bus.Target{Embedded: e}))
	for _, name := range []string{"EVENTS", "KV_deploy"} {
		if _, err := svc.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := svc.Publish(t.Context(), "EVENTS.a", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	try := func(token, stream string) error {
		js, _ := jetstream.New(dial(t, e.Addr(), nats.Token(token)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		cons, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{Durable: token, AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			return err
		}
		msg, err := cons.Next(jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return err
		}
		return msg.DoubleAck(ctx)
	}
	for name, c := range map[string]struct {
		token, stream string
		allowed       bool
	}{
		"trusted on EVENTS":                 {"trusted", "EVENTS", true},
		"trusted on state":                  {"trusted", "KV_deploy", false},
		"all workspaces on EVENTS":          {"all", "EVENTS", false},
		"one workspace on EVENTS":           {"red", "EVENTS", false},
		"one workspace, trusted, on EVENTS": {"red trusted", "EVENTS", false},
	} {
		if err := try(c.token, c.stream); (err == nil) != c.allowed {
			t.Errorf("%s: %v, want allowed %v", name, err, c.allowed)
		}
	}
}

// TestConsumersCantUseReplies checks that no consumer can make the server write to a
// service's state by naming it as the place for an answer.
func TestConsumersCantUseReplies(t *testing.T) {
	e := start(t, "127.0.0.1:0")
	svc, _ := jetstream.New(connect(t, bus.Target{Embedded: e}))
	kv, err := svc.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KV_deploy", Subjects: []string{"$KV.deploy.>"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"red", "all"} {
		nc := dial(t, e.Addr(), nats.Token(token))
		for _, api := range []string{"$JS.API.INFO", "$JS.API.STREAM.INFO.EVENTS", "$SYS.REQ.USER.INFO"} {
			if err := nc.PublishRequest(api, "$KV.deploy.x", nil); err != nil {
				t.Fatal(err)
			}
		}
		_ = nc.FlushTimeout(2 * time.Second)
	}
	info, err := kv.Info(t.Context())
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("%d messages were written (%v)", info.State.Msgs, err)
	}
}
