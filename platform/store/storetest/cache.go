package storetest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
)

func keysOf(items []store.Item[string]) []string {
	var keys []string
	for _, i := range items {
		keys = append(keys, i.Key)
	}
	return keys
}

func cacheFollows(t *testing.T, s Subject) {
	for _, k := range []string{"c/b", "c/a", "c/a/x", "c/a-b", "other"} {
		apply(t, s.Store, ops(put(k, k)))
	}
	c := store.NewCache(s.Store, textCache("c"))
	if c.HasSynced() {
		t.Error("synced before it ran")
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.WaitSynced(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait before it ran: %v", err)
	}
	run(t, c)
	if err := c.WaitSynced(t.Context()); err != nil || !c.HasSynced() {
		t.Fatalf("not synced: %v", err)
	}
	for prefix, want := range map[string][]string{
		"":    {"c/a", "c/a-b", "c/a/x", "c/b"},
		"c":   {"c/a", "c/a-b", "c/a/x", "c/b"},
		"c/a": {"c/a/x"},
		"c/z": nil,
	} {
		if d := cmp.Diff(want, keysOf(c.List(prefix))); d != "" {
			t.Errorf("prefix %q (-want +got):\n%s", prefix, d)
		}
	}
	if _, ok := c.Get("other"); ok {
		t.Error("holds a key outside its prefix")
	}
	r := apply(t, s.Store, ops(put("c/b", "undecodable"), put("c/a", "2")))
	if err := c.WaitFor(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Get("c/b"); ok {
		t.Error("holds an entry that can't be decoded")
	}
	if got, _ := c.Get("c/a"); got.Value != "2" || got.Revision != r {
		t.Errorf("holds %+v, want 2 at revision %d", got, r)
	}
	gone := apply(t, s.Store, ops(store.Delete("c/a", r)))
	if err := c.WaitFor(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Get("c/a"); ok {
		t.Error("holds a deleted key")
	}
}

func cacheWaitsForWrites(t *testing.T, s Subject) {
	c := store.NewCache(s.Store, textCache("c"))
	run(t, c)
	for i := range 20 {
		want := strconv.Itoa(i)
		r := apply(t, s.Store, store.Batch{
			Ops:    []store.Op{put("c/a", want), put("elsewhere", want)},
			Events: []events.Event{event("wait"+want, i+1)},
		})
		if err := c.WaitFor(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if got, _ := c.Get("c/a"); got.Value != want {
			t.Fatalf("after waiting for revision %d: %q, want %q", r, got.Value, want)
		}
	}
}

func cacheSubscription(t *testing.T, s Subject) {
	apply(t, s.Store, ops(put("c/a", "1"), put("c/b", "1")))
	c := store.NewCache(s.Store, textCache("c"))
	run(t, c)
	if err := c.WaitSynced(t.Context()); err != nil {
		t.Fatal(err)
	}
	sub := c.Subscribe()
	take := func() []string {
		select {
		case <-sub.Ready():
		case <-time.After(patience):
			t.Fatal("waited in vain for a signal")
		}
		keys := sub.Take()
		slices.Sort(keys)
		return keys
	}
	if d := cmp.Diff([]string{"c/a", "c/b"}, take()); d != "" {
		t.Errorf("present keys (-want +got):\n%s", d)
	}
	var r store.Revision
	for range 5 {
		r = apply(t, s.Store, ops(put("c/a", "2"), put("c/c", "1")))
	}
	if err := c.WaitFor(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"c/a", "c/c"}, take()); d != "" {
		t.Errorf("changed keys (-want +got):\n%s", d)
	}
	sub.Close()
	r = apply(t, s.Store, ops(put("c/a", "3")))
	if err := c.WaitFor(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if keys := sub.Take(); len(keys) != 0 {
		t.Errorf("reports after its close: %v", keys)
	}
}
