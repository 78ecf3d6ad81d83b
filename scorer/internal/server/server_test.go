package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer/internal/worker"
)

func TestResolveIDs(t *testing.T) {
	long := strings.Repeat("x", 101)
	tests := map[string]struct {
		request, client, ms string
		want                ids
		wantErr             string
	}{
		"none":                      {"", "", "", ids{request: "u", msRequest: "u"}, ""},
		"request":                   {"A", "", "", ids{request: "A", msRequest: "A"}, ""},
		"client":                    {"", "C", "", ids{request: "u", msRequest: "C", clientRequest: "C"}, ""},
		"ms":                        {"", "", "M", ids{request: "u", msRequest: "M", clientRequest: "M"}, ""},
		"client and ms":             {"", "C", "M", ids{request: "u", msRequest: "M", clientRequest: "C"}, ""},
		"request and ms":            {"A", "", "M", ids{request: "A", msRequest: "M", clientRequest: "M"}, ""},
		"request and client":        {"A", "C", "", ids{request: "A", msRequest: "C", clientRequest: "C"}, ""},
		"all":                       {"A", "C", "M", ids{request: "A", msRequest: "M", clientRequest: "C"}, ""},
		"request as long as may be": {long[:100], "", "", ids{request: long[:100], msRequest: long[:100]}, ""},
		"request too long":          {long, "", "", ids{}, "x-request-id must not exceed 100 characters"},
		"client too long":           {"", long, "", ids{request: "u"}, "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"},
		"ms too long":               {"A", "", long, ids{request: "A"}, "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			set(h, headerRequestID, test.request)
			set(h, headerClientRequestID, test.client)
			set(h, headerMSRequestID, test.ms)
			got, err := resolveIDs(h, func() string { return "u" })
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(ids{})); diff != "" || text != test.wantErr {
				t.Errorf("error %q, want %q; ids -want +got:\n%s", text, test.wantErr, diff)
			}
		})
	}
}

func TestStateOf(t *testing.T) {
	for name, test := range map[string]struct {
		status   worker.Status
		draining bool
		want     State
		goAway   bool
	}{
		"starting":    {worker.Status{Configured: 2, Ready: 1}, false, Starting, true},
		"ready":       {worker.Status{Configured: 2, Ready: 2, Loaded: true}, false, Ready, false},
		"one is gone": {worker.Status{Configured: 2, Ready: 1, Loaded: true}, false, Degraded, false},
		"all are":     {worker.Status{Configured: 2, Loaded: true}, false, Unavailable, true},
		"draining":    {worker.Status{Configured: 2, Ready: 2, Loaded: true}, true, Draining, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason := stateOf(test.status, test.draining)
			if got != test.want || (reason != "") != test.goAway {
				t.Errorf("got %s %q, want %s", got, reason, test.want)
			}
		})
	}
}

// fakePool answers every request the same way.
type fakePool struct {
	status worker.Status
	reply  *worker.Reply
	err    error
}

func (f fakePool) Score(context.Context, worker.Request) (*worker.Reply, error) {
	return f.reply, f.err
}
func (f fakePool) Status() worker.Status { return f.status }
func (f fakePool) Loaded() bool          { return f.status.Loaded }

func newServer(p pool) *Server {
	return New(Config{Product: "fairlead/test", MaxBody: 10}, Deps{Pool: p, Log: slog.New(slog.DiscardHandler)})
}

func TestScoreErrors(t *testing.T) {
	up := worker.Status{Configured: 1, Ready: 1, Loaded: true}
	for name, test := range map[string]struct {
		pool   fakePool
		body   string
		status int
		failed string
		text   string
	}{
		"not loaded":  {fakePool{}, "", 503, "False", "starting"},
		"timeout":     {fakePool{status: up, err: &worker.TimeoutError{Limit: time.Second}}, "", 500, "True", "Scoring timeout after 1000 ms"},
		"crash":       {fakePool{status: up, err: &worker.CrashError{Cause: "exit code 5"}}, "", 500, "True", "exit code 5"},
		"queue full":  {fakePool{status: up, err: worker.ErrQueueFull}, "", 503, "False", "Too many requests"},
		"stopping":    {fakePool{status: up, err: worker.ErrStopped}, "", 503, "False", "shutting down"},
		"unknown":     {fakePool{status: up, err: errors.New("secret")}, "", 500, "False", messageInternal},
		"too large":   {fakePool{status: up}, "01234567890", 413, "False", "10 bytes"},
		"bad outcome": {fakePool{status: up, reply: &worker.Reply{Outcome: "new"}}, "", 500, "False", messageInternal},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			newServer(test.pool).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/score", strings.NewReader(test.body)))
			if w.Code != test.status || w.Header().Get(headerFailed) != test.failed || !strings.Contains(w.Body.String(), test.text) {
				t.Errorf("got %d %s %s, want %d %s %q", w.Code, w.Header().Get(headerFailed), w.Body, test.status, test.failed, test.text)
			}
			if w.Header().Get(headerVersion) != "fairlead/test" || w.Header().Get(headerRequestID) == "" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	up := fakePool{status: worker.Status{Configured: 1, Ready: 1, Loaded: true}}
	down := fakePool{status: worker.Status{Configured: 1, Loaded: true, FailedLoads: failedLoadsAtMost}}
	for name, test := range map[string]struct {
		pool         fakePool
		method, path string
		want         int
	}{
		"healthy":            {up, "GET", "/", 200},
		"not loaded":         {fakePool{}, "GET", "/", 503},
		"no worker for good": {down, "GET", "/", 503},
		"ready":              {up, "GET", "/-/ready", 200},
		"not ready":          {down, "GET", "/-/ready", 503},
		"status":             {down, "GET", "/-/status", 200},
		"status by post":     {up, "POST", "/-/status", 405},
		"drain":              {up, "POST", "/-/drain", 202},
		"drain by get":       {up, "GET", "/-/drain", 405},
		"other":              {up, "GET", "/-/other", 404},
		"doubled slash":      {up, "POST", "//score", 404},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			newServer(test.pool).ServeHTTP(w, httptest.NewRequest(test.method, "http://h"+test.path, nil))
			if w.Code != test.want {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, test.want)
			}
		})
	}
}

func TestGate(t *testing.T) {
	g := newGate()
	if !g.enter() {
		t.Fatal("an open gate must let in")
	}
	empty := g.close()
	if g.enter() {
		t.Error("a closed gate must not let in")
	}
	select {
	case <-empty:
		t.Error("empty with one inside")
	default:
	}
	g.leave()
	<-empty
	<-g.close()
}

func FuzzMessageJSON(f *testing.F) {
	f.Add("plain")
	f.Add("quotes \" < > & \u2028 \xff")
	f.Fuzz(func(t *testing.T, message string) {
		b := messageJSON(message)
		if !strings.HasPrefix(string(b), `{"message": "`) || !strings.HasSuffix(string(b), `"}`) {
			t.Errorf("%q became %s", message, b)
		}
	})
}
