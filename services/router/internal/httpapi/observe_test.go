package httpapi

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/router/internal/record"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// counted collects what is counted.
type counted struct {
	mu  sync.Mutex
	all []record.Request
}

func (c *counted) add(q *record.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, *q)
}

// take waits for one more and gives it.
func (c *counted) take(t *testing.T) record.Request {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		if len(c.all) > 0 {
			q := c.all[0]
			c.all = c.all[1:]
			c.mu.Unlock()
			return q
		}
		c.mu.Unlock()
	}
	t.Fatal("nothing was counted")
	return record.Request{}
}

// outcome is the part of a record that does not depend on time and chance.
type outcome struct {
	Endpoint, UID, Version string
	Code                   int
	Replica, Reason        string
	In, Out                int64
	Keep                   bool
}

func outcomeOf(q record.Request) outcome {
	return outcome{q.Endpoint, q.UID, q.Version, q.Code, q.Replica, q.Reason, q.RequestBytes, q.ResponseBytes, q.Keep}
}

func newCountingBed(t *testing.T) (*bed, *counted) {
	b := newBed(t, 1000)
	return b, &b.counted
}

func TestCountsRequests(t *testing.T) {
	b, c := newCountingBed(t)
	r := replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.RawQuery == "fail" {
			w.WriteHeader(500)
		}
		io.WriteString(w, "hello")
	})
	route := route(version("v1", 10_000))
	route.Telemetry = true
	b.install(route, map[string][]routetable.Replica{"w-v1": {r}})
	path := "/api/v1/service/diabetes/score"
	at := outcome{Endpoint: "diabetes", UID: "u", Keep: true}
	with := func(change func(*outcome)) outcome {
		o := at
		change(&o)
		return o
	}
	for name, test := range map[string]struct {
		path, body string
		header     http.Header
		want       outcome
	}{
		"scored": {path, "[1]", nil, with(func(o *outcome) { o.Version, o.Code, o.Replica, o.In, o.Out = "v1", 200, "r", 3, 5 })},
		"failed": {path + "?fail", "[1]", nil, with(func(o *outcome) { o.Version, o.Code, o.Replica, o.In, o.Out = "v1", 502, "r", 3, 5 })},
		"wrong key": {path, "[1]", header("Authorization", "Bearer wrong"), with(func(o *outcome) {
			o.Code, o.Reason = 401, "Unauthorized"
		})},
		"no such version": {path, "[1]", header("azureml-model-deployment", "v9"), with(func(o *outcome) {
			o.Code, o.Reason = 404, "VersionNotFound"
		})},
		"too large": {path, strings.Repeat("x", 2000), nil, with(func(o *outcome) {
			o.Version, o.Code, o.Reason = "v1", 413, "RequestTooLarge"
		})},
		"no such endpoint": {"/api/v1/service/other/score", "[1]", nil, outcome{Code: 404, Reason: "EndpointNotFound"}},
		"no such path":     {"/elsewhere", "[1]", nil, outcome{Code: 404, Reason: "NotFound"}},
	} {
		t.Run(name, func(t *testing.T) {
			reply := b.do(http.MethodPost, test.path, test.header, test.body)
			q := c.take(t)
			got := outcomeOf(q)
			if test.want.Reason != "" {
				test.want.Out = int64(len(reply.body))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
			if q.RequestID != reply.header.Get("x-ms-request-id") || !strings.Contains(reply.header.Get("traceparent"), q.TraceID) || len(q.TraceID) != 32 {
				t.Errorf("ids are %q and %q, the answer has %v", q.RequestID, q.TraceID, reply.header)
			}
			if q.Latency <= 0 || q.Latency < q.QueueWait+q.Execution {
				t.Errorf("latency %v, queue wait %v, execution %v", q.Latency, q.QueueWait, q.Execution)
			}
		})
	}
}

func TestDoesNotCountWhatIsNoScoring(t *testing.T) {
	b, c := newCountingBed(t)
	b.serve(nil, replica(t, "r", answers("hello")))
	b.do(http.MethodGet, "/", nil, "")
	b.do(http.MethodGet, "/api/v1/service/diabetes/swagger.json", nil, "")
	b.do(http.MethodGet, "/api/v1/service/diabetes/", nil, "")
	b.do(http.MethodOptions, "/api/v1/service/diabetes/score", nil, "")
	b.score(nil)
	if q := c.take(t); q.Code != 200 || q.Keep {
		t.Errorf("counted %+v", q)
	}
	if c.mu.Lock(); len(c.all) != 0 {
		t.Errorf("%d more are counted", len(c.all))
	}
	c.mu.Unlock()
}

func TestCountsCallersThatLeave(t *testing.T) {
	b, c := newCountingBed(t)
	arrived := make(chan struct{})
	b.serve(nil, replica(t, "r", func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	}))
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.send(ctx, http.MethodPost, "/api/v1/service/diabetes/score", nil, strings.NewReader("x"))
	}()
	<-arrived
	leave()
	<-done
	if q := c.take(t); q.Code != statusCallerLeft || q.Reason != reasonCallerLeft || q.Version != "v1" {
		t.Errorf("counted %+v", q)
	}
}

func TestCountsAnswersThatAreCutOff(t *testing.T) {
	b, c := newCountingBed(t)
	b.serve(nil, replica(t, "r", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "only this")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	b.send(t.Context(), http.MethodPost, "/api/v1/service/diabetes/score", nil, strings.NewReader("x"))
	if q := c.take(t); q.Code != http.StatusBadGateway || q.Reason != reasonAnswerCutOff {
		t.Errorf("counted %+v", q)
	}
}
