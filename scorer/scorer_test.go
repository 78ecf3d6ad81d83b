package scorer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

// obedient does what the request says.
const obedient = `
import json, os, signal, subprocess, time

def init():
    pass

def run(data):
    order = json.loads(data or "{}")
    if order.get("print"): print(order["print"])
    if order.get("touch"): open(order["touch"], "w").close()
    if order.get("child"):
        child = subprocess.Popen(["sleep", "600"])
        with open(order["child"] + ".tmp", "w") as f: f.write(str(child.pid))
        os.rename(order["child"] + ".tmp", order["child"])
    if order.get("sleep"): time.sleep(order["sleep"])
    if order.get("die"): os.kill(os.getpid(), signal.SIGSEGV)
    if order.get("leave"): os._exit(5)
    if order.get("big"): return "x" * order["big"]
    return {"pid": os.getpid(), "echo": order.get("echo")}
`

func obedientConfig(tb testing.TB) scorer.Config {
	tb.Helper()
	cfg := scorer.DefaultConfig()
	cfg.EntryScript = pythontest.Script(tb, obedient)
	return cfg
}

type answer struct {
	status int
	failed string
	body   string
	err    error
}

func (r *running) score(ctx context.Context, order string) answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/score", strings.NewReader(order))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	return answer{status: res.StatusCode, failed: res.Header.Get("x-ms-run-function-failed"), body: drain(res)}
}

type status struct {
	State   string
	Reason  string
	Workers struct {
		Ready, Busy, Queued, Restarts int
		LastError                     string `json:"last_error"`
		Processes                     []struct{ PID int }
	}
}

func (r *running) get(tb testing.TB, path string) (int, status) {
	tb.Helper()
	res, err := r.client.Get(r.url + path)
	if err != nil {
		tb.Fatal(err)
	}
	var s status
	if err := json.Unmarshal([]byte(drain(res)), &s); err != nil {
		tb.Fatal(err)
	}
	return res.StatusCode, s
}

// await waits for a status.
func (r *running) await(tb testing.TB, what string, ok func(status) bool) status {
	tb.Helper()
	return eventually(tb, what, func() (bool, status) {
		_, s := r.get(tb, "/-/status")
		return ok(s), s
	})
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func awaitFile(tb testing.TB, path string) string {
	tb.Helper()
	return eventually(tb, path+" exists", func() (bool, string) {
		b, err := os.ReadFile(path)
		return err == nil, string(b)
	})
}

func TestWorkerThatEndsFailsOnlyItsRequest(t *testing.T) {
	tests := map[string]struct{ order, wants string }{
		"killed by a signal": {`{"die": true}`, "killed by signal 11"},
		"leaves":             {`{"leave": true}`, "exit code 5"},
	}
	r := startReady(t, obedientConfig(t))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := r.score(t.Context(), test.order)
			if got.status != 500 || got.failed != "True" || !strings.Contains(got.body, test.wants) {
				t.Errorf("got %+v, want 500, True and %q", got, test.wants)
			}
			if got := r.score(t.Context(), `{}`); got.status != 200 {
				t.Errorf("the next request got %+v", got)
			}
		})
	}
	s := r.await(t, "both were replaced", func(s status) bool { return s.Workers.Restarts == 2 && s.State == "ready" })
	if s.Workers.LastError == "" {
		t.Error("the status has no last error")
	}
}

func TestTimeoutReplacesTheWorker(t *testing.T) {
	cfg := obedientConfig(t)
	cfg.Limits.ScoringTimeout = 200 * time.Millisecond
	r := startReady(t, cfg)
	_, before := r.get(t, "/-/status")
	got := r.score(t.Context(), `{"sleep": 600}`)
	if got.status != 500 || got.failed != "True" || !strings.Contains(got.body, "Scoring timeout after 200 ms") {
		t.Errorf("got %+v", got)
	}
	after := r.await(t, "a new worker is up", func(s status) bool { return s.State == "ready" && s.Workers.Restarts == 1 })
	if before.Workers.Processes[0].PID == after.Workers.Processes[0].PID {
		t.Error("the worker that hung is still there")
	}
	if want := "a worker ended: ended by the scorer: run() did not end within 200ms"; after.Workers.LastError != want {
		t.Errorf("last error %q, want %q", after.Workers.LastError, want)
	}
}

