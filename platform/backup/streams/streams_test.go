package streams

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/backup"
	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
	storejs "github.com/fairlead/fairlead/platform/store/jetstream"
)

func TestMain(m *testing.M) {
	// A server that is closed while a stream begins to source another waits for the
	// answer until its own timeout.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

// bed is a NATS server and what is on it.
type bed struct {
	server *bus.Embedded
	conn   *nats.Conn
	js     jetstream.JetStream
}

// start starts a server that does not sync: no power is cut here.
func start(t *testing.T, dir string) *bed {
	t.Helper()
	return serve(t, bus.Config{StoreDir: dir, Unsynced: true})
}

func serve(t *testing.T, cfg bus.Config) *bed {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	server, err := bus.Start(t.Context(), cfg, bus.Deps{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	conn, err := bus.Connect(t.Context(), bus.Target{Name: "test", Embedded: server}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return &bed{server: server, conn: conn, js: js}
}

func (b *bed) stop() { b.conn.Close(); b.server.Close() }

func (b *bed) open(t *testing.T, service string) *storejs.Store {
	t.Helper()
	s, err := storejs.Open(t.Context(), storejs.Config{Service: service}, storejs.Deps{Conn: b.conn, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureLog(t.Context(), b.js, events.LogConfig{}, service); err != nil {
		t.Fatal(err)
	}
	return s
}

// step is a change of a service's state: two keys that are always equal, and an event.
func step(ctx context.Context, s *storejs.Store, service string, n int) error {
	value := []byte(strconv.Itoa(n))
	_, err := s.Apply(ctx, store.Batch{
		Ops: []store.Op{store.Put("left", value), store.Put("right", value)},
		Events: []events.Event{{
			ID: events.NewID(), Workspace: "w", Service: service, Resource: "thing", Verb: "changed",
			Subject: "things/" + service, Time: time.Now(), Sequence: uint64(n),
		}},
	})
	return err
}

func value(t *testing.T, s *storejs.Store, key string) int {
	t.Helper()
	e, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(string(e.Value))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// eventsOf reads the log until each service has had an event with its last sequence.
func (b *bed) eventsOf(t *testing.T, last map[string]int) map[string][]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, left := map[string][]int{}, len(last)
	for r, err := range events.OpenLog(b.js).Read(ctx, events.Query{Follow: true}) {
		if err != nil {
			t.Fatalf("%v; so far %v", err, got)
		}
		service := r.Event.Service
		got[service] = append(got[service], int(r.Event.Sequence))
		if int(r.Event.Sequence) == last[service] {
			left--
		}
		if left == 0 {
			break
		}
	}
	for r, err := range events.OpenLog(b.js).Read(ctx, events.Query{From: events.FromStart()}) {
		if err != nil {
			t.Fatal(err)
		}
		if n := int(r.Event.Sequence); n > last[r.Event.Service] {
			got[r.Event.Service] = append(got[r.Event.Service], n)
		}
	}
	return got
}

func count(n int) []int {
	var all []int
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

// captured is a copy in memory.
type captured struct {
	streams []backup.Stream
	apart   bool
	parts   map[string]*bytes.Buffer
}

func capture(t *testing.T, b *bed, patience time.Duration) captured {
	t.Helper()
	names, err := Names(t.Context(), b.conn)
	if err != nil {
		t.Fatal(err)
	}
	c := captured{parts: map[string]*bytes.Buffer{}}
	var targets []Target
	for _, n := range names {
		c.parts[n] = &bytes.Buffer{}
		targets = append(targets, Target{Stream: n, Part: c.parts[n]})
	}
	all, err := capturePatiently(t.Context(), b.js, targets, nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	c.streams, c.apart = all.Streams, all.Apart
	return c
}

func (c captured) restore(t *testing.T, b *bed) {
	t.Helper()
	for _, s := range c.streams {
		if err := Verify(s, bytes.NewReader(c.parts[s.Name].Bytes())); err != nil {
			t.Fatal(err)
		}
		if err := Restore(t.Context(), b.conn, s, bytes.NewReader(c.parts[s.Name].Bytes())); err != nil {
			t.Fatal(err)
		}
	}
}

// age makes all messages older.
func (c captured) age(t *testing.T, by time.Duration) {
	t.Helper()
	for name, part := range c.parts {
		var aged bytes.Buffer
		err := readMessages(part, func(m message) error {
			m.nanos -= by.Nanoseconds()
			return writeMessage(&aged, m)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := writeMessage(&aged, message{}); err != nil {
			t.Fatal(err)
		}
		c.parts[name] = &aged
	}
}

// TestCaptureUnderLoad copies two services while both change, one after the other,
// and looks at what a restored server holds.
func TestCaptureUnderLoad(t *testing.T) {
	from := serve(t, bus.Config{StoreDir: t.TempDir()})
	a, b := from.open(t, "a"), from.open(t, "b")
	const keys = 300
	for n := range keys {
		if _, err := a.Apply(t.Context(), store.Batch{Ops: []store.Op{store.Put(fmt.Sprintf("many/%d", n), []byte("0"))}}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	pause := func() {
		select {
		case <-ctx.Done():
		case <-time.After(15 * time.Millisecond):
		}
	}
	load.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			if step(ctx, a, "a", n) != nil || step(ctx, b, "b", n) != nil {
				return
			}
			pause()
		}
	})
	load.Go(func() { // replaces keys that the copy has seen, and such that it has not
		for n := 0; ctx.Err() == nil; n++ {
			_, _ = a.Apply(ctx, store.Batch{Ops: []store.Op{store.Put(fmt.Sprintf("many/%d", n*7%keys), []byte("1"))}})
			pause()
		}
	})
	for _, patience := range []time.Duration{patience, 0, patience} {
		c := capture(t, from, patience)
		to := start(t, t.TempDir())
		c.restore(t, to)
		a, b := to.open(t, "a"), to.open(t, "b")
		left, right := value(t, a, "left"), value(t, b, "left")
		if value(t, a, "right") != left || value(t, b, "right") != right {
			t.Error("a batch is halved")
		}
		if c.apart != (patience == 0) {
			t.Errorf("with patience %v the streams are apart: %v", patience, c.apart)
		}
		if !c.apart && left != right && left != right+1 {
			t.Errorf("one service is at %d, the other, which follows it, at %d", left, right)
		}
		if many, _, err := a.List(t.Context(), "many"); err != nil || len(many) != keys {
			t.Errorf("%d keys of %d, %v", len(many), keys, err)
		}
		want := map[string][]int{"a": count(left), "b": count(right)}
		if diff := cmp.Diff(want, to.eventsOf(t, map[string]int{"a": left, "b": right})); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
	stop()
	load.Wait()
}

// TestEventsGoOn continues on an old backup: no event is doubled, also where the
// server no longer knows the ids, and none is left out.
func TestEventsGoOn(t *testing.T) {
	from := start(t, t.TempDir())
	a := from.open(t, "a")
	for n := range 20 {
		if err := step(t.Context(), a, "a", n+1); err != nil {
			t.Fatal(err)
		}
	}
	from.eventsOf(t, map[string]int{"a": 20})
	c := capture(t, from, patience)
	c.age(t, 3*time.Hour)

	dir := t.TempDir()
	to := start(t, dir)
	c.restore(t, to)
	before, err := a.Get(t.Context(), "left")
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		a = to.open(t, "a")
		if round == 0 {
			if after, err := a.Get(t.Context(), "left"); err != nil || after.Revision != before.Revision {
				t.Errorf("the revision of a key is %d, it was %d (%v)", after.Revision, before.Revision, err)
			}
		}
		n := 21 + round
		if err := step(t.Context(), a, "a", n); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string][]int{"a": count(n)}, to.eventsOf(t, map[string]int{"a": n})); diff != "" {
			t.Fatalf("round %d: events (-want +got):\n%s", round, diff)
		}
		to.stop()
		to = start(t, dir)
	}
}

// TestPositions restores sequences after a gap at the end, durable consumers, and
// leaves out what has expired.
func TestPositions(t *testing.T) {
	from := start(t, t.TempDir())
	stream, err := from.js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, Storage: jetstream.FileStorage, AllowMsgTTL: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		msg := &nats.Msg{Subject: fmt.Sprintf("s.%d", n), Data: []byte{byte(n)}, Header: nats.Header{"Own": {"first", "second"}, "lower-case": {""}}}
		if n == 3 {
			msg.Header.Set("Nats-TTL", "2h")
		}
		if _, err := from.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	durable, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := durable.Fetch(3)
	if err != nil {
		t.Fatal(err)
	}
	for msg := range batch.Messages() {
		if meta, _ := msg.Metadata(); meta.Sequence.Stream <= 2 {
			if err := msg.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := stream.DeleteMsg(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	c := capture(t, from, patience)
	c.age(t, 3*time.Hour)
	to := start(t, t.TempDir())
	c.restore(t, to)

	ack, err := to.js.Publish(t.Context(), "s.next", nil)
	if err != nil || ack.Sequence != 7 {
		t.Errorf("the next message has sequence %d (%v), want 7", ack.Sequence, err)
	}
	reader, err := to.js.Consumer(t.Context(), "S", "reader")
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	batch, err = reader.FetchNoWait(10)
	if err != nil {
		t.Fatal(err)
	}
	for msg := range batch.Messages() {
		meta, _ := msg.Metadata()
		got = append(got, meta.Sequence.Stream)
		if own := msg.Headers()["Own"]; meta.Sequence.Stream == 3 && (!slices.Equal(own, []string{"first", "second"}) || !slices.Equal(msg.Data(), []byte{2})) {
			t.Errorf("message 3 is %v %v", msg.Headers(), msg.Data())
		}
	}
	if want := []uint64{3, 5, 7}; !slices.Equal(got, want) {
		t.Errorf("the reader goes on with %v, want %v", got, want)
	}
	if err := Restore(t.Context(), to.conn, c.streams[0], bytes.NewReader(c.parts["S"].Bytes())); err == nil {
		t.Error("a stream that exists was restored")
	}
}

func TestDamagedPartIsRefused(t *testing.T) {
	from := start(t, t.TempDir())
	if err := step(t.Context(), from.open(t, "a"), "a", 1); err != nil {
		t.Fatal(err)
	}
	c := capture(t, from, patience)
	i := slices.IndexFunc(c.streams, func(s backup.Stream) bool { return s.Name == "KV_a" })
	s, whole := c.streams[i], c.parts["KV_a"].Bytes()
	for name, part := range map[string][]byte{
		"cut off": whole[:len(whole)-3], "empty": nil, "longer": append(slices.Clone(whole), 1), "only an end": {0},
	} {
		if err := Verify(s, bytes.NewReader(part)); apierr.KindOf(err) != apierr.DataLoss {
			t.Errorf("%s: verified with %v", name, err)
		}
	}
	to := start(t, t.TempDir())
	if err := Restore(t.Context(), to.conn, s, bytes.NewReader(whole[:len(whole)-3])); apierr.KindOf(err) != apierr.DataLoss {
		t.Errorf("restored with %v", err)
	}
}

func TestForgetIdentity(t *testing.T) {
	with := "NATS/1.0\r\nA: b c\r\nNats-Stream-Source: KV_a 7 evo.a.> f.> evo.a.x Abc123\r\nce-id: 1\r\n\r\n"
	want := strings.Replace(with, " Abc123", "", 1)
	for _, header := range []string{with, want, ""} {
		expect := header
		if header == with {
			expect = want
		}
		if got := string(forgetIdentity([]byte(header))); got != expect {
			t.Errorf("%q became %q", header, got)
		}
	}
}

func FuzzReadMessages(f *testing.F) {
	var b bytes.Buffer
	for _, m := range []message{{sequence: 1, nanos: -5, subject: "s", header: []byte("h"), data: []byte("d")}, {sequence: 9, subject: "t"}, {}} {
		if err := writeMessage(&b, m); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add([]byte{1, 0, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, part []byte) {
		var again bytes.Buffer
		err := readMessages(bytes.NewReader(part), func(m message) error { return writeMessage(&again, m) })
		if err != nil {
			if apierr.KindOf(err) != apierr.DataLoss {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if err := writeMessage(&again, message{}); err != nil {
			t.Fatal(err)
		}
		var messages, twice int
		_ = readMessages(bytes.NewReader(part), func(message) error { messages++; return nil })
		if err := readMessages(io.NopCloser(&again), func(message) error { twice++; return nil }); err != nil || messages != twice {
			t.Fatalf("%d messages, then %d, %v", messages, twice, err)
		}
	})
}
