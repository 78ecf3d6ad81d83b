package scorer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

// ownServer is a server as users bring them. What it does is asked of it by path.
const ownServer = `
import http.server, os, signal, sys, threading, time
print("serving on", sys.argv[1], os.environ["PORT"], os.getcwd(), os.environ.get("AZUREML_MODEL_DIR"))
ready = not os.path.exists("not-ready")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def send(self, text, status=200):
        body = text.encode()
        self.send_response(status)
        self.send_header("X-Request-Id", "its own")
        self.send_header("X-Own", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/ready":
            self.send("", 200 if not os.path.exists("not-ready") else 503)
        elif self.path == "/health":
            self.send("", 500 if os.path.exists("sick") else 200)
        elif self.path == "/die":
            os._exit(7)
        elif self.path == "/wait":
            open("waits", "w").close()
            while not os.path.exists("go-on"): time.sleep(0.01)
            self.send("waited")
        elif self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for i in range(3):
                self.wfile.write(b"data: %d\n\n" % i)
                self.wfile.flush()
                while not os.path.exists("seen-%d" % i): time.sleep(0.01)
        elif self.path == "/ws":
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
            self.end_headers()
            self.wfile.flush()
            for line in self.rfile:
                self.wfile.write(line.upper())
                self.wfile.flush()
            self.close_connection = True
        else:
            self.send("%s %s %s id=%s" % (self.command, self.path, body, self.headers.get("X-Request-Id")))
    do_POST = do_PUT = do_GET
print("a line"); sys.stdout.write("half a "); sys.stdout.flush(); time.sleep(0.05); print("line")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
`

// customConfig gives the configuration of a scorer for a server in Python, in a folder of its own.
func customConfig(tb testing.TB, program string) scorer.Config {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "server.py"), []byte(program), 0o600); err != nil {
		tb.Fatal(err)
	}
	cfg := scorer.DefaultConfig()
	cfg.Runtime, cfg.SourceDir = "custom", dir
	cfg.Custom.Command = []string{pythontest.Interpreter(tb), "server.py", "{port}"}
	return cfg
}

func touch(tb testing.TB, dir, name string) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// ask sends a request and gives the answer with its body.
func (r *running) ask(tb testing.TB, method, path, body string) (*http.Response, string) {
	tb.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	request.Header.Set("X-Request-Id", "A")
	response, err := r.client.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	return response, drain(response)
}

func TestCustomServer(t *testing.T) {
	cfg := customConfig(t, ownServer)
	cfg.ModelDir = t.TempDir()
	cfg.Custom.HealthRoute, cfg.Custom.ReadyRoute, cfg.Custom.ScoringRoute = "/health", "/ready", "/predict"
	touch(t, cfg.SourceDir, "not-ready")
	r := start(t, cfg)
	eventually(t, "the server has started", func() (bool, bool) { return strings.Contains(r.log(t), "serving on"), true })
	if response, body := r.ask(t, "POST", "/score", "1"); response.StatusCode != 503 || !strings.Contains(body, "/ready") {
		t.Errorf("before it is ready: %d %s", response.StatusCode, body)
	}
	if err := os.Remove(filepath.Join(cfg.SourceDir, "not-ready")); err != nil {
		t.Fatal(err)
	}
	if !r.becomesHealthy(t) {
		t.Fatalf("%v\n%s", r.err, r.log(t))
	}
	for path, want := range map[string]string{
		"/score": "POST /predict {} id=A", "/v1/chat?a=%20b": "POST /v1/chat?a=%20b {} id=A", "/v2/models/e/infer": "POST /v2/models/e/infer {} id=A",
		"/a%2Fb": "POST /a%2Fb {} id=A", "/swagger.json": "POST /swagger.json {} id=A",
	} {
		response, body := r.ask(t, "POST", path, "{}")
		if response.StatusCode != 200 || body != want {
			t.Errorf("%s: %d %q, want %q", path, response.StatusCode, body, want)
		}
		if ids := response.Header["X-Request-Id"]; len(ids) != 1 || ids[0] != "A" || response.Header.Get("X-Own") != "1" || response.Header.Get("X-Ms-Request-Id") != "A" {
			t.Errorf("%s: headers %v", path, response.Header)
		}
	}
	if response, _ := r.ask(t, "GET", "/-/other", ""); response.StatusCode != 404 {
		t.Errorf("/-/other: %d", response.StatusCode)
	}
	log := r.log(t)
	if !strings.Contains(log, "a line\nhalf a line\n") || !strings.Contains(log, cfg.SourceDir+" "+cfg.ModelDir) {
		t.Errorf("the log:\n%s", log)
	}
}