func TestCallerGone(t *testing.T) {
	for name, test := range map[string]struct {
		grace    time.Duration
		sleep    string
		restarts int
	}{
		"ends within the grace":  {30 * time.Second, "0.3", 0},
		"hangs beyond the grace": {50 * time.Millisecond, "600", 1},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := obedientConfig(t)
			cfg.Limits.CancelGrace = test.grace
			r := startReady(t, cfg)
			mark := filepath.Join(t.TempDir(), "begun")
			ctx, leave := context.WithCancel(t.Context())
			gone := make(chan answer, 1)
			go func() { gone <- r.score(ctx, fmt.Sprintf(`{"touch": %q, "sleep": %s}`, mark, test.sleep)) }()
			awaitFile(t, mark)
			leave()
			if a := <-gone; a.err == nil {
				t.Fatalf("the caller did not leave: %+v", a)
			}
			if got := r.score(t.Context(), `{}`); got.status != 200 {
				t.Errorf("the next request got %+v", got)
			}
			if _, s := r.get(t, "/-/status"); s.Workers.Restarts != test.restarts {
				t.Errorf("%d restarts, want %d", s.Workers.Restarts, test.restarts)
			}
		})
	}
}

// TestCallerGoneWithUnreadBody: run() gets no body of a GET request, but its caller can leave all the same.
func TestCallerGoneWithUnreadBody(t *testing.T) {
	cfg := obedientConfig(t)
	cfg.Limits.CancelGrace = 10 * time.Millisecond
	r := startReady(t, cfg)
	mark := filepath.Join(t.TempDir(), "begun")
	ctx, leave := context.WithCancel(t.Context())
	query := url.Values{"touch": {mark}, "sleep": {"600"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/score?"+query, strings.NewReader("not for run()"))
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		if res, err := r.client.Do(req); err == nil {
			drain(res)
		}
	}()
	awaitFile(t, mark)
	leave()
	<-left
	r.await(t, "the worker is replaced", func(s status) bool { return s.Workers.Restarts == 1 && s.Workers.Ready == 1 })
}

// TestRequestThatWorkersCannotReceive: it must not go from worker to worker and end them all.
func TestRequestThatWorkersCannotReceive(t *testing.T) {
	cfg := scorer.DefaultConfig()
	cfg.Workers = 2
	cfg.EntryScript = pythontest.Script(t, `
import resource

def init():
    with open("/proc/self/statm") as f: size = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (32 << 20),) * 2)

def run(data):
    return len(data)
`)
	r := startReady(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	a := r.score(ctx, strings.Repeat("x", 80<<20))
	if a.status != http.StatusInternalServerError || a.failed != "True" || !strings.Contains(a.body, "The worker ended while it ran this request: exit code 1") {
		t.Errorf("got %d %s %.300s %v", a.status, a.failed, a.body, a.err)
	}
	s := r.await(t, "both workers are up", func(s status) bool { return s.Workers.Ready == 2 })
	if s.Workers.Restarts != 1 {
		t.Errorf("%d workers ended, want 1", s.Workers.Restarts)
	}
}

func TestQueueIsBounded(t *testing.T) {
	cfg := obedientConfig(t)
	cfg.Limits.MaxQueue = 1
	r := startReady(t, cfg)
	mark := filepath.Join(t.TempDir(), "begun")
	var wg sync.WaitGroup
	defer wg.Wait()
	first, second := make(chan answer, 1), make(chan answer, 1)
	wg.Go(func() { first <- r.score(t.Context(), fmt.Sprintf(`{"touch": %q, "sleep": 1}`, mark)) })
	awaitFile(t, mark)
	wg.Go(func() { second <- r.score(t.Context(), `{"echo": 2}`) })
	r.await(t, "one waits", func(s status) bool { return s.Workers.Queued == 1 && s.Workers.Busy == 1 })
	if got := r.score(t.Context(), `{}`); got.status != 503 {
		t.Errorf("a request beyond the queue got %+v, want 503", got)
	}
	for _, a := range []answer{<-first, <-second} {
		if a.status != 200 {
			t.Errorf("got %+v, want 200", a)
		}
	}
}

// TestKilledWorkers kills workers all the time: a request fails only when the worker that ran it was killed.
func TestDrain(t *testing.T) {
	for name, tell := range map[string]func(r *running){
		"context ends": func(r *running) { r.stop() },
		"over HTTP": func(r *running) {
			if res, err := r.client.Post(r.url+"/-/drain", "", nil); err == nil {
				drain(res)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := startReady(t, obedientConfig(t))
			_, s := r.get(t, "/-/status")
			mark := filepath.Join(t.TempDir(), "begun")
			last := make(chan answer, 1)
			go func() { last <- r.score(context.Background(), fmt.Sprintf(`{"touch": %q, "sleep": 1}`, mark)) }()
			awaitFile(t, mark)
			tell(r)
			refused := eventually(t, "new requests are refused", func() (bool, answer) {
				a := r.score(t.Context(), `{}`)
				return a.status != 200, a
			})
			if refused.status != 503 {
				t.Errorf("a request while draining got %+v, want 503", refused)
			}
			if code, s := r.get(t, "/-/ready"); code != 503 || s.State != "draining" || s.Reason == "" {
				t.Errorf("readiness while draining is %d %+v", code, s)
			}
			if got := <-last; got.status != 200 {
				t.Errorf("the request that ran got %+v, want 200", got)
			}
			<-r.ended
			if r.err != nil {
				t.Errorf("the scorer ended with %v", r.err)
			}
			if pid := s.Workers.Processes[0].PID; alive(pid) {
				t.Errorf("worker %d is still alive", pid)
			}
		})
	}
}

func TestDrainTimeout(t *testing.T) {
	cfg := obedientConfig(t)
	cfg.Limits.DrainTimeout = 100 * time.Millisecond
	r := startReady(t, cfg)
	dir := t.TempDir()
	ended := make(chan answer, 1)
	go func() {
		ended <- r.score(context.Background(), fmt.Sprintf(`{"child": %q, "sleep": 600}`, dir+"/child"))
	}()
	child, err := strconv.Atoi(awaitFile(t, dir+"/child"))
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	<-r.ended
	if r.err != nil {
		t.Errorf("the scorer ended with %v", r.err)
	}
	if got := <-ended; got.status != 503 {
		t.Errorf("the request that was cut off got %+v, want 503", got)
	}
	eventually(t, "the script's own child is gone", func() (bool, bool) { return !alive(child), true })
}

func TestReadinessFollowsInit(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "open")
	cfg := scorer.DefaultConfig()
	cfg.EntryScript = pythontest.Script(t, fmt.Sprintf(`
import os, time
def init():
    while not os.path.exists(%q): time.sleep(0.01)
def run(data): return 1
`, gate))
	r := start(t, cfg)
	if code, s := r.get(t, "/-/ready"); code != 503 || s.State != "starting" || s.Reason == "" {
		t.Errorf("before init() has ended: %d %+v", code, s)
	}
	if got := r.score(t.Context(), `{}`); got.status != 503 {
		t.Errorf("a request before init() has ended got %+v, want 503", got)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is ready", func() (bool, int) {
		code, _ := r.get(t, "/-/ready")
		return code == 200, code
	})
}

