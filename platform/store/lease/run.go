package lease

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/fairlead/fairlead/platform/store"
)

// Func is work that needs a lease. It puts the guard into every batch, and returns
// soon after ctx ends.
type Func func(ctx context.Context, g store.Guard) error

// Run does fn while it holds the lease. It waits for the lease, renews it at a third
// of its TTL, cancels fn's context when the lease is lost or could not be renewed in
// time, waits for fn to return, and then waits for the lease again.
//
// Run returns when ctx ends, then with nil, or when fn returns by itself, then with
// what fn returned. It releases the lease before it returns.
func Run(ctx context.Context, st Store, c Claim, logger *slog.Logger, fn Func) error {
	logger = logger.With("lease", c.Name, "holder", c.Holder)
	for {
		asked := time.Now()
		l, err := Acquire(ctx, st, c)
		_, unusable := errors.AsType[*store.InvalidError](err)
		switch {
		case err == nil:
			h := &holding{lease: l, until: asked.Add(c.TTL), logger: logger}
			if finished, err := h.run(ctx, fn); finished {
				return err
			}
			logger.Warn("lease lost, waiting to acquire it again")
		case unusable:
			return err
		case ctx.Err() == nil && !errors.Is(err, ErrHeld):
			logger.Warn("lease can't be acquired now", "error", err)
		}
		timer := time.NewTimer(c.TTL/6 + rand.N(c.TTL/6))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// holding is the time from an acquisition to its end.
type holding struct {
	lease  *Lease
	until  time.Time // when the lease may run out at the earliest
	logger *slog.Logger
}

// run tells finished when Run is to return err.
func (h *holding) run(ctx context.Context, fn Func) (finished bool, err error) {
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fn(work, h.lease.Guard()) }()

	lost := h.keep(work, done)
	if lost {
		cancel()
		err := <-done
		return ctx.Err() != nil, ignoreEnd(ctx, err)
	}
	err = <-done
	// The lease would run out by itself; releasing it saves the next holder the wait.
	release, stop := context.WithTimeout(context.WithoutCancel(ctx), h.lease.claim.TTL)
	defer stop()
	if e := h.lease.Release(release); e != nil && !errors.Is(e, ErrLost) {
		h.logger.Warn("lease can't be released and will run out", "error", e)
	}
	return true, ignoreEnd(ctx, err)
}

// ignoreEnd drops the error of work that was told to end.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// keep renews until the work is done or ctx ends; it tells true when the lease was
// lost before.
func (h *holding) keep(ctx context.Context, done chan error) (lost bool) {
	third := h.lease.claim.TTL / 3
	wait := third
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case err := <-done:
			timer.Stop()
			done <- err
			return false
		case <-timer.C:
		}
		asked := time.Now()
		renew, cancel := context.WithDeadline(ctx, h.until)
		err := h.lease.Renew(renew)
		cancel()
		switch {
		case err == nil:
			h.until, wait = asked.Add(h.lease.claim.TTL), third
		case ctx.Err() != nil:
			return false
		case errors.Is(err, ErrLost) || !time.Now().Before(h.until):
			return true
		default:
			h.logger.Warn("lease can't be renewed now", "error", err)
			wait = min(third/4, time.Until(h.until))
		}
	}
}
