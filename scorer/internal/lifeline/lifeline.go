// Package lifeline tells a scorer that the process that supervises it is gone.
//
// The supervisor holds an exclusive flock on a file while it lives; the kernel frees it when the supervisor ends, however it
// ends. A scorer waits for the lock, without polling, in one goroutine that the lifeline owns. When it gets the lock it gives it back at once and
// allows a new supervisor some time to take over.
//
// A new supervisor may find the lock held shared for a moment: it must wait for the lock, not give up at the first refusal.
package lifeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const poll = 100 * time.Millisecond

// Watch blocks until the supervisor is gone and no new one has come within grace; then it returns nil. It returns the
// context's error when ctx ends first. A file that does not exist counts as a supervisor that is gone.
//
// A wait for a lock can't be interrupted: after ctx has ended, one thread stays in the kernel until the lock is free or
// the process ends.
func Watch(ctx context.Context, path string, grace time.Duration) error {
	for {
		if err := waitGone(ctx, path); err != nil {
			return err
		}
		back, err := waitBack(ctx, path, grace)
		if err != nil {
			return err
		}
		if !back {
			return nil
		}
	}
}

// waitGone blocks until nobody holds the lock exclusively.
func waitGone(ctx context.Context, path string) error {
	got := make(chan error, 1)
	go func() { got <- tryShared(path, syscall.LOCK_SH) }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-got:
		return err
	}
}

// waitBack reports whether somebody takes the lock within grace. The file is opened anew each time: a new supervisor may
// have made a new one.
func waitBack(ctx context.Context, path string, grace time.Duration) (bool, error) {
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if grace > 0 {
			err := tryShared(path, syscall.LOCK_SH|syscall.LOCK_NB)
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return true, nil
			}
			if err != nil {
				return false, err
			}
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline.C:
			return false, nil
		case <-tick.C:
		}
	}
}

// tryShared takes the lock shared and gives it back. A missing file has no holder.
func tryShared(path string, how int) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the supervisor's lock file: %w", err)
	}
	defer f.Close()
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait for the supervisor's lock %s: %w", path, err)
		}
	}
}
