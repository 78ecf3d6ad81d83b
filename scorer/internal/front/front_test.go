package front

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// asServer makes the test program be a server that speaks gRPC.
const asServer = "FAIRLEAD_FRONT_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		serveGRPC()
		return
	}
	goleak.VerifyTestMain(m)
}

// message frames a message of gRPC.
func message(text string) []byte {
	return append([]byte{0, 0, 0, 0, byte(len(text))}, text...)
}

// serveGRPC answers gRPC's health service, and sends back what comes to any other method.
func serveGRPC() {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Protocols: &protocols, ReadHeaderTimeout: time.Minute}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", typeGRPC)
		status := "0"
		switch r.URL.Path {
		case healthService + "Check":
			_, _ = w.Write(message(servingStatus))
		case "/own.Echo/Die":
			os.Exit(9)
		case "/own.Echo/Fail":
			w.Header().Set(headerGRPCStatus, "3")
			return
		default:
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			if _, err := io.Copy(flushing{w}, r.Body); err != nil {
				status = "13"
			}
		}
		w.Header().Set(http.TrailerPrefix+headerGRPCStatus, status)
	})
	fmt.Fprintln(os.Stderr, s.ListenAndServe())
	os.Exit(1)
}

type flushing struct{ http.ResponseWriter }

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	return n, errors.Join(err, http.NewResponseController(f.ResponseWriter).Flush())
}

// run runs a front until the test ends, and waits until its server is ready.
func run(t *testing.T, cfg Config) *Server {
	t.Helper()
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	s := New(cfg, Deps{Log: slog.New(slog.NewTextHandler(output, nil)), Stdout: output, Stderr: output})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
		output.Close()
	})
	patience, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := s.await(patience); err != nil {
		text, _ := os.ReadFile(output.Name())
		t.Fatalf("not ready: %v\n%s", err, text)
	}
	return s
}

func h2c() *http.Transport {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: &protocols}
}

// behind serves the front over HTTP/1.1 and HTTP/2.
func behind(t *testing.T, s *Server) string {
	t.Helper()
	ts := httptest.NewUnstartedServer(s)
	ts.Config.Protocols = new(http.Protocols)
	ts.Config.Protocols.SetHTTP1(true)
	ts.Config.Protocols.SetUnencryptedHTTP2(true)
	ts.Start()
	t.Cleanup(ts.Close)
	return ts.URL
}

func grpcConfig(route string) Config {
	return Config{
		Command: []string{os.Args[0]}, Dir: ".", Env: append(os.Environ(), asServer+"=1"), GRPC: true, HealthRoute: route,
		Timeout: 20 * time.Second, MaxBody: 1 << 20,
	}
}

