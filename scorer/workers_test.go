package scorer_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

// TestThreads: requests meet in one worker, and each line that they print carries the id of its own.
func TestThreads(t *testing.T) {
	cfg := scorer.DefaultConfig()
	cfg.Threads = 3
	cfg.EntryScript = pythontest.Script(t, `
import threading
def init():
    global meeting
    meeting = threading.Barrier(3)
def run(data):
    print("begun", data)
    meeting.wait(20)
    print("ended", data)
    if data == "leave": raise SystemExit(0)
    return data
`)
	r := startReady(t, cfg)
	for _, round := range [][]string{{"a", "b", "c"}, {"d", "leave", "f"}, {"g", "h", "i"}} {
		var calling sync.WaitGroup
		for _, data := range round {
			calling.Go(func() {
				got := r.score(t.Context(), data)
				if data == "leave" && got.err == nil || data != "leave" && got.body != `"`+data+`"` {
					t.Errorf("%q got %+v", data, got)
				}
			})
		}
		calling.Wait()
	}
	log := r.log(t)
	for _, data := range []string{"a", "b", "c", "d", "leave", "f", "g", "h", "i"} {
		begun := regexp.MustCompile(`(?m)^\[(\S+)\] begun ` + data + `$`).FindStringSubmatch(log)
		if begun == nil || !strings.Contains(log, "["+begun[1]+"] ended "+data+"\n") {
			t.Errorf("the lines of %q do not carry one id:\n%s", data, log)
		}
	}
}

// TestThreadThatHangs: the worker is replaced, but not before its other requests have their answers.
func TestThreadThatHangs(t *testing.T) {
	cfg := obedientConfig(t)
	cfg.Threads = 2
	cfg.Limits.ScoringTimeout = 2 * time.Second
	r := startReady(t, cfg)
	mark := filepath.Join(t.TempDir(), "begun")
	hung := make(chan answer, 1)
	go func() { hung <- r.score(t.Context(), fmt.Sprintf(`{"touch": %q, "sleep": 600}`, mark)) }()
	awaitFile(t, mark)
	for sent := 0; len(hung) == 0; sent++ {
		if got := r.score(t.Context(), fmt.Sprintf(`{"echo": %d, "sleep": 0.05}`, sent)); got.status != 200 {
			t.Fatalf("a neighbour of the one that hangs got %+v", got)
		}
	}
	if got := <-hung; got.status != 500 || !strings.Contains(got.body, "Scoring timeout after 2000 ms") {
		t.Errorf("the one that hangs got %+v", got)
	}
	r.await(t, "the worker is replaced", func(s status) bool { return s.Workers.Restarts == 1 && s.State == "ready" })
}

// TestPreload: init() runs once, and its process outlives the workers.
func TestPreload(t *testing.T) {
	cfg := scorer.DefaultConfig()
	cfg.Workers, cfg.Threads, cfg.Preload = 2, 2, true
	cfg.EntryScript = pythontest.Script(t, `
import os
def init():
    global parent
    parent = os.getpid()
    print("init() runs in", parent)
def run(data):
    if data == "die": os._exit(7)
    return [parent, os.getppid(), os.getpid() != parent]
`)
	r := startReady(t, cfg)
	first := r.score(t.Context(), "")
	for range 3 {
		if got := r.score(t.Context(), "die"); got.status != 500 || !strings.Contains(got.body, "exit code 7") {
			t.Errorf("a request that ends its worker got %+v", got)
		}
		if got := r.score(t.Context(), ""); got != first || !strings.HasSuffix(got.body, ", true]") {
			t.Errorf("got %+v, before it was %+v", got, first)
		}
	}
	if n := strings.Count(r.log(t), "init() runs in"); n != 1 {
		t.Errorf("init() ran %d times", n)
	}
}

