package storetest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/lease"
)

func claim(holder string) lease.Claim {
	return lease.Claim{Name: "shard/7", Holder: holder, TTL: time.Second}
}

func acquire(t *testing.T, s store.Store, holder string) *lease.Lease {
	t.Helper()
	var l *lease.Lease
	eventually(t, holder+" to acquire the lease", func() bool {
		var err error
		l, err = lease.Acquire(t.Context(), s, claim(holder))
		if err != nil && !errors.Is(err, lease.ErrHeld) {
			t.Fatal(err)
		}
		return err == nil
	})
	return l
}

func leaseRules(t *testing.T, s Subject) {
	if _, err := lease.Acquire(t.Context(), s.Store, lease.Claim{Name: "x", TTL: time.Second}); err == nil {
		t.Error("acquired without a holder")
	}
	a := acquire(t, s.Store, "a")
	if _, err := lease.Acquire(t.Context(), s.Store, claim("b")); !errors.Is(err, lease.ErrHeld) {
		t.Errorf("another holder: %v", err)
	}
	again := acquire(t, s.Store, "a")
	if again.Guard() == a.Guard() {
		t.Error("taking over gave no new epoch")
	}
	if err := a.Renew(t.Context()); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewal of a lease taken over: %v", err)
	}
	if err := again.Renew(t.Context()); err != nil {
		t.Errorf("renewal: %v", err)
	}
	if err := again.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
	b, err := lease.Acquire(t.Context(), s.Store, claim("b"))
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := again.Release(t.Context()); !errors.Is(err, lease.ErrLost) {
		t.Errorf("second release: %v", err)
	}
	if err := b.Renew(t.Context()); err != nil {
		t.Errorf("renewal by the new holder: %v", err)
	}
}

func leaseFencing(t *testing.T, s Subject) {
	a := acquire(t, s.Store, "a")
	write := func(l *lease.Lease, value string) error {
		_, err := s.Store.Apply(t.Context(), store.Batch{Ops: []store.Op{put("state", value)}, Guards: []store.Guard{l.Guard()}})
		return err
	}
	if err := write(a, "a1"); err != nil {
		t.Fatal(err)
	}
	if err := a.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := write(a, "a2"); err != nil {
		t.Fatalf("after a renewal: %v", err)
	}
	b := acquire(t, s.Store, "b") // once a's has run out
	if err := write(b, "b1"); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*store.ConflictError](write(a, "late")); !ok {
		t.Error("the former holder's late write was taken")
	}
	if err := a.Renew(t.Context()); !errors.Is(err, lease.ErrLost) {
		t.Errorf("the former holder's renewal: %v", err)
	}
	wantValues(t, s.Store, map[string]string{"state": "b1"})
}

func leaseRun(t *testing.T, s Subject) {
	logger := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := make(chan store.Guard)
	lost := make(chan struct{}, 10)
	done := make(chan error)
	go func() {
		done <- lease.Run(ctx, s.Store, claim("a"), logger, func(ctx context.Context, g store.Guard) error {
			begun <- g
			<-ctx.Done()
			lost <- struct{}{}
			return ctx.Err()
		})
	}()
	first := <-begun
	// It renews, at a third of the TTL: after five renewals the first would have run out.
	renewals := map[store.Revision]bool{}
	eventually(t, "renewals", func() bool {
		e, err := s.Store.Get(t.Context(), "leases/shard/7")
		if err != nil {
			t.Fatal(err)
		}
		renewals[e.Revision] = true
		return len(renewals) > 5
	})
	if _, err := lease.Acquire(t.Context(), s.Store, claim("b")); !errors.Is(err, lease.ErrHeld) {
		t.Errorf("while it is renewed: %v", err)
	}
	// Lost: its work is cancelled, and it comes back with a new epoch.
	e, err := s.Store.Get(t.Context(), "leases/shard/7")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s.Store, ops(store.Delete(e.Key, e.Revision)))
	<-lost
	if second := <-begun; second == first {
		t.Error("the same epoch after a loss")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	// Released: another acquires at once, and work that ends by itself ends Run.
	want := errors.New("finished")
	err = lease.Run(t.Context(), s.Store, claim("b"), logger, func(context.Context, store.Guard) error { return want })
	if !errors.Is(err, want) {
		t.Errorf("run: %v, want what the work returned", err)
	}
}
