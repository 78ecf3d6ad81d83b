package harness

import (
	"testing"
	"time"
)

// poll is how often a condition is looked at.
const poll = 20 * time.Millisecond

// Eventually looks at a condition until it holds; it fails the test when that
// takes too long, with what the condition said last.
func Eventually(tb testing.TB, within time.Duration, what string, condition func() error) {
	tb.Helper()
	if err := await(tb, within, condition); err != nil {
		tb.Fatalf("not within %v: %s: %v", within, what, err)
	}
}

func await(tb testing.TB, within time.Duration, condition func() error) error {
	tb.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-deadline.C:
			return err
		case <-tick.C:
		}
	}
}