// TestPreloadParentGone: the process that workers are forked from is killed; they end, and there are new ones.
func TestPreloadParentGone(t *testing.T) {
	cfg := scorer.DefaultConfig()
	cfg.Workers, cfg.Preload = 2, true
	cfg.EntryScript = pythontest.Script(t, "import os\ndef init(): pass\ndef run(data): return os.getppid()\n")
	r := startReady(t, cfg)
	before := r.score(t.Context(), "")
	_, old := r.get(t, "/-/status")
	var parent int
	if _, err := fmt.Sscan(before.body, &parent); err != nil {
		t.Fatalf("%v: %+v", err, before)
	}
	if err := syscall.Kill(parent, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.await(t, "all workers are replaced", func(s status) bool { return s.Workers.Restarts == 2 && s.State == "ready" })
	if after := r.score(t.Context(), ""); after.status != 200 || after.body == before.body {
		t.Errorf("got %+v, before it was %+v", after, before)
	}
	for _, w := range old.Workers.Processes {
		eventually(t, fmt.Sprintf("worker %d is gone", w.PID), func() (bool, bool) { return !alive(w.PID), true })
	}
}

func TestPreloadThatCannotLoad(t *testing.T) {
	cfg := scorer.DefaultConfig()
	cfg.Workers, cfg.Preload = 2, true
	cfg.EntryScript = pythontest.Script(t, "def init(): raise ValueError('no file')\ndef run(data): pass\n")
	r := start(t, cfg)
	<-r.ended
	if code := scorer.ExitCode(r.err); code != 3 || !strings.Contains(r.err.Error(), "init() raised ValueError: no file") {
		t.Errorf("ended with %v (code %d)", r.err, code)
	}
}

// TestMemoryGrowth: a worker that keeps too much is replaced between two requests.
func TestMemoryGrowth(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says how much memory a process holds")
	}
	cfg := scorer.DefaultConfig()
	cfg.WorkerMemory = 200 << 20
	cfg.EntryScript = pythontest.Script(t, "kept = []\ndef init(): pass\ndef run(data):\n    kept.append(b'x' * int(data))\n    return len(kept)\n")
	r := startReady(t, cfg)
	if got := r.score(t.Context(), "250000000"); got.body != "1" {
		t.Errorf("the request that needs much got %+v", got)
	}
	s := r.await(t, "the worker is replaced", func(s status) bool { return s.Workers.Restarts == 1 && s.State == "ready" })
	if want := "more than the 200 MB that a worker may use"; !strings.Contains(s.Workers.LastError, want) {
		t.Errorf("last error %q, want %q", s.Workers.LastError, want)
	}
	if got := r.score(t.Context(), "1"); got.body != "1" {
		t.Errorf("the next request got %+v", got)
	}
}

// TestLargeBodies: what goes through memory arrives as what goes through the socket.
func TestLargeBodies(t *testing.T) {
	cfg := scorer.DefaultConfig()
	cfg.EntryScript = pythontest.Script(t, "def init(): pass\ndef run(data): return data\n")
	r := startReady(t, cfg)
	for _, size := range []int{100, 1<<20 - 3, 1<<20 - 2, 1 << 20, 1<<20 + 1, 20 << 20} {
		body := strings.Repeat("0123456789abcdefghi\n", size/20+1)[:size]
		got := r.score(t.Context(), body)
		want := `"` + strings.ReplaceAll(body, "\n", `\n`) + `"`
		if got.status != 200 || got.body != want {
			t.Errorf("of %d bytes came status %d with %d bytes, want %d", size, got.status, len(got.body), len(want))
		}
	}
}

// TestElsewhere: a router's request does not wait for a worker whose caller left and that may have to be replaced; others do.
func TestElsewhere(t *testing.T) {
	cfg := obedientConfig(t)
	cfg.Limits.CancelGrace = 5 * time.Second
	r := startReady(t, cfg)
	mark := filepath.Join(t.TempDir(), "begun")
	ctx, leave := context.WithCancel(t.Context())
	go r.score(ctx, fmt.Sprintf(`{"touch": %q, "sleep": 2}`, mark))
	awaitFile(t, mark)
	leave()

	routed := func() *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/score", strings.NewReader(`{"echo": 1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Fairlead-Elsewhere", "1")
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		drain(res)
		return res
	}
	res := eventually(t, "the scorer notices that the caller left", func() (bool, *http.Response) {
		res := routed()
		return res.StatusCode == http.StatusServiceUnavailable, res
	})
	if got := res.Header.Get("X-Fairlead-Not-Run"); got != "NoWorker" {
		t.Errorf("not run because of %q", got)
	}
	if got := r.score(t.Context(), `{"echo": 2}`); got.status != http.StatusOK {
		t.Errorf("who waits got %+v", got)
	}
	if res := routed(); res.StatusCode != http.StatusOK {
		t.Errorf("afterwards a router's request got %d", res.StatusCode)
	}
}