func TestStartErrors(t *testing.T) {
	tests := map[string]struct{ script, cause, detail, reason string }{
		"init raises":           {"def init(): raise ValueError('no file')\ndef run(d): pass", "init() raised ValueError: no file (score.py, line 1)", "in init", "ScriptError"},
		"package missing":       {"import no_such_zz.sub", "the script needs a package that is not installed: no_such_zz (score.py, line 1); add no_such_zz to the environment", "line 1", "MissingPackage"},
		"missing in init":       {"def init():\n  import no_such_zz\ndef run(d): pass", "the script needs a package that is not installed: no_such_zz (score.py, line 2); add no_such_zz to the environment", "in init", "MissingPackage"},
		"submodule missing":     {"import json.no_such_zz", "the script needs the module json.no_such_zz, which the installed json does not have (score.py, line 1)", "line 1", "MissingPackage"},
		"syntax error":          {"def init(:", "score.py line 1: SyntaxError: invalid syntax", "def init(:", "ScriptError"},
		"no init":               {"def run(d): pass", "the entry script score.py has no function init(): add it", "", "NoInit"},
		"no run":                {"def init(): pass", "the entry script score.py has no function run(): add it", "", "NoRun"},
		"run takes anything":    {"def init(): pass\ndef run(*a): pass", "run() cannot accept positional-only arguments, *args, or **kwargs.", "", "ScriptError"},
		"run takes keywords":    {"def init(): pass\ndef run(d, **k): pass", "run() cannot accept positional-only arguments, *args, or **kwargs.", "", "ScriptError"},
		"run positional only":   {"def init(): pass\ndef run(d, /): pass", "run() cannot accept positional-only arguments, *args, or **kwargs.", "", "ScriptError"},
		"run takes headers":     {"def init(): pass\ndef run(request_headers): pass", `run() needs to accept an argument other than "request_headers".`, "", "ScriptError"},
		"exits in init":         {"import sys\ndef init(): sys.exit(9)\ndef run(d): pass", "init() called sys.exit(9) (score.py, line 2)", "in init", "ScriptError"},
		"dies in init":          {"import os\ndef init(): os._exit(9)\ndef run(d): pass", "the Python process ended while it loaded the script: exit code 9", "", "ScriptError"},
		"shows what models are": {"def init(): raise ValueError('x')\ndef run(d): pass", "init() raised ValueError: x (score.py, line 1)", "weights.bin", "ScriptError"},
	}
	models := filepath.Join(t.TempDir(), "azureml-models", "m", "1")
	if err := os.MkdirAll(models, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(models, "weights.bin"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := scorer.DefaultConfig()
			cfg.EntryScript, cfg.ModelDir, cfg.Workers = pythontest.Script(t, test.script), models, 2
			cfg.FailureFile = filepath.Join(t.TempDir(), "failure.json")
			r := start(t, cfg)
			<-r.ended
			var kept struct{ Reason, Message string }
			if text, err := os.ReadFile(cfg.FailureFile); err != nil || json.Unmarshal(text, &kept) != nil || kept.Reason != test.reason || kept.Message != test.cause {
				t.Errorf("the failure file says %+v (%v), want %s: %s", kept, err, test.reason, test.cause)
			}
			if r.err == nil || r.err.Error() != test.cause || scorer.ExitCode(r.err) != 3 {
				t.Errorf("ended with %v (code %d), want %q (3)", r.err, scorer.ExitCode(r.err), test.cause)
			}
			if log := r.log(t); !strings.Contains(log, test.detail) || strings.Contains(log, "fairlead_worker") {
				t.Errorf("the output must have %q and not our own frames:\n%s", test.detail, log)
			}
		})
	}
}

