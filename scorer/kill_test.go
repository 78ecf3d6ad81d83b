package scorer_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/scorer"
)

// killRequests is how many requests TestKilledWorkers sends; FAIRLEAD_KILL_REQUESTS says otherwise.
func killRequests(t *testing.T) int64 {
	t.Helper()
	text := os.Getenv("FAIRLEAD_KILL_REQUESTS")
	if text == "" {
		return 600
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKilledWorkers: while workers are killed at random no answer is wrong, no request hangs, and of those that fail there are not
// more than workers were killed, each with an error that says so.
func TestKilledWorkers(t *testing.T) {
	for name, set := range map[string]func(*scorer.Config){
		"started": func(*scorer.Config) {},
		"forked":  func(c *scorer.Config) { c.Preload = true },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := obedientConfig(t)
			cfg.Workers = 2
			set(&cfg)
			killAtRandom(t, startReady(t, cfg), killRequests(t))
		})
	}
}

func killAtRandom(t *testing.T, r *running, requests int64) {
	t.Helper()
	const callers = 8
	var kills, failed, next atomic.Int64
	finished := make(chan struct{})
	var killer, calling sync.WaitGroup
	killer.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-finished:
				return
			case <-tick.C:
			}
			_, s := r.get(t, "/-/status")
			if n := len(s.Workers.Processes); n > 0 && syscall.Kill(s.Workers.Processes[rand.IntN(n)].PID, syscall.SIGKILL) == nil {
				kills.Add(1)
			}
		}
	})
	for range callers {
		calling.Go(func() {
			for i := next.Add(1); i <= requests; i = next.Add(1) {
				got := r.score(t.Context(), fmt.Sprintf(`{"echo": %d, "sleep": 0.003}`, i))
				switch {
				case got.status == 200 && strings.Contains(got.body, fmt.Sprintf(`"echo": %d}`, i)):
				case got.status == 500 && got.failed == "True" && strings.Contains(got.body, "killed by signal 9"):
					failed.Add(1)
				default:
					t.Errorf("request %d got %+v", i, got)
				}
			}
		})
	}
	calling.Wait()
	close(finished)
	killer.Wait()
	t.Logf("%d workers killed, %d of %d requests lost", kills.Load(), failed.Load(), requests)
	if kills.Load() == 0 || failed.Load() > kills.Load() {
		t.Errorf("%d requests failed with %d workers killed", failed.Load(), kills.Load())
	}
	r.await(t, "all workers are back", func(s status) bool { return s.State == "ready" })
}
