package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

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
		trail.Record(rpc.Call{Method: "/a/c", Details: "role=Owner"})
		trail.Record(rpc.Call{Method: "/a/c", Resource: "workspaces/w"})
		time.Sleep(2 * flushDelay)
		synctest.Wait()
		end()
		if len(s.got) != 4 || s.got[0].Count != 5 || s.got[0].RequestID != "0" || s.got[1].Count != 1 {
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

// What callers choose is bounded and plain, whatever they send: a batch that the
// log cannot take would keep all later entries from it.
func TestTextsOfCallersAreBoundedAndPlain(t *testing.T) {
	texts := map[string]string{
		"long":      strings.Repeat("a", 4<<20),
		"umlauts":   strings.Repeat("ä", 500) + "a",
		"shifted":   "a" + strings.Repeat("ä", 500),
		"lines":     "workspaces/w\nadmin  DeleteEndpoint  OK",
		"terminal":  "workspaces/w\x1b[2K\rnothing",
		"backwards": "workspaces/\u202ew",
		"damaged":   "workspaces/\xff",
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			trail := NewTrail((&sink{}).send, slog.New(slog.DiscardHandler))
			trail.Record(rpc.Call{Principal: text, Method: text, Resource: text, Details: text, ClientAddress: text, RequestID: text, Message: text, Denied: true})
			e := trail.take()[0]
			for _, got := range []string{e.Principal, e.Method, e.Resource, e.Details, e.ClientAddress, e.RequestID, e.Message} {
				if got == "" || len(got) > 500 || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("kept %q", got)
				}
			}
		})
	}
	if got := cut("workspaces/w/endpoints/e", maxName); got != "workspaces/w/endpoints/e" {
		t.Errorf("an ordinary name became %q", got)
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
