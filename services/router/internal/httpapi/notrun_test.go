package httpapi

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// busyFor answers like a scorer whose workers are all being replaced, so many times.
func busyFor(times int32, then http.HandlerFunc) (handler http.HandlerFunc, asked *atomic.Int32) {
	asked = &atomic.Int32{}
	return func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > times {
			then(w, r)
			return
		}
		if r.Header.Get("X-Fairlead-Elsewhere") == "" {
			http.Error(w, "it would have waited", http.StatusInternalServerError)
			return
		}
		w.Header().Set("X-Fairlead-Not-Run", "NoWorker")
		w.WriteHeader(http.StatusServiceUnavailable)
	}, asked
}

func TestWhatWasNotRunIsSentElsewhere(t *testing.T) {
	b := newBed(t, 1<<20)
	busy, asked := busyFor(1000, answers("busy"))
	b.serve(nil, replica(t, "1", busy), replica(t, "2", answers("able")))
	for range 10 {
		if got := b.score(nil); got.status != http.StatusOK || got.body != "able" {
			t.Fatalf("answer %d %s", got.status, got.body)
		}
	}
	if n := asked.Load(); n == 0 || n > 5 {
		t.Errorf("the replica that cannot was asked %d times", n)
	}
}

func TestWhatWasNotRunIsTriedUntilTheWaitIsOver(t *testing.T) {
	wait := func(v *routetable.RouteVersion) { v.MaxQueueWait = 2 * time.Second }
	b := newBed(t, 1<<20)
	busy, asked := busyFor(4, answers("at last"))
	b.serve(wait, replica(t, "1", busy))
	if got := b.score(nil); got.status != http.StatusOK || got.body != "at last" || asked.Load() != 5 {
		t.Errorf("answer %d %s after %d tries", got.status, got.body, asked.Load())
	}

	b = newBed(t, 1<<20)
	never, _ := busyFor(1000, answers("never"))
	b.serve(func(v *routetable.RouteVersion) { v.MaxQueueWait = 300 * time.Millisecond }, replica(t, "1", never))
	if got := b.score(nil); got.status != http.StatusServiceUnavailable {
		t.Errorf("answer %d %s, want 503", got.status, got.body)
	}
}