func TestCustomServerStreams(t *testing.T) {
	cfg := customConfig(t, ownServer)
	r := startReady(t, cfg)
	response, err := r.client.Get(r.url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
			t.Fatalf("event %d is %q, %v", i, lines.Text(), lines.Err())
		}
		touch(t, cfg.SourceDir, fmt.Sprintf("seen-%d", i))
	}
}

func TestCustomServerWebSocket(t *testing.T) {
	r := startReady(t, customConfig(t, ownServer))
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	from := bufio.NewReader(conn)
	response, err := http.ReadResponse(from, nil)
	if err != nil || response.StatusCode != 101 || response.Header.Get("X-Request-Id") == "" {
		t.Fatalf("%+v, %v", response, err)
	}
	for range 2 {
		fmt.Fprintf(conn, "hello\n")
		if line, err := from.ReadString('\n'); err != nil || line != "HELLO\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	_, s := r.get(t, "/-/status")
	if s.Workers.Busy != 1 {
		t.Errorf("busy with %d requests, want 1", s.Workers.Busy)
	}
}

// TestCustomServerDies: the request that it dies of gets a clear answer, the next one an answer of the new process.
func TestCustomServerDies(t *testing.T) {
	r := startReady(t, customConfig(t, ownServer))
	response, body := r.ask(t, "POST", "/die", "")
	if response.StatusCode != 502 || !strings.Contains(body, "The server ended while it ran this request: exit code 7.") || response.Header.Get("X-Request-Id") != "A" {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	if response, body := r.ask(t, "POST", "/score", "x"); response.StatusCode != 200 || body != "POST /score x id=A" {
		t.Errorf("afterwards: %d %s", response.StatusCode, body)
	}
	if _, s := r.get(t, "/-/status"); s.Workers.Restarts != 1 || s.Workers.Ready != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestCustomServerLimits(t *testing.T) {
	cfg := customConfig(t, ownServer)
	cfg.Custom.Concurrency, cfg.Limits.MaxQueue, cfg.Limits.MaxBody = 1, 0, 10
	r := startReady(t, cfg)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if response, body := r.ask(t, "GET", "/wait", ""); response.StatusCode != 200 || body != "waited" {
			t.Errorf("%d %s", response.StatusCode, body)
		}
	})
	awaitFile(t, filepath.Join(cfg.SourceDir, "waits"))
	if response, body := r.ask(t, "GET", "/x", ""); response.StatusCode != 503 || !strings.Contains(body, "Too many requests") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	touch(t, cfg.SourceDir, "go-on")
	waiting.Wait()
	if response, body := r.ask(t, "POST", "/x", "01234567890"); response.StatusCode != 413 || !strings.Contains(body, "10 bytes") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

func TestCustomServerTimeout(t *testing.T) {
	cfg := customConfig(t, ownServer)
	cfg.Limits.ScoringTimeout = 300 * time.Millisecond
	r := startReady(t, cfg)
	if response, body := r.ask(t, "GET", "/wait", ""); response.StatusCode != 504 || !strings.Contains(body, "Scoring timeout after 300 ms") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

// TestCustomServerDrains: what runs is finished, then the server is told to end.
func TestCustomServerDrains(t *testing.T) {
	cfg := customConfig(t, "import signal\nsignal.signal(signal.SIGTERM, lambda *_: (print('told to end'), os._exit(0)))\n"+ownServer)
	r := startReady(t, cfg)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if response, body := r.ask(t, "GET", "/wait", ""); response.StatusCode != 200 || body != "waited" {
			t.Errorf("%d %s", response.StatusCode, body)
		}
	})
	awaitFile(t, filepath.Join(cfg.SourceDir, "waits"))
	r.stop()
	eventually(t, "it drains", func() (bool, bool) { return strings.Contains(r.log(t), "drains"), true })
	touch(t, cfg.SourceDir, "go-on")
	waiting.Wait()
	<-r.ended
	if r.err != nil || !strings.Contains(r.log(t), "told to end") {
		t.Errorf("ended with %v\n%s", r.err, r.log(t))
	}
}

// TestSickCustomServerIsReplaced: one that does not answer its health route any more is started again.
func TestSickCustomServerIsReplaced(t *testing.T) {
	cfg := customConfig(t, "import os\nif os.path.exists('sick'): os.remove('sick')\n"+ownServer)
	cfg.Custom.HealthRoute = "/health"
	r := startReady(t, cfg)
	touch(t, cfg.SourceDir, "sick")
	eventually(t, "it is replaced", func() (bool, bool) {
		_, s := r.get(t, "/-/status")
		return s.Workers.Restarts == 1 && s.Workers.Ready == 1, true
	})
}

func TestCustomServerThatCannotStart(t *testing.T) {
	for name, test := range map[string]struct {
		change       func(*scorer.Config)
		reason, text string
	}{
		"no program": {func(c *scorer.Config) { c.Custom.Command = []string{"no-such-program"} }, "ServerMissing", "no-such-program, which is no program"},
		"ends":       {func(c *scorer.Config) { c.Custom.Command[1] = "other.py" }, "ServerFailed", "the server ended before it was ready: exit code 2"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := customConfig(t, ownServer)
			cfg.FailureFile = filepath.Join(t.TempDir(), "failure.json")
			test.change(&cfg)
			r := start(t, cfg)
			<-r.ended
			problem, ok := errors.AsType[*scorer.StartError](r.err)
			if !ok || problem.Reason != test.reason || !strings.Contains(problem.Cause, test.text) || scorer.ExitCode(r.err) != 3 {
				t.Errorf("ended with %v, want %s %q", r.err, test.reason, test.text)
			}
			if kept, err := os.ReadFile(cfg.FailureFile); err != nil || !strings.Contains(string(kept), test.reason) {
				t.Errorf("kept %s, %v", kept, err)
			}
		})
	}
}

