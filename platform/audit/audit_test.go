package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/platform/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is the audit log; it can be away.
type sink struct {
	away atomic.Bool
	ids  map[string]bool
	got  []Entry
}

func (s *sink) send(_ context.Context, id string, entries []Entry) error {
	if s.away.Load() {
		return errors.New("away")
	}
	if s.ids == nil {
		s.ids = map[string]bool{}
	}
	if !s.ids[id] {
		s.got = append(s.got, entries...)
	}
	s.ids[id] = true
	return nil
}

// run runs a trail until the test ends it.
func run(s *sink) (t *Trail, end func()) {
	t = NewTrail(s.send, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = t.Run(ctx) }()
	return t, func() { cancel(); <-done }
}

func TestEqualCallsAreOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		trail, end := run(s)
		for n := range 5 {
			trail.Record(rpc.Call{Method: "/a/b", RequestID: fmt.Sprint(n), Denied: true})
		}
		trail.Record(rpc.Call{Method: "/a/c"})
		time.Sleep(2 * flushDelay)
		synctest.Wait()
		end()
		if len(s.got) != 2 || s.got[0].Count != 5 || s.got[0].RequestID != "0" || s.got[1].Count != 1 {
			t.Errorf("entries = %+v", s.got)
		}
	})
}

func TestEntriesWaitWhileTheLogIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.away.Store(true)
		trail, end := run(s)
		for n := range maxBatch + 10 {
			trail.Record(rpc.Call{Method: fmt.Sprint("/a/", n)})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		s.away.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		end()
		if len(s.got) != maxBatch+10 {
			t.Errorf("%d entries arrived, want %d", len(s.got), maxBatch+10)
		}
	})
}

func TestWhatDoesNotFitIsCounted(t *testing.T) {
	trail := NewTrail((&sink{}).send, slog.New(slog.DiscardHandler))
	for n := range maxWaiting + 3 {
		trail.Record(rpc.Call{Method: fmt.Sprint("/a/", n)})
	}
	if trail.Dropped() != 3 {
		t.Errorf("dropped = %d, want 3", trail.Dropped())
	}
}

func TestWhatIsLeftGoesOutAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		trail, end := run(s)
		synctest.Wait()
		trail.Record(rpc.Call{Method: "/a/b"})
		end()
		if len(s.got) != 1 {
			t.Errorf("entries = %+v, want one", s.got)
		}
	})
}
