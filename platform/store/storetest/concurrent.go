package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
)

func eventsInOrder(t *testing.T, s Subject) {
	var want []events.Event
	for i := range 30 {
		b := ops(put(key(i%3), fmt.Sprint(i)))
		for j := range 1 + i%3 {
			e := event(fmt.Sprintf("order%02d-%d", i, j), len(want)+1)
			want = append(want, e)
			b.Events = append(b.Events, e)
		}
		apply(t, s.Store, b)
	}
	wantEvents(t, s, want...)
}

func noEventsOfRefused(t *testing.T, s Subject) {
	apply(t, s.Store, ops(create("a", "")))
	b := ops(create("a", ""))
	b.Events = []events.Event{event("refused", 1)}
	if _, err := s.Store.Apply(t.Context(), b); err == nil {
		t.Fatal("applied")
	}
	b = ops(put("a", "2"))
	b.Events = []events.Event{event("accepted", 1)}
	apply(t, s.Store, b)
	wantEvents(t, s, event("accepted", 1))
}

const accounts, writers = 4, 8

// transfer moves one unit between two accounts, and tries again on a conflict.
func transfer(ctx context.Context, s store.Store, from, to string, e events.Event) error {
	for {
		a, err := s.Get(ctx, from)
		if err != nil {
			return err
		}
		b, err := s.Get(ctx, to)
		if err != nil {
			return err
		}
		x, _ := strconv.Atoi(string(a.Value))
		y, _ := strconv.Atoi(string(b.Value))
		_, err = s.Apply(ctx, store.Batch{
			Ops: []store.Op{
				store.Update(from, []byte(strconv.Itoa(x-1)), a.Revision),
				store.Update(to, []byte(strconv.Itoa(y+1)), b.Revision),
			},
			Events: []events.Event{e},
		})
		if _, conflict := errors.AsType[*store.ConflictError](err); !conflict {
			return err
		}
	}
}

func openAccounts(t *testing.T, s store.Store) {
	t.Helper()
	b := store.Batch{}
	for i := range accounts {
		b.Ops = append(b.Ops, create(key(i), "100"))
	}
	apply(t, s, b)
}

func total(entries []store.Entry) int {
	sum := 0
	for _, e := range entries {
		n, _ := strconv.Atoi(string(e.Value))
		sum += n
	}
	return sum
}

// work runs n transfers in each of several writers and gives when all are done.
func work(t *testing.T, s store.Store, n int) (wait func()) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range n {
				e := event(fmt.Sprintf("w%d-%d", w, i), i+1)
				if err := transfer(t.Context(), s, key((w+i)%accounts), key((w+i+1+i%2)%accounts), e); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	return wg.Wait
}

func concurrentTransfers(t *testing.T, s Subject) {
	const each = 4
	openAccounts(t, s.Store)
	work(t, s.Store, each)()
	entries, _, err := s.Store.List(t.Context(), "keys")
	if err != nil || total(entries) != accounts*100 {
		t.Errorf("accounts hold %d, want %d (%v)", total(entries), accounts*100, err)
	}
	// Each writer's events are in its own order, each once.
	next := map[string]int{}
	got := s.Published(t, writers*each)
	for _, e := range got {
		var w, i int
		if _, err := fmt.Sscanf(e.ID, "w%d-%d", &w, &i); err != nil {
			t.Fatal(err)
		}
		writer := strconv.Itoa(w)
		if next[writer] != i {
			t.Errorf("writer %d: event %d came when %d was due", w, i, next[writer])
		}
		next[writer] = i + 1
	}
	if len(got) != writers*each {
		t.Errorf("%d events, want %d", len(got), writers*each)
	}
}

func consistentLists(t *testing.T, s Subject) {
	openAccounts(t, s.Store)
	done := make(chan struct{})
	wait := work(t, s.Store, 2)
	go func() {
		wait()
		close(done)
	}()
	for {
		entries, _, err := s.Store.List(t.Context(), "keys")
		if err != nil {
			t.Error(err)
		}
		if total(entries) != accounts*100 || len(entries) != accounts {
			t.Errorf("a list shows %d accounts with %d, want %d with %d", len(entries), total(entries), accounts, accounts*100)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func manyWriters(t *testing.T, s Subject) {
	const n = 80
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			b := ops(create(key(i), "1"), create("other/"+strconv.Itoa(i), "1"))
			if _, err := s.Store.Apply(t.Context(), b); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	entries, _, err := s.Store.List(t.Context(), "")
	if err != nil || len(entries) != 2*n {
		t.Errorf("%d entries, want %d (%v)", len(entries), 2*n, err)
	}
}
