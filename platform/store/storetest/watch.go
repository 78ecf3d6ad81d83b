package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/store"
)

// watcher runs a watch in the background and gives its changes one by one.
type watcher struct {
	t       *testing.T
	changes chan store.Change
}

func watch(t *testing.T, s store.Watcher, prefix string) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{t: t, changes: make(chan store.Change)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c, err := range s.Watch(ctx, prefix) {
			if err != nil {
				return
			}
			select {
			case w.changes <- c:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// next gives the next change that is no progress.
func (w *watcher) next() store.Change {
	w.t.Helper()
	for {
		c := w.any()
		if c.Kind != store.ChangeProgress {
			return c
		}
	}
}

func (w *watcher) any() store.Change {
	w.t.Helper()
	select {
	case c := <-w.changes:
		return c
	case <-time.After(patience):
		w.t.Fatal("waited in vain for a change")
		return store.Change{}
	}
}

func (w *watcher) want(want ...store.Change) {
	w.t.Helper()
	for _, c := range want {
		if d := cmp.Diff(c, w.next()); d != "" {
			w.t.Fatalf("change (-want +got):\n%s", d)
		}
	}
}

func putChange(key, value string, r store.Revision) store.Change {
	return store.Change{Kind: store.ChangePut, Entry: store.Entry{Key: key, Value: []byte(value), Revision: r}}
}

func deleteChange(key string, r store.Revision) store.Change {
	return store.Change{Kind: store.ChangeDelete, Entry: store.Entry{Key: key, Revision: r}}
}

func watchChanges(t *testing.T, s Subject) {
	empty := watch(t, s.Store, "w")
	if c := empty.next(); c.Kind != store.ChangeSynced {
		t.Fatalf("first change of an empty store: %+v", c)
	}
	a := apply(t, s.Store, ops(create("w/a", "1")))
	apply(t, s.Store, ops(create("wx/a", "1")))
	b := apply(t, s.Store, ops(create("w/b", "1")))
	a2 := apply(t, s.Store, ops(store.Update("w/a", []byte("2"), a)))
	gone := apply(t, s.Store, ops(store.Delete("w/b", b)))
	last := apply(t, s.Store, ops(create("w/c", "1"), create("w/b", "2")))
	want := []store.Change{
		putChange("w/a", "1", a), putChange("w/b", "1", b), putChange("w/a", "2", a2), deleteChange("w/b", gone),
		putChange("w/c", "1", last-1), putChange("w/b", "2", last),
	}
	empty.want(want...)

	late := watch(t, s.Store, "w")
	got := map[string]string{}
	for c := late.next(); c.Kind != store.ChangeSynced; c = late.next() {
		if c.Kind != store.ChangePut {
			t.Errorf("before synced: %+v", c)
		}
		got[c.Entry.Key] = string(c.Entry.Value)
	}
	if d := cmp.Diff(map[string]string{"w/a": "2", "w/b": "2", "w/c": "1"}, got); d != "" {
		t.Errorf("initial state (-want +got):\n%s", d)
	}
	next := apply(t, s.Store, ops(put("w/a", "3")))
	late.want(putChange("w/a", "3", next))
	empty.want(putChange("w/a", "3", next))
}

func watchProgress(t *testing.T, s Subject) {
	w := watch(t, s.Store, "mine")
	w.next()
	r := apply(t, s.Store, ops(put("other/a", "")))
	if c := w.any(); c.Kind != store.ChangeProgress || c.Entry.Revision < r {
		t.Errorf("got %+v, want progress to %d", c, r)
	}
}

func watchEnds(t *testing.T, s Subject) {
	apply(t, s.Store, ops(put("a", "")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range s.Store.Watch(ctx, "") {
		last = err
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("after its context ended: %v", last)
	}
	n := 0
	for range s.Store.Watch(t.Context(), "") {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d changes, want 1", n)
	}
	for _, err := range s.Store.Watch(t.Context(), "a/") {
		if _, ok := errors.AsType[*store.InvalidError](err); !ok {
			t.Errorf("invalid prefix: %v", err)
		}
	}
}

func watchExpiry(t *testing.T, s Subject) {
	early := watch(t, s.Store, "")
	early.next()
	r := apply(t, s.Store, ops(put("a", "1").WithTTL(time.Second)))
	late := watch(t, s.Store, "")
	early.want(putChange("a", "1", r), deleteChange("a", r))
	late.want(putChange("a", "1", r))
	for c := late.next(); c.Kind != store.ChangeDelete; c = late.next() {
		if c.Kind != store.ChangeSynced {
			t.Errorf("got %+v", c)
		}
	}
}

func watchRecreation(t *testing.T, s Subject) {
	if s.Recreate == nil {
		t.Skip("this storage can't be lost while in use")
	}
	w := watch(t, s.Store, "")
	w.next()
	apply(t, s.Store, ops(create("lost", "1"), create("kept", "1")))
	w.next()
	w.next()
	s.Recreate(t)
	apply(t, s.Store, ops(create("kept", "2")))
	// Everything is reported anew: puts, the delete of what is gone, synced.
	state := map[string]string{"lost": "1", "kept": "1"}
	for {
		c := w.next()
		switch c.Kind {
		case store.ChangePut:
			state[c.Entry.Key] = string(c.Entry.Value)
		case store.ChangeDelete:
			delete(state, c.Entry.Key)
		}
		if maps.Equal(state, map[string]string{"kept": "2"}) {
			break
		}
	}
	apply(t, s.Store, ops(create("new", "1")))
	for c := w.next(); c.Entry.Key != "new"; c = w.next() {
		if c.Kind != store.ChangeSynced {
			t.Errorf("got %+v", c)
		}
	}
}

// watchConverges checks that a watch ends with the state that is stored, whatever
// was written meanwhile.
func watchConverges(t *testing.T, s Subject) {
	early := store.NewCache(s.Store, textCache(""))
	run(t, early)
	for i := range 100 {
		k := key(i % 7)
		e, err := s.Store.Get(t.Context(), k)
		switch {
		case errors.Is(err, store.ErrNotFound):
			apply(t, s.Store, ops(create(k, fmt.Sprint(i))))
		case i%5 == 0:
			apply(t, s.Store, ops(store.Delete(k, e.Revision)))
		default:
			apply(t, s.Store, ops(store.Update(k, fmt.Append(nil, i), e.Revision), put("other", fmt.Sprint(i))))
		}
	}
	entries, r, err := s.Store.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	late := store.NewCache(s.Store, textCache(""))
	run(t, late)
	var want []store.Item[string]
	for _, e := range entries {
		want = append(want, store.Item[string]{Key: e.Key, Value: string(e.Value), Revision: e.Revision})
	}
	for name, c := range map[string]*store.Cache[string]{"early": early, "late": late} {
		if err := c.WaitFor(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, c.List("")); d != "" {
			t.Errorf("%s cache (-want +got):\n%s", name, d)
		}
	}
}

func textCache(prefix string) store.CacheConfig[string] {
	return store.CacheConfig[string]{
		Prefix: prefix,
		Decode: func(e store.Entry) (string, error) {
			if string(e.Value) == "undecodable" {
				return "", errors.New("undecodable")
			}
			return string(e.Value), nil
		},
		Logger: slog.New(slog.DiscardHandler),
	}
}

// run runs a component until the test ends.
func run(t *testing.T, c interface{ Run(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}
