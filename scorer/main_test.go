package scorer_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a scorer inside the test process.
type running struct {
	url    string
	output string // file with all output of the scorer and its script
	stop   context.CancelFunc
	ended  chan struct{}
	err    error // valid after ended
	client *http.Client
}

// start runs a scorer until the test ends.
func start(tb testing.TB, cfg scorer.Config) *running {
	tb.Helper()
	cfg.Listen, cfg.Python = "127.0.0.1:0", pythontest.Interpreter(tb)
	output, err := os.Create(filepath.Join(tb.TempDir(), "output"))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	r := &running{output: output.Name(), stop: stop, ended: make(chan struct{}), client: &http.Client{Transport: transport}}
	listening := make(chan net.Addr, 1)
	go func() {
		defer close(r.ended)
		r.err = scorer.Run(ctx, cfg, scorer.Deps{
			Log: slog.New(slog.NewTextHandler(output, nil)), Version: "test", Environ: os.Environ(),
			Stdout: output, Stderr: output, OnListen: func(a net.Addr) { listening <- a },
		})
	}()
	tb.Cleanup(func() {
		stop()
		<-r.ended
		transport.CloseIdleConnections()
		output.Close()
	})
	select {
	case a := <-listening:
		r.url = "http://" + a.String()
	case <-r.ended:
		select {
		case a := <-listening: // it may have ended since
			r.url = "http://" + a.String()
		default:
			tb.Fatalf("the scorer ended before it listened: %v", r.err)
		}
	}
	return r
}

// startReady runs a scorer and waits until it takes requests.
func startReady(tb testing.TB, cfg scorer.Config) *running {
	tb.Helper()
	r := start(tb, cfg)
	if !r.becomesHealthy(tb) {
		tb.Fatalf("the scorer did not become healthy: %v\n%s", r.err, r.log(tb))
	}
	return r
}

// becomesHealthy reports false when the scorer ends first.
func (r *running) becomesHealthy(tb testing.TB) bool {
	tb.Helper()
	return eventually(tb, "the scorer answers Healthy or ends", func() (bool, bool) {
		select {
		case <-r.ended:
			return true, false
		default:
		}
		res, err := r.client.Get(r.url + "/")
		if err != nil {
			return false, false
		}
		drain(res)
		return res.StatusCode == http.StatusOK, true
	})
}

// eventually asks again until there is an answer, and gives it.
func eventually[T any](tb testing.TB, what string, ask func() (done bool, answer T)) T {
	tb.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, answer := ask(); done {
			return answer
		}
		select {
		case <-deadline:
			tb.Fatalf("never came true: %s", what)
		case <-tick.C:
		}
	}
}

func (r *running) log(tb testing.TB) string {
	tb.Helper()
	b, err := os.ReadFile(r.output)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func drain(res *http.Response) string {
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}
