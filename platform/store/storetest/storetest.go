// Package storetest checks that an implementation of package store keeps the
// guarantees given there. Every implementation runs it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
)

// Service is the service whose store is checked; its events carry this name.
const Service = "test"

// patience is how long a check waits for what must come.
const patience = 20 * time.Second

// Subject is what is checked: one empty store.
type Subject struct {
	Store store.Store
	// Published gives all events in the order of the log, once there are at least n.
	Published func(t *testing.T, n int) []events.Event
	// Recreate loses everything stored and makes the storage anew; nil where that
	// can't happen.
	Recreate func(t *testing.T)
}

// Run runs all checks, each on a store of its own.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for _, c := range []struct {
		name  string
		check func(t *testing.T, s Subject)
	}{
		{"get and list", getAndList},
		{"prefixes are whole segments", prefixes},
		{"keys of any bytes", oddKeys},
		{"invalid input", invalidInput},
		{"expected revisions", expectedRevisions},
		{"create after delete", createAfterDelete},
		{"guards", guards},
		{"atomicity", atomicity},
		{"revisions of a batch", batchRevisions},
		{"idempotent batch", idempotentBatch},
		{"large batch", largeBatch},
		{"events in order, once", eventsInOrder},
		{"no events of refused batches", noEventsOfRefused},
		{"time to live", timeToLive},
		{"concurrent transfers", concurrentTransfers},
		{"consistent lists", consistentLists},
		{"many writers", manyWriters},
		{"watch", watchChanges},
		{"watch progress", watchProgress},
		{"watch ends", watchEnds},
		{"watch expiry", watchExpiry},
		{"watch survives recreation", watchRecreation},
		{"watch converges", watchConverges},
		{"cache", cacheFollows},
		{"cache waits for writes", cacheWaitsForWrites},
		{"cache subscription", cacheSubscription},
		{"lease", leaseRules},
		{"lease fencing", leaseFencing},
		{"lease run", leaseRun},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, open(t)) })
	}
}

// op is short for one write in a test.
func apply(t *testing.T, s store.Writer, b store.Batch) store.Revision {
	t.Helper()
	r, err := s.Apply(t.Context(), b)
	if err != nil {
		t.Fatalf("apply %+v: %v", b.Ops, err)
	}
	return r
}

func ops(o ...store.Op) store.Batch { return store.Batch{Ops: o} }

func put(key, value string) store.Op { return store.Put(key, []byte(value)) }

func create(key, value string) store.Op { return store.Create(key, []byte(value)) }

func value(t *testing.T, s store.Reader, key string) string {
	t.Helper()
	e, err := s.Get(t.Context(), key)
	if errors.Is(err, store.ErrNotFound) {
		return "(absent)"
	}
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return string(e.Value)
}

func wantValues(t *testing.T, s store.Reader, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for key := range want {
		got[key] = value(t, s, key)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("values (-want +got):\n%s", d)
	}
}

func wantConflict(t *testing.T, err error, want store.ConflictError) {
	t.Helper()
	got, ok := errors.AsType[*store.ConflictError](err)
	if !ok {
		t.Fatalf("got %v, want a conflict %+v", err, want)
	}
	if d := cmp.Diff(want, *got); d != "" {
		t.Errorf("conflict (-want +got):\n%s", d)
	}
}

func event(id string, sequence int) events.Event {
	return events.Event{
		ID: id, Workspace: "default", Service: Service, Resource: "thing", Verb: "changed",
		Subject: "workspaces/default/things/" + id, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Sequence: uint64(sequence), Data: []byte(`{"n":` + strconv.Itoa(sequence) + `}`),
	}
}

func wantEvents(t *testing.T, s Subject, want ...events.Event) {
	t.Helper()
	got := s.Published(t, len(want))
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

// eventually waits for something that happens in the background.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

func key(i int) string { return fmt.Sprintf("keys/%04d", i) }
