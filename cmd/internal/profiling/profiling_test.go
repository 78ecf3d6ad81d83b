package profiling_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/cmd/internal/profiling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replica works on some requests at once, for a while each; others wait.
type replica struct {
	takes time.Duration
	slots chan struct{}
	fails func(profiling.Request) error

	mu       sync.Mutex
	cpu      time.Duration
	sent     map[string]int
	restarts int
	lost     error
}

func newReplica(slots int, takes time.Duration) *replica {
	return &replica{takes: takes, slots: make(chan struct{}, slots), sent: map[string]int{}}
}

func (r *replica) send(ctx context.Context, q profiling.Request) error {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-r.slots }()
	select {
	case <-time.After(r.takes):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cpu += r.takes / 4
	r.sent[q.Name]++
	if r.fails != nil {
		return r.fails(q)
	}
	return nil
}

func (r *replica) usage(context.Context) (profiling.Usage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return profiling.Usage{CPU: r.cpu, MemoryPeakBytes: 1 << 20 * int64(1+len(r.slots)), Restarts: r.restarts}, r.lost
}

func (r *replica) load(slots int) *profiling.Load {
	return &profiling.Load{
		Send: r.send, Usage: r.usage, Concurrency: slots, Duration: 16 * time.Second,
		Requests: []profiling.Request{{Name: "a"}, {Name: "b"}},
	}
}

func TestALoadIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(2, 100*msec)
		load := r.load(2)
		var heard []int
		load.OnLevel = func(n int) { heard = append(heard, n) }
		m, err := load.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{1, 2, 4}, heard); diff != "" {
			t.Error(diff)
		}
		same := func(mean time.Duration) profiling.Latency {
			return profiling.Latency{Mean: mean, P50: mean, P95: mean, P99: mean}
		}
		want := []profiling.Level{
			{Concurrency: 1, Requests: 80, Elapsed: 8 * time.Second, Latency: same(100 * msec), Fastest: 100 * msec, CPU: 2 * time.Second},
			{Concurrency: 2, Requests: 80, Elapsed: 4 * time.Second, Latency: same(100 * msec), Fastest: 100 * msec, CPU: 2 * time.Second},
		}
		if diff := cmp.Diff(want, m.Levels[:2]); diff != "" {
			t.Error(diff)
		}
		if waiting := m.Levels[2]; waiting.Latency.P50 != 200*msec || waiting.Latency.P95 != 200*msec {
			t.Errorf("four at once on a replica of two take %v", waiting.Latency)
		}
		if m.MemoryPeakBytes != 3<<20 {
			t.Errorf("the peak is %d", m.MemoryPeakBytes)
		}
		if d := r.sent["a"] - r.sent["b"]; d < -1 || d > 1 {
			t.Errorf("the requests do not take turns: %v", r.sent)
		}
	})
}

func TestALoadEndsWithItsCause(t *testing.T) {
	broken := errors.New("500 Internal Server Error")
	tests := map[string]struct {
		change func(*replica, *profiling.Load, context.CancelCauseFunc)
		want   string
	}{
		"a request is not answered": {func(r *replica, _ *profiling.Load, _ context.CancelCauseFunc) {
			r.fails = func(q profiling.Request) error {
				if q.Name == "b" {
					return broken
				}
				return nil
			}
		}, "b: 500 Internal Server Error"},
		"a request is not answered later": {func(r *replica, _ *profiling.Load, _ context.CancelCauseFunc) {
			r.fails = func(q profiling.Request) error {
				if r.sent["a"] > 10 {
					return broken
				}
				return nil
			}
		}, "500 Internal Server Error"},
		"the replica was started again": {func(r *replica, _ *profiling.Load, _ context.CancelCauseFunc) {
			r.fails = func(profiling.Request) error {
				if r.sent["a"] > 10 {
					r.restarts = 1
				}
				return nil
			}
		}, "was started again"},
		"what it uses is not known any more": {func(r *replica, _ *profiling.Load, _ context.CancelCauseFunc) {
			r.fails = func(profiling.Request) error {
				if r.sent["a"] > 10 {
					r.lost = errors.New("compute is away")
				}
				return nil
			}
		}, "compute is away"},
		"it is interrupted": {func(_ *replica, l *profiling.Load, stop context.CancelCauseFunc) {
			l.OnLevel = func(n int) {
				if n == 2 {
					stop(errors.New("interrupted"))
				}
			}
		}, "interrupted"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				r := newReplica(1, 100*msec)
				load := r.load(1)
				test.change(r, load, stop)
				if _, err := load.Run(ctx); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestReadRequests(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"one.json": "[1, 2]\n", "lines.jsonl": "{\"a\": 1}\n\n  [2]  \r\n3", "empty.jsonl": "\n",
		"folder/b.txt": "b", "folder/a.json": "a", "folder/c.jsonl": "c1\nc2\n", "folder/.hidden": "x", "folder/deeper/x.json": "x", "nothing/.keep": "",
	} {
		local := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(local), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(local, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		want []string
		err  string
	}{
		"one.json":    {want: []string{"[1, 2]\n"}},
		"lines.jsonl": {want: []string{`{"a": 1}`, "[2]", "3"}},
		"folder":      {want: []string{"a", "b", "c1", "c2"}},
		"empty.jsonl": {err: "holds no requests"},
		"nothing":     {err: "holds no requests"},
		"absent":      {err: "there is no file or folder"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			found, err := profiling.ReadRequests(filepath.Join(dir, name))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var bodies []string
			for _, r := range found {
				bodies = append(bodies, string(r.Body))
			}
			if diff := cmp.Diff(test.want, bodies); diff != "" {
				t.Error(diff)
			}
		})
	}
}