func TestReplacementThatCannotLoad(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken")
	cfg := scorer.DefaultConfig()
	cfg.EntryScript = pythontest.Script(t, fmt.Sprintf(`
import os
def init():
    if os.path.exists(%[1]q): raise ValueError("broken now")
def run(data):
    open(%[1]q, "w").close()
    os._exit(1)
`, broken))
	r := startReady(t, cfg)
	if got := r.score(t.Context(), `{}`); got.status != 500 {
		t.Errorf("got %+v, want 500", got)
	}
	s := r.await(t, "the reason is told", func(s status) bool { return strings.Contains(s.Reason, "broken now") })
	if s.State != "unavailable" {
		t.Errorf("state %q, want unavailable", s.State)
	}
	eventually(t, "it is not healthy any more", func() (bool, bool) {
		res, err := r.client.Get(r.url + "/")
		if err != nil {
			return false, false
		}
		drain(res)
		return res.StatusCode == http.StatusServiceUnavailable, true
	})
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	r.await(t, "it comes back", func(s status) bool { return s.State == "ready" })
}

func TestOutputNamesTheRequest(t *testing.T) {
	r := startReady(t, obedientConfig(t))
	req, err := http.NewRequest(http.MethodPost, r.url+"/score", strings.NewReader(`{"print": "first\nsecond"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-request-id", "req-1")
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	drain(res)
	if log := r.log(t); !strings.Contains(log, "[req-1] first\n[req-1] second\n") {
		t.Errorf("output:\n%s", log)
	}
}

func TestBodies(t *testing.T) {
	cfg := obedientConfig(t)
	cfg.Limits.MaxBody = 3 << 20
	r := startReady(t, cfg)
	if got := r.score(t.Context(), fmt.Sprintf(`{"big": %d}`, 5<<20)); got.status != 200 || len(got.body) != 5<<20+2 {
		t.Errorf("a response of 5 MiB came as %d with %d bytes", got.status, len(got.body))
	}
	long := fmt.Sprintf(`{"echo": %q}`, strings.Repeat("y", 2<<20))
	if got := r.score(t.Context(), long); got.status != 200 || len(got.body) < 2<<20 {
		t.Errorf("a request of 2 MiB was answered %d with %d bytes", got.status, len(got.body))
	}
	if got := r.score(t.Context(), strings.Repeat(" ", 3<<20+1)); got.status != 413 {
		t.Errorf("a request beyond the limit got %d, want 413", got.status)
	}
	res, err := r.client.Post(r.url+"/score", "application/json", io.MultiReader(strings.NewReader(strings.Repeat(" ", 3<<20+1))))
	if err != nil {
		t.Fatal(err)
	}
	if drain(res); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a request of unknown length beyond the limit got %d, want 413", res.StatusCode)
	}
}

func TestOwnResponses(t *testing.T) {
	cfg := scorer.DefaultConfig()
	cfg.EntryScript = pythontest.Script(t, `
import json
from azureml.contrib.services.aml_response import AMLResponse

def init(): pass

def pieces(fail=False):
    yield "a"
    yield b"b"
    if fail: raise ValueError("broken off")

def run(data):
    return {
        "generator": lambda: AMLResponse(pieces(), 200),
        "broken": lambda: AMLResponse(pieces(True), 200),
        "list": lambda: AMLResponse(["a", b"b"], 200, {"content-type": "text/plain"}),
        "none": lambda: AMLResponse(None, 202),
        "number": lambda: AMLResponse(5, 200),
        "odd status": lambda: AMLResponse("x", 99),
        "marked": lambda: AMLResponse("x", 200, run_function_failed=True),
        "no content": lambda: AMLResponse("", 204),
        "own length": lambda: AMLResponse("abc", 200, {"Content-Length": "1", "X-Request-Id": "mine"}),
    }[data]()
`)
	r := startReady(t, cfg)
	html, plain := "text/html; charset=utf-8", "text/plain"
	internal := `{"message": "An unexpected internal error occurred. Check the logs for more info."}`
	raised := `{"message": "An unexpected error occurred in scoring script. Check the logs for more info."}`
	type seen struct {
		Status             int
		Type, Failed, Body string
		Length             int64
	}
	tests := map[string]seen{
		"generator":  {200, html, "False", "ab", -1},
		"list":       {200, plain, "False", "ab", 2},
		"none":       {202, "application/json", "False", "{}", 2},
		"number":     {500, "application/json", "True", raised, int64(len(raised))},
		"odd status": {500, "application/json", "False", internal, int64(len(internal))},
		"marked":     {200, html, "True", "x", 1},
		"no content": {204, html, "False", "", 0},
		"own length": {200, html, "False", "abc", 3},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			res, err := r.client.Post(r.url+"/score", "text/plain", strings.NewReader(name))
			if err != nil {
				t.Fatal(err)
			}
			length := res.ContentLength
			got := seen{res.StatusCode, res.Header.Get("Content-Type"), res.Header.Get("x-ms-run-function-failed"), drain(res), length}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if id := res.Header.Values("X-Request-Id"); len(id) != 1 || id[0] == "mine" {
				t.Errorf("request ids %q", id)
			}
		})
	}
	t.Run("broken", func(t *testing.T) {
		res, err := r.client.Post(r.url+"/score", "text/plain", strings.NewReader("broken"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("a body that breaks off was read as whole: %q", b)
		}
		if got := r.score(t.Context(), "list"); got.status != 200 {
			t.Errorf("the next request got %+v", got)
		}
	})
}
