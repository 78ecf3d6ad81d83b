package jetstream_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/jetstream"
	"github.com/fairlead/fairlead/platform/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		os.Exit(runVictim(dir))
	}
	// The server waits for a source's answer for a while, also after its end.
	// Of a batch that it could not store, for the disk was full, it forgets a goroutine.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// bed is an embedded server and a store in it.
type bed struct {
	store *jetstream.Store
	js    natsjs.JetStream
}

func open(ctx context.Context, dir string, cfg jetstream.Config) (b *bed, closeAll func(), err error) {
	e, err := bus.Start(ctx, bus.Config{StoreDir: dir}, bus.Deps{Logger: quiet()})
	if err != nil {
		return nil, nil, err
	}
	nc, err := bus.Connect(ctx, bus.Target{Name: "test", Embedded: e}, quiet())
	if err != nil {
		e.Close()
		return nil, nil, err
	}
	closeAll = func() { nc.Close(); e.Close() }
	b = &bed{}
	if b.js, err = natsjs.New(nc); err == nil {
		b.store, err = jetstream.Open(ctx, cfg, jetstream.Deps{Conn: nc, Logger: quiet()})
	}
	if err == nil {
		err = events.EnsureLog(ctx, b.js, events.LogConfig{}, cfg.Service)
	}
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return b, closeAll, nil
}

func start(t *testing.T, cfg jetstream.Config) *bed {
	t.Helper()
	b, closeAll, err := open(t.Context(), t.TempDir(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeAll)
	return b
}

// published waits for at least n events in the log, then reads it whole.
func (b *bed) published(t *testing.T, n int) []events.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	log := events.OpenLog(b.js)
	seen := 0
	if n > 0 {
		for _, err := range log.Read(ctx, events.Query{Follow: true}) {
			if err != nil {
				t.Fatalf("after %d of %d events: %v", seen, n, err)
			}
			if seen++; seen == n {
				break
			}
		}
	}
	var all []events.Event
	for r, err := range log.Read(ctx, events.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r.Event)
	}
	return all
}

func (b *bed) recreate(t *testing.T) {
	t.Helper()
	name := events.OutboxStream(storetest.Service)
	s, err := b.js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.js.DeleteStream(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateStream(t.Context(), s.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		b := start(t, jetstream.Config{Service: storetest.Service})
		return storetest.Subject{
			Store:     b.store,
			Published: b.published,
			Recreate:  b.recreate,
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	b := start(t, jetstream.Config{Service: "test"})
	for name, cfg := range map[string]jetstream.Config{
		"no service":        {},
		"an odd service":    {Service: "a.b"},
		"hasty event limit": {Service: "test", EventTTL: time.Millisecond},
	} {
		if _, err := jetstream.Open(t.Context(), cfg, jetstream.Deps{Conn: b.js.Conn(), Logger: quiet()}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestEventsOfAnotherServiceAreRefused(t *testing.T) {
	b := start(t, jetstream.Config{Service: "test"})
	_, err := b.store.Apply(t.Context(), store.Batch{
		Ops:    []store.Op{store.Put("a", nil)},
		Events: []events.Event{{ID: "1", Workspace: "w", Service: "other", Resource: "r", Verb: "v", Subject: "s", Time: time.Now(), Sequence: 1}},
	})
	if _, ok := errors.AsType[*store.InvalidError](err); !ok {
		t.Errorf("got %v, want an invalid error", err)
	}
}

// TestEventsOutliveTheOutbox checks that the outbox empties itself, and that this
// neither ages the log nor leaves anything else in it.
func TestEventsOutliveTheOutbox(t *testing.T) {
	b := start(t, jetstream.Config{Service: "test", EventTTL: time.Second})
	_, err := b.store.Apply(t.Context(), store.Batch{
		Ops:    []store.Op{store.Put("a", []byte("1"))},
		Events: []events.Event{{ID: "1", Workspace: "w", Service: "test", Resource: "r", Verb: "v", Subject: "s", Time: time.Now(), Sequence: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.js.Stream(t.Context(), events.OutboxStream("test"))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		info, err := s.Info(t.Context(), natsjs.WithSubjectFilter(events.OutboxSubjects("test")))
		if err != nil {
			t.Fatal(err)
		}
		if len(info.State.Subjects) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the outbox still holds %v", info.State.Subjects)
		}
		<-time.After(50 * time.Millisecond)
	}
	if got := b.published(t, 1); len(got) != 1 {
		t.Errorf("the log holds %v, want the one event", got)
	}
}

// TestStoreFull checks that a full stream refuses writes and keeps what it has.
func TestStoreFull(t *testing.T) {
	b := start(t, jetstream.Config{Service: "test", MaxBytes: 256 << 10})
	kept := 0
	for ; kept < 100; kept++ {
		_, err := b.store.Apply(t.Context(), store.Batch{Ops: []store.Op{
			store.Create(store.Join("k", string(rune('a'+kept/26)), string(rune('a'+kept%26))), make([]byte, 8<<10)),
		}})
		if err != nil {
			if _, conflict := errors.AsType[*store.ConflictError](err); conflict || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("full: %v", err)
			}
			break
		}
	}
	entries, _, err := b.store.List(t.Context(), "")
	if err != nil || len(entries) != kept || kept == 100 {
		t.Errorf("%d entries, want the %d that were accepted (%v)", len(entries), kept, err)
	}
}

func TestUnavailable(t *testing.T) {
	b, closeAll, err := open(t.Context(), t.TempDir(), jetstream.Config{Service: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.js.DeleteStream(t.Context(), "KV_test"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = b.store.Apply(ctx, store.Batch{Ops: []store.Op{store.Put("a", nil)}})
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("apply: %v", err)
	}
	if _, err := b.store.Get(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	closeAll()
	if _, _, err := b.store.List(t.Context(), ""); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("list: %v", err)
	}
}
