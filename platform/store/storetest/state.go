package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
)

func getAndList(t *testing.T, s Subject) {
	if _, err := s.Store.Get(t.Context(), "a/b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get of an absent key: %v", err)
	}
	entries, r, err := s.Store.List(t.Context(), "")
	if err != nil || len(entries) != 0 || r != 0 {
		t.Errorf("list of an empty store: %v, %d, %v", entries, r, err)
	}
	second := apply(t, s.Store, ops(put("a/2", "two")))
	first := apply(t, s.Store, ops(put("a/1", "one")))
	third := apply(t, s.Store, ops(put("a/3", "")))
	last := apply(t, s.Store, ops(store.Delete("a/3", third)))
	entries, r, err = s.Store.List(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Entry{
		{Key: "a/1", Value: []byte("one"), Revision: first},
		{Key: "a/2", Value: []byte("two"), Revision: second},
	}
	if d := cmp.Diff(want, entries); d != "" {
		t.Errorf("list (-want +got):\n%s", d)
	}
	if r < last {
		t.Errorf("list at revision %d, though %d was written", r, last)
	}
	got, err := s.Store.Get(t.Context(), "a/1")
	if d := cmp.Diff(want[0], got); d != "" || err != nil {
		t.Errorf("get: %v (-want +got):\n%s", err, d)
	}
}

func prefixes(t *testing.T, s Subject) {
	for _, k := range []string{"a", "a/b", "a/b/c", "a/b/c/d", "a/bc", "ab/c", "b"} {
		apply(t, s.Store, ops(put(k, k)))
	}
	for prefix, want := range map[string][]string{
		"":        {"a", "a/b", "a/b/c", "a/b/c/d", "a/bc", "ab/c", "b"},
		"a":       {"a/b", "a/b/c", "a/b/c/d", "a/bc"},
		"a/b":     {"a/b/c", "a/b/c/d"},
		"a/b/c/d": nil,
		"ab":      {"ab/c"},
		"none":    nil,
	} {
		entries, _, err := s.Store.List(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Key)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("prefix %q (-want +got):\n%s", prefix, d)
		}
	}
}

func oddKeys(t *testing.T, s Subject) {
	keys := []string{
		"workspaces/w/endpoints/e.v1", "a.b/c", "a/b.c", "*/>", "sp ace/tab\t/nl\n", "ünï/码/\xff\x00", "=41/A", "$KV/x", strings.Repeat("k", store.MaxKey),
	}
	for _, k := range keys {
		apply(t, s.Store, ops(create(k, k)))
	}
	for _, k := range keys {
		if got := value(t, s.Store, k); got != k {
			t.Errorf("key %q has value %q", k, got)
		}
	}
	entries, _, err := s.Store.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Key != string(e.Value) {
			t.Errorf("listed key %q has value %q", e.Key, e.Value)
		}
	}
	if len(entries) != len(keys) {
		t.Errorf("listed %d keys, want %d", len(entries), len(keys))
	}
}

func invalidInput(t *testing.T, s Subject) {
	for name, b := range map[string]store.Batch{
		"empty batch":             {},
		"events only":             {Events: []events.Event{event("e", 1)}},
		"empty key":               ops(put("", "")),
		"empty segment":           ops(put("a//b", "")),
		"trailing slash":          ops(put("a/", "")),
		"long key":                ops(put(strings.Repeat("k", store.MaxKey+1), "")),
		"large value":             ops(store.Put("a", make([]byte, store.MaxValue+1))),
		"same key twice":          ops(put("a", ""), put("a", "")),
		"guarded and written":     {Ops: []store.Op{put("a", "")}, Guards: []store.Guard{{Key: "a"}}},
		"update of revision 0":    ops(store.Update("a", nil, 0)),
		"delete of revision 0":    ops(store.Delete("a", 0)),
		"short ttl":               ops(put("a", "").WithTTL(time.Millisecond)),
		"crooked ttl":             ops(put("a", "").WithTTL(1500 * time.Millisecond)),
		"unknown op":              ops(store.Op{Key: "a"}),
		"invalid event":           {Ops: []store.Op{put("a", "")}, Events: []events.Event{{}}},
		"same event twice":        {Ops: []store.Op{put("a", "")}, Events: []events.Event{event("e", 1), event("e", 2)}},
		"id with a line break":    {ID: "a\nb", Ops: []store.Op{put("a", "")}},
		"invalid key in a guard":  {Ops: []store.Op{put("a", "")}, Guards: []store.Guard{{Key: "/"}}},
		"more than one may carry": ops(make([]store.Op, store.MaxBatch+1)...),
	} {
		_, err := s.Store.Apply(t.Context(), b)
		if _, ok := errors.AsType[*store.InvalidError](err); !ok {
			t.Errorf("%s: got %v, want an invalid error", name, err)
		}
	}
	for _, key := range []string{"", "a//b", strings.Repeat("a", store.MaxKey+1)} {
		_, err := s.Store.Get(t.Context(), key)
		if _, invalid := errors.AsType[*store.InvalidError](err); !invalid || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get of %.20q: %v, want an invalid error that says it is not there", key, err)
		}
	}
	if _, _, err := s.Store.List(t.Context(), "a/"); err == nil {
		t.Error("a prefix with a slash at its end was taken")
	}
	if entries, _, _ := s.Store.List(t.Context(), ""); len(entries) != 0 {
		t.Errorf("something was written: %v", entries)
	}
}

