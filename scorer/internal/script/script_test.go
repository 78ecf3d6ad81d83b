package script_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/exchange"
	"github.com/fairlead/fairlead/scorer/internal/script"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// fakePool answers every request the same way.
type fakePool struct {
	status worker.Status
	reply  *worker.Reply
	err    error
}

func (f fakePool) Run(context.Context) error { return nil }
func (f fakePool) Score(context.Context, worker.Request) (*worker.Reply, error) {
	return f.reply, f.err
}
func (f fakePool) Status() worker.Status { return f.status }
func (f fakePool) Loaded() bool          { return f.status.Loaded }
func (f fakePool) Facts() worker.Facts   { return worker.Facts{Form: worker.FormText} }

func TestScoreErrors(t *testing.T) {
	up := worker.Status{Configured: 1, Ready: 1, Loaded: true}
	for name, test := range map[string]struct {
		pool   fakePool
		body   string
		status int
		failed string
		text   string
	}{
		"timeout":     {fakePool{status: up, err: &worker.TimeoutError{Limit: time.Second}}, "", 500, "True", "Scoring timeout after 1000 ms"},
		"crash":       {fakePool{status: up, err: &worker.CrashError{Cause: "exit code 5"}}, "", 500, "True", "exit code 5"},
		"queue full":  {fakePool{status: up, err: worker.ErrQueueFull}, "", 503, "False", "Too many requests"},
		"stopping":    {fakePool{status: up, err: worker.ErrStopped}, "", 503, "False", "shutting down"},
		"unknown":     {fakePool{status: up, err: errors.New("secret")}, "", 500, "False", exchange.MessageInternal},
		"too large":   {fakePool{status: up}, "01234567890", 413, "False", "10 bytes"},
		"unsupported": {fakePool{status: up, reply: &worker.Reply{Outcome: worker.Unsupported, Message: "Expects JSON"}}, "", 415, "False", "Expects JSON"},
		"bad outcome": {fakePool{status: up, reply: &worker.Reply{Outcome: 99}}, "", 500, "False", exchange.MessageInternal},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := script.New(script.Config{MaxBody: 10}, script.Deps{Pool: test.pool, Log: slog.New(slog.DiscardHandler)})
			r.Score(w, httptest.NewRequest(http.MethodPost, "/score", strings.NewReader(test.body)), "id")
			if w.Code != test.status || w.Header().Get(exchange.HeaderFailed) != test.failed || !strings.Contains(w.Body.String(), test.text) {
				t.Errorf("got %d %s %s, want %d %s %q", w.Code, w.Header().Get(exchange.HeaderFailed), w.Body, test.status, test.failed, test.text)
			}
		})
	}
}
