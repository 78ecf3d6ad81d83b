package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/events"
)

func TestMain(m *testing.M) {
	// The server waits for a source's answer for a while, also after its end.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

func serve(t *testing.T) jetstream.JetStream {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	e, err := bus.Start(t.Context(), bus.Config{StoreDir: t.TempDir()}, bus.Deps{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	nc, err := bus.Connect(t.Context(), bus.Target{Embedded: e}, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// outbox makes the stream from which a service's events are sourced.
func outbox(t *testing.T, js jetstream.JetStream, service string) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: events.OutboxStream(service), Subjects: []string{events.OutboxSubjects(service), "$KV." + service + ".>"}, MaxMsgsPerSubject: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func ensure(t *testing.T, js jetstream.JetStream, cfg events.LogConfig, services ...string) {
	t.Helper()
	if err := events.EnsureLog(t.Context(), js, cfg, services...); err != nil {
		t.Fatal(err)
	}
}

func makeEvent(service, workspace, resource, id string) events.Event {
	e := sample()
	e.Service, e.Workspace, e.Resource, e.ID = service, workspace, resource, id
	return e
}

func publish(t *testing.T, js jetstream.JetStream, es ...events.Event) {
	t.Helper()
	for _, e := range es {
		m := natsMessage(t, e)
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

// await waits until the log holds n events and gives the last one's cursor.
func await(t *testing.T, js jetstream.JetStream, n int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := 0
	for r, err := range events.OpenLog(js).Read(ctx, events.Query{Follow: true}) {
		if err != nil {
			t.Fatalf("after %d of %d events: %v", seen, n, err)
		}
		if seen++; seen == n {
			return r.Cursor
		}
	}
	t.Fatal("the log ended")
	return ""
}

// read gives the ids of what a bounded query gives.
func read(t *testing.T, js jetstream.JetStream, q events.Query) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var ids []string
	for r, err := range events.OpenLog(js).Read(ctx, q) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.Event.ID)
	}
	return ids
}

func TestReadSelects(t *testing.T) {
	js := serve(t)
	outbox(t, js, "deploy")
	outbox(t, js, "auth")
	ensure(t, js, events.LogConfig{}, "deploy", "auth")
	publish(t, js, makeEvent("deploy", "red", "endpoint", "1"))
	await(t, js, 1)
	publish(t, js, makeEvent("auth", "red", "key", "2"))
	second := await(t, js, 2)
	publish(t, js, makeEvent("deploy", "blue", "endpoint", "3"), makeEvent("deploy", "green", "model", "4"))
	await(t, js, 4)

	for name, c := range map[string]struct {
		query events.Query
		want  []string
	}{
		"all":                   {events.Query{}, []string{"1", "2", "3", "4"}},
		"from the start":        {events.Query{From: events.FromStart()}, []string{"1", "2", "3", "4"}},
		"from now":              {events.Query{From: events.FromNow()}, nil},
		"after a cursor":        {events.Query{From: events.After(second)}, []string{"3", "4"}},
		"one workspace":         {events.Query{Filter: events.Filter{Workspaces: []string{"red"}}}, []string{"1", "2"}},
		"two workspaces":        {events.Query{Filter: events.Filter{Workspaces: []string{"red", "green", "red"}}}, []string{"1", "2", "4"}},
		"unknown workspace":     {events.Query{Filter: events.Filter{Workspaces: []string{"none"}}}, nil},
		"type fairlead":         {events.Query{Filter: events.Filter{TypePrefix: "fairlead"}}, []string{"1", "2", "3", "4"}},
		"a service":             {events.Query{Filter: events.Filter{TypePrefix: "fairlead.deploy"}}, []string{"1", "3", "4"}},
		"a resource":            {events.Query{Filter: events.Filter{TypePrefix: "fairlead.deploy.endpoint"}}, []string{"1", "3"}},
		"a whole type":          {events.Query{Filter: events.Filter{TypePrefix: "fairlead.auth.key.v1.created"}}, []string{"2"}},
		"another verb":          {events.Query{Filter: events.Filter{TypePrefix: "fairlead.auth.key.v1.deleted"}}, nil},
		"filtered after cursor": {events.Query{From: events.After(second), Filter: events.Filter{Workspaces: []string{"red"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, read(t, js, c.query)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	for name, q := range map[string]events.Query{
		"no cursor":            {From: events.After("x")},
		"foreign type":         {Filter: events.Filter{TypePrefix: "com.example"}},
		"wildcard type":        {Filter: events.Filter{TypePrefix: "fairlead.*"}},
		"other schema version": {Filter: events.Filter{TypePrefix: "fairlead.deploy.endpoint.v2"}},
		"wildcard workspace":   {Filter: events.Filter{Workspaces: []string{"*"}}},
	} {
		for _, err := range events.OpenLog(js).Read(t.Context(), q) {
			if _, ok := errors.AsType[*events.InvalidError](err); !ok {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}

func TestFollow(t *testing.T) {
	js := serve(t)
	outbox(t, js, "deploy")
	ensure(t, js, events.LogConfig{}, "deploy")
	publish(t, js, makeEvent("deploy", "w", "endpoint", "old"))
	await(t, js, 1)
	cursor, err := events.OpenLog(js).Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string)
	ended := make(chan error, 1)
	go func() {
		for r, err := range events.OpenLog(js).Read(ctx, events.Query{From: events.After(cursor), Follow: true}) {
			if err != nil {
				ended <- err
				return
			}
			got <- r.Event.ID
		}
	}()
	for i := range 10 {
		id := fmt.Sprint("new", i)
		publish(t, js, makeEvent("deploy", "w", "endpoint", id))
		select {
		case g := <-got:
			if g != id {
				t.Fatalf("got %s, want %s", g, id)
			}
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s did not come", id)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestExpiredCursor(t *testing.T) {
	js := serve(t)
	outbox(t, js, "deploy")
	ensure(t, js, events.LogConfig{MaxBytes: 4 << 10}, "deploy")
	publish(t, js, makeEvent("deploy", "w", "endpoint", "0"))
	first := await(t, js, 1)
	for i := range 30 {
		publish(t, js, makeEvent("deploy", "w", "endpoint", fmt.Sprint(i+1)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for r, err := range events.OpenLog(js).Read(ctx, events.Query{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Event.ID == "30" {
			break
		}
	}
	expired := func(cursor string) *events.ExpiredError {
		for _, err := range events.OpenLog(js).Read(ctx, events.Query{From: events.After(cursor)}) {
			if !errors.Is(err, events.ErrExpired) {
				t.Fatalf("cursor %s: %v", cursor, err)
			}
			e, _ := errors.AsType[*events.ExpiredError](err)
			return e
		}
		t.Fatalf("cursor %s: no error", cursor)
		return nil
	}
	e := expired(first)
	expired("1000") // from a log that held more than this one
	rest := read(t, js, events.Query{From: events.After(e.Oldest)})
	if len(rest) == 0 || len(rest) > 30 || rest[len(rest)-1] != "30" {
		t.Errorf("after the oldest cursor %s: %v", e.Oldest, rest)
	}
	if d := cmp.Diff(rest, read(t, js, events.Query{})); d != "" {
		t.Errorf("the oldest cursor is not the start (-after +start):\n%s", d)
	}
}

func TestNoLog(t *testing.T) {
	js := serve(t)
	for _, err := range events.OpenLog(js).Read(t.Context(), events.Query{}) {
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("got %v", err)
		}
	}
}

func TestPlainSubscribersSeeEveryEvent(t *testing.T) {
	js := serve(t)
	outbox(t, js, "deploy")
	ensure(t, js, events.LogConfig{}, "deploy")
	sub, err := js.Conn().SubscribeSync("fairlead.events.>")
	if err != nil {
		t.Fatal(err)
	}
	want := makeEvent("deploy", "w", "endpoint", "1")
	publish(t, js, want)
	m, err := sub.NextMsg(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != want.NATSSubject() {
		t.Errorf("subject %s, want %s", m.Subject, want.NATSSubject())
	}
	got, err := events.Decode(m.Header, m.Data)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestServicesJoinTheLogAtOnce(t *testing.T) {
	js := serve(t)
	services := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, s := range services[:6] { // the last two have no stream yet
		outbox(t, js, s)
	}
	var wg sync.WaitGroup
	for _, s := range services {
		wg.Go(func() {
			for range 2 {
				if err := events.EnsureLog(t.Context(), js, events.LogConfig{}, s); err != nil {
					t.Errorf("service %s: %v", s, err)
				}
			}
		})
	}
	wg.Wait()
	stream, err := js.Stream(t.Context(), events.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, src := range stream.CachedInfo().Config.Sources {
		got = append(got, src.Name)
	}
	slices.Sort(got)
	if want := []string{"KV_a", "KV_b", "KV_c", "KV_d", "KV_e", "KV_f", "KV_g", "KV_h"}; !slices.Equal(got, want) {
		t.Fatalf("sources %v, want %v", got, want)
	}
	for _, s := range services[:6] {
		publish(t, js, makeEvent(s, "w", "thing", "of-"+s))
	}
	await(t, js, 6)
	outbox(t, js, "g") // a service that comes after the log
	publish(t, js, makeEvent("g", "w", "thing", "of-g"))
	await(t, js, 7)
}

func TestJoiningKeepsWhatIsThere(t *testing.T) {
	js := serve(t)
	outbox(t, js, "a")
	outbox(t, js, "b")
	ensure(t, js, events.LogConfig{}, "a")
	publish(t, js, makeEvent("a", "w", "thing", "1"))
	await(t, js, 1)
	publish(t, js, makeEvent("b", "w", "thing", "2")) // before it joins
	ensure(t, js, events.LogConfig{MaxAge: time.Hour}, "b")
	await(t, js, 2)
	publish(t, js, makeEvent("a", "w", "thing", "3"))
	await(t, js, 3)
	if d := cmp.Diff([]string{"1", "2", "3"}, read(t, js, events.Query{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func natsMessage(t *testing.T, e events.Event) *nats.Msg {
	t.Helper()
	h, data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return &nats.Msg{Subject: events.OutboxSubject(e), Header: h, Data: data}
}
