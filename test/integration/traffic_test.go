package integration

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/test/harness"
)

// clients is how many requests are under way at the same time.
const clients = 3

// traffic is clients of an endpoint that go on all the while. A test owns it.
type traffic struct {
	i             *harness.Installation
	endpoint, key string

	// turn is held for reading by each request, so that measuring can have the
	// endpoint for itself.
	turn   sync.RWMutex
	sent   atomic.Int64
	mu     sync.Mutex
	failed []string
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// startTraffic starts the clients.
func startTraffic(t *testing.T, i *harness.Installation, endpoint, key string) *traffic {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	f := &traffic{i: i, endpoint: endpoint, key: key, stop: stop}
	for range clients {
		f.done.Go(func() { f.run(ctx) })
	}
	t.Cleanup(func() { stop(); f.done.Wait() })
	return f
}

func (f *traffic) run(ctx context.Context) {
	pace := time.NewTicker(3 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		f.turn.RLock()
		f.score()
		f.turn.RUnlock()
	}
}

// score sends one request to its end and gives the version that answered.
func (f *traffic) score() string {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := f.i.Score(ctx, f.endpoint, f.key, []byte(`{}`), nil)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("%v", answer)
	}
	f.sent.Add(1)
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.failed = append(f.failed, time.Now().Format("15:04:05.000 ")+err.Error())
		return ""
	}
	return answer.Version()
}

// measure sends n requests, alone, and counts the versions that answered.
func (f *traffic) measure(n int) map[string]int {
	f.turn.Lock()
	defer f.turn.Unlock()
	counts := map[string]int{}
	var mu sync.Mutex
	var left atomic.Int64
	left.Store(int64(n))
	var done sync.WaitGroup
	for range clients {
		done.Go(func() {
			for left.Add(-1) >= 0 {
				version := f.score()
				mu.Lock()
				counts[version]++
				mu.Unlock()
			}
		})
	}
	done.Wait()
	return counts
}

// awaitMore waits until n more requests have been answered.
func (f *traffic) awaitMore(t *testing.T, n int64) {
	t.Helper()
	want := f.sent.Load() + n
	harness.Eventually(t, 30*time.Second, fmt.Sprintf("%d more requests are answered", n), func() error {
		if sent := f.sent.Load(); sent < want {
			return fmt.Errorf("%d are missing", want-sent)
		}
		return nil
	})
}

// mustNotHaveFailed fails the test with the first failures.
func (f *traffic) mustNotHaveFailed(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.failed) > 0 {
		t.Fatalf("%d of %d requests failed, among them %q", len(f.failed), f.sent.Load(), f.failed[:min(5, len(f.failed))])
	}
}

// end stops the clients; none of their requests may have failed.
func (f *traffic) end(t *testing.T) {
	t.Helper()
	f.stop()
	f.done.Wait()
	f.mustNotHaveFailed(t)
}