func expectedRevisions(t *testing.T, s Subject) {
	first := apply(t, s.Store, ops(create("a", "1")))
	_, err := s.Store.Apply(t.Context(), ops(create("a", "x")))
	wantConflict(t, err, store.ConflictError{Key: "a", Have: first})

	second := apply(t, s.Store, ops(store.Update("a", []byte("2"), first)))
	if second <= first {
		t.Errorf("revision %d after %d", second, first)
	}
	_, err = s.Store.Apply(t.Context(), ops(store.Update("a", []byte("x"), first)))
	wantConflict(t, err, store.ConflictError{Key: "a", Want: first, Have: second})
	_, err = s.Store.Apply(t.Context(), ops(store.Delete("a", first)))
	wantConflict(t, err, store.ConflictError{Key: "a", Want: first, Have: second})
	_, err = s.Store.Apply(t.Context(), ops(store.Update("b", nil, second)))
	wantConflict(t, err, store.ConflictError{Key: "b", Want: second})

	wantValues(t, s.Store, map[string]string{"a": "2", "b": "(absent)"})
	apply(t, s.Store, ops(put("a", "3")))
	wantValues(t, s.Store, map[string]string{"a": "3"})
}

func createAfterDelete(t *testing.T, s Subject) {
	r := apply(t, s.Store, ops(create("a", "1")))
	deleted := apply(t, s.Store, ops(store.Delete("a", r)))
	wantValues(t, s.Store, map[string]string{"a": "(absent)"})
	_, err := s.Store.Apply(t.Context(), ops(store.Update("a", nil, r)))
	wantConflict(t, err, store.ConflictError{Key: "a", Want: r})

	apply(t, s.Store, ops(create("b", "1"), create("a", "2")))
	wantValues(t, s.Store, map[string]string{"a": "2", "b": "1"})
	e, err := s.Store.Get(t.Context(), "a")
	if err != nil || e.Revision <= deleted {
		t.Errorf("revision %d after the delete at %d (%v)", e.Revision, deleted, err)
	}
}

func guards(t *testing.T, s Subject) {
	r := apply(t, s.Store, ops(create("guard", "1")))
	gone := apply(t, s.Store, ops(create("gone", "1")))
	apply(t, s.Store, ops(store.Delete("gone", gone)))
	with := func(b store.Batch, g ...store.Guard) store.Batch {
		b.Guards = g
		return b
	}
	withEvent := func(b store.Batch, id string) store.Batch {
		b.Events = append(b.Events, event(id, 1))
		return b
	}
	holds := []store.Guard{{Key: "guard", Revision: r}, {Key: "absent"}, {Key: "gone"}}
	for i, b := range []store.Batch{
		with(ops(put("a", "1")), holds[0]),
		with(ops(create("b", "1")), holds...),
		with(ops(create("c", "1"), put("d", "1")), holds...),
		with(withEvent(ops(create("e", "1")), "g1"), holds...),
		with(withEvent(withEvent(ops(create("f", "1")), "g2"), "g3"), holds[1]),
	} {
		if _, err := s.Store.Apply(t.Context(), b); err != nil {
			t.Errorf("batch %d, whose guards hold: %v", i, err)
		}
	}
	wantValues(t, s.Store, map[string]string{"a": "1", "b": "1", "c": "1", "d": "1", "e": "1", "f": "1", "guard": "1"})
	for name, c := range map[string]struct {
		guard store.Guard
		want  store.ConflictError
	}{
		"other revision": {store.Guard{Key: "guard", Revision: r + 1}, store.ConflictError{Key: "guard", Want: r + 1, Have: r}},
		"not absent":     {store.Guard{Key: "guard"}, store.ConflictError{Key: "guard", Have: r}},
		"deleted":        {store.Guard{Key: "gone", Revision: gone}, store.ConflictError{Key: "gone", Want: gone}},
	} {
		for shape, b := range map[string]store.Batch{
			"alone":      with(ops(put("x", "1")), c.guard),
			"beside one": with(ops(put("x", "1")), store.Guard{Key: "absent"}, c.guard),
			"with event": with(withEvent(ops(create("x", "1")), "never"), c.guard),
		} {
			t.Run(name+" "+shape, func(t *testing.T) {
				_, err := s.Store.Apply(t.Context(), b)
				wantConflict(t, err, c.want)
			})
		}
	}
	wantValues(t, s.Store, map[string]string{"x": "(absent)"})
}