func TestGRPCServer(t *testing.T) {
	s := run(t, grpcConfig(healthService+"Check"))
	url, transport := behind(t, s), h2c()
	defer transport.CloseIdleConnections()
	call := func(method string, body io.Reader) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+method, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", typeGRPC)
		r.Header.Set("Te", "trailers")
		return transport.RoundTrip(r)
	}
	t.Run("both directions at once", func(t *testing.T) {
		from, to := io.Pipe()
		response, err := call("/own.Echo/Talk", from)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		for _, text := range []string{"one", "two"} {
			if _, err := to.Write(message(text)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(message(text)))
			if _, err := io.ReadFull(response.Body, got); err != nil || !bytes.Equal(got, message(text)) {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		to.Close()
		if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 || response.Trailer.Get(headerGRPCStatus) != "0" {
			t.Errorf("at the end %q, %v, %v", rest, err, response.Trailer)
		}
	})
	for method, want := range map[string]struct{ status, text string }{
		"/own.Echo/Fail": {"3", ""},
		"/own.Echo/Die":  {"14", "The server ended while it ran this request: exit code 9."},
	} {
		response, err := call(method, bytes.NewReader(message("x")))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 200 || response.Header.Get(headerGRPCStatus) != want.status || !strings.HasPrefix(response.Header.Get("Grpc-Message"), want.text) {
			t.Errorf("%s: %d %v", method, response.StatusCode, response.Header)
		}
	}
	w := httptest.NewRecorder()
	s.Score(w, httptest.NewRequest(http.MethodPost, "/score", nil), "")
	if w.Code != 404 || !strings.Contains(w.Body.String(), "speaks gRPC") {
		t.Errorf("/score: %d %s", w.Code, w.Body)
	}
}

func TestHTTPServerGetsNoGRPC(t *testing.T) {
	s := New(Config{Timeout: time.Second}, Deps{Log: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest(http.MethodPost, "/a/B", nil)
	r.ProtoMajor = 2
	r.Header.Set("Content-Type", "application/grpc+proto")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 200 || w.Header().Get(headerGRPCStatus) != "12" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestPlaces(t *testing.T) {
	p := newPlaces(1, 1)
	if err := p.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- p.take(ctx) }()
	for _, waiting := p.counts(); waiting == 0; _, waiting = p.counts() {
		time.Sleep(time.Millisecond)
	}
	if err := p.take(t.Context()); !errors.Is(err, worker.ErrQueueFull) {
		t.Errorf("a second one that waits: %v", err)
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one: %v", err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		if err := p.take(t.Context()); err != nil {
			t.Error(err)
		}
	})
	p.leave()
	all.Wait()
	if busy, waiting := p.counts(); busy != 1 || waiting != 0 {
		t.Errorf("busy %d, waiting %d", busy, waiting)
	}
}

func TestLines(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l := &lines{to: file}
	seen := func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, step := range []struct{ in, want string }{
		{"one\ntw", "one\n"}, {"o", "one\n"}, {"\n\nthree", "one\ntwo\n\n"},
	} {
		if n, err := l.Write([]byte(step.in)); n != len(step.in) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if diff := cmp.Diff(step.want, seen()); diff != "" {
			t.Error(diff)
		}
	}
	l.flush()
	l.flush()
	if diff := cmp.Diff("one\ntwo\n\nthree\n", seen()); diff != "" {
		t.Error(diff)
	}
	if _, err := l.Write(bytes.Repeat([]byte("x"), maxLine+1)); err != nil || len(l.part) > 0 {
		t.Errorf("%d bytes of a long line are kept, %v", len(l.part), err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"bin/tool": 0o700, "bin/data": 0o600, "serve": 0o700} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=/nowhere", "PATH=/nowhere:" + filepath.Join(dir, "bin")}
	for name, want := range map[string]string{"tool": "bin/tool", "./serve": "serve", "bin/tool": "bin/tool", "data": "", "serve": "", "./data": "", "bin": ""} {
		got, err := find(name, dir, env)
		if want == "" && err == nil || want != "" && got != filepath.Join(dir, want) {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestJudgeCall(t *testing.T) {
	for name, test := range map[string]struct {
		route   string
		header  http.Header
		trailer http.Header
		content []byte
		want    string
	}{
		"serving":      {healthService + "Check", nil, http.Header{headerGRPCStatus: {"0"}}, message(servingStatus), ""},
		"not serving":  {healthService + "Check", nil, http.Header{headerGRPCStatus: {"0"}}, message("\x08\x02"), "does not answer SERVING"},
		"says nothing": {healthService + "Check", nil, http.Header{headerGRPCStatus: {"0"}}, message(""), "does not answer SERVING"},
		"its own":      {"/a/B", nil, http.Header{headerGRPCStatus: {"0"}}, message("x"), ""},
		"fails":        {"/a/B", http.Header{headerGRPCStatus: {"12"}}, nil, nil, "status 12 of gRPC"},
		"no gRPC":      {"/a/B", nil, nil, []byte("hello"), "does not answer in gRPC"},
	} {
		t.Run(name, func(t *testing.T) {
			err := judgeCall(test.route, &http.Response{StatusCode: 200, Header: test.header, Trailer: test.trailer}, test.content)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