func TestCustomServerThatKeepsDyingIsGivenUp(t *testing.T) {
	r := start(t, customConfig(t, "import threading, os\nthreading.Timer(0.3, os._exit, [3]).start()\n"+ownServer))
	<-r.ended
	if loop, ok := errors.AsType[*scorer.CrashLoopError](r.err); !ok || !strings.HasPrefix(loop.Cause, "the server died 5 times within ") || !strings.HasSuffix(loop.Cause, "the last time: exit code 3") {
		t.Errorf("ended with %v", r.err)
	}
}

// TestCustomServerDiesWithTheScorer: however that ends.
func TestCustomServerDiesWithTheScorer(t *testing.T) {
	cfg := customConfig(t, "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"+ownServer)
	p := execute(t, build(t), "--runtime", "custom", "--source-dir", cfg.SourceDir,
		"--custom-command", fmt.Sprintf("[%q, \"server.py\", \"{port}\"]", cfg.Custom.Command[0]))
	_, s := p.get(t, "/-/status")
	if len(s.Workers.Processes) != 1 {
		t.Fatalf("status %+v", s)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	pid := s.Workers.Processes[0].PID
	eventually(t, "the server is gone", func() (bool, bool) { return !alive(pid), true })
	if err := syscall.Kill(pid, 0); err == nil && alive(pid) {
		t.Errorf("%d lives", pid)
	}
}

func TestCustomFlags(t *testing.T) {
	dir := t.TempDir()
	_, err := scorer.ParseFlags([]string{
		"--runtime", "custom", "--source-dir", dir, "--custom-port", "70000", "--custom-protocol", "ftp", "--custom-health-route", "health", "--custom-concurrency", "-1",
	}, func(string) string { return "" }, io.Discard)
	for _, want := range []string{"custom-command is missing", "custom-port is 70000", `custom-protocol is "ftp"`, `custom-health-route is "health"`, "custom-concurrency is -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
	cfg, err := scorer.ParseFlags([]string{"--runtime", "custom", "--source-dir", dir, "--custom-command", `["a", "b {port}"]`}, func(string) string { return "" }, io.Discard)
	if err != nil || len(cfg.Custom.Command) != 2 || cfg.Custom.Protocol != "http" {
		t.Errorf("%+v, %v", cfg.Custom, err)
	}
}