func atomicity(t *testing.T, s Subject) {
	r := apply(t, s.Store, ops(create("a", "1")))
	for name, b := range map[string]store.Batch{
		"first fails":  ops(create("a", "x"), create("b", "x"), create("c", "x")),
		"middle fails": ops(create("b", "x"), store.Update("a", []byte("x"), r+5), create("c", "x")),
		"last fails":   ops(create("b", "x"), put("c", "x"), store.Delete("a", r+5)),
	} {
		t.Run(name, func(t *testing.T) {
			b.Events = []events.Event{event("refused", 1)}
			_, err := s.Store.Apply(t.Context(), b)
			if c, ok := errors.AsType[*store.ConflictError](err); !ok || c.Key != "a" {
				t.Errorf("got %v, want a conflict on a", err)
			}
			wantValues(t, s.Store, map[string]string{"a": "1", "b": "(absent)", "c": "(absent)"})
		})
	}
}

func batchRevisions(t *testing.T, s Subject) {
	apply(t, s.Store, ops(create("guard", "")))
	last := apply(t, s.Store, store.Batch{
		Ops:    []store.Op{put("a", ""), put("b", ""), put("c", "")},
		Guards: []store.Guard{{Key: "absent1"}, {Key: "absent2"}, {Key: "absent3"}},
		Events: []events.Event{event("r1", 1), event("r2", 2)},
	})
	for i, k := range []string{"a", "b", "c"} {
		e, err := s.Store.Get(t.Context(), k)
		if want := last - 2 + store.Revision(i); err != nil || e.Revision != want {
			t.Errorf("key %s has revision %d (%v), want %d", k, e.Revision, err, want)
		}
	}
}

func idempotentBatch(t *testing.T, s Subject) {
	for name, b := range map[string]store.Batch{
		"one op":     {ID: "i1", Ops: []store.Op{create("one", "1")}},
		"two ops":    {ID: "i2", Ops: []store.Op{create("two/a", "1"), put("two/b", "1")}},
		"with guard": {ID: "i3", Ops: []store.Op{put("three", "1")}, Guards: []store.Guard{{Key: "absent"}}},
		"with event": {ID: "i4", Ops: []store.Op{create("four", "1")}, Events: []events.Event{event("i4e", 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			first := apply(t, s.Store, b)
			if again := apply(t, s.Store, b); again != first {
				t.Errorf("applied again at revision %d, first at %d", again, first)
			}
			k := b.Ops[0].Key
			newer := apply(t, s.Store, ops(put(k, "newer")))
			if again := apply(t, s.Store, b); again < first || again > newer {
				t.Errorf("applied again at revision %d, first at %d", again, first)
			}
			wantValues(t, s.Store, map[string]string{k: "newer"})
		})
	}
	wantEvents(t, s, event("i4e", 1))
}

func largeBatch(t *testing.T, s Subject) {
	var b store.Batch
	var want []events.Event
	for i := range 100 {
		b.Ops = append(b.Ops, create(key(i), fmt.Sprint(i)))
		want = append(want, event(fmt.Sprintf("large%03d", i), i+1))
	}
	b.Events = want
	apply(t, s.Store, b)
	entries, _, err := s.Store.List(t.Context(), "keys")
	if err != nil || len(entries) != 100 {
		t.Errorf("listed %d entries, want 100 (%v)", len(entries), err)
	}
	wantEvents(t, s, want...)
}

func timeToLive(t *testing.T, s Subject) {
	apply(t, s.Store, ops(create("alone", "1").WithTTL(time.Second)))
	apply(t, s.Store, ops(put("kept", "1").WithTTL(time.Second), put("beside", "1").WithTTL(time.Second), put("stays", "1")))
	apply(t, s.Store, ops(put("kept", "2")))
	wantValues(t, s.Store, map[string]string{"alone": "1", "kept": "2", "beside": "1", "stays": "1"})
	eventually(t, "keys to expire", func() bool {
		return value(t, s.Store, "alone") == "(absent)" && value(t, s.Store, "beside") == "(absent)"
	})
	wantValues(t, s.Store, map[string]string{"kept": "2", "stays": "1"})
	apply(t, s.Store, ops(create("alone", "2")))
	wantValues(t, s.Store, map[string]string{"alone": "2"})
}
