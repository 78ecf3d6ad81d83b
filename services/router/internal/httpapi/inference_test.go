package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

func TestServerOfTheInferenceProtocol(t *testing.T) {
	b := newBed(t, 1000)
	if got := b.do("GET", "/v2/health/ready", header("Authorization", "none"), ""); got.status != 503 || got.body != `{"ready":false}` {
		t.Errorf("before the table is complete: %+v", got)
	}
	b.serve(nil)
	for path, want := range map[string]string{
		"/v2":                                 `{"name":"fairlead","version":"1.2","extensions":["binary_tensor_data"]}`,
		"/v2/health/live":                     `{"live":true}`,
		"/v2/health/ready":                    `{"ready":true}`,
		"/api/v1/workspaces/x/v2":             `{"name":"fairlead","version":"1.2","extensions":["binary_tensor_data"]}`,
		"/api/v1/workspaces/x/v2/health/live": `{"live":true}`,
	} {
		if got := b.do("GET", path, header("Authorization", "none"), ""); got.status != 200 || got.body != want || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %+v, want %s", path, got, want)
		}
	}
	b.counted.none(t)
}

// none wants that nothing was counted.
func (c *counted) none(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) > 0 {
		t.Errorf("counted %+v", c.all)
	}
}

// tellPath answers with the method and path that came.
func tellPath(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	io.WriteString(w, r.Method+" "+r.URL.EscapedPath())
}

func TestInferenceProtocolReachesTheScorer(t *testing.T) {
	b := newBed(t, 1000)
	v1, v2 := version("v1", 10_000), version("v2", 0)
	b.install(route(v1, v2), map[string][]routetable.Replica{"w-v1": {replica(t, "r1", tellPath)}, "w-v2": {replica(t, "r2", tellPath)}})
	for _, test := range []struct{ method, path, version, want, by string }{
		{"POST", "/v2/models/diabetes/infer", "", "POST /v2/models/diabetes/infer", "v1"},
		{"POST", "/v2/models/diabetes/versions/v2/infer", "", "POST /v2/models/diabetes/infer", "v2"},
		{"POST", "/v2/models/diabetes/versions/v2/infer", "v2", "POST /v2/models/diabetes/infer", "v2"},
		{"POST", "/v2/models/diabetes/infer", "v2", "POST /v2/models/diabetes/infer", "v2"},
		{"GET", "/v2/models/diabetes", "", "GET /v2/models/diabetes", "v1"},
		{"GET", "/v2/models/diabetes/versions/v2", "", "GET /v2/models/diabetes", "v2"},
		{"GET", "/v2/models/diabetes/ready", "", "GET /v2/models/diabetes/ready", "v1"},
		{"GET", "/api/v1/workspaces/default/v2/models/diabetes/ready", "", "GET /v2/models/diabetes/ready", "v1"},
	} {
		h := http.Header{}
		if test.version != "" {
			h = header(headerVersion, test.version)
		}
		got := b.do(test.method, test.path, h, "")
		if got.status != 200 || got.body != test.want || got.header.Get(headerVersion) != test.by {
			t.Errorf("%s %s: %+v", test.method, test.path, got)
		}
		if test.method == "POST" {
			if q := b.counted.take(t); q.Code != 200 || q.Version != test.by {
				t.Errorf("%s is counted as %+v", test.path, q)
			}
		}
	}
	b.counted.none(t)
}

func TestInferenceProtocolRefusals(t *testing.T) {
	b := newBed(t, 10)
	b.serve(nil, replica(t, "r", tellPath))
	for _, test := range []struct {
		method, path string
		header       http.Header
		body         string
		want         int
		text         string
	}{
		{"GET", "/v2/other", nil, "", 404, "There is nothing at this path. Scoring is at /api/v1/service/{endpoint}/score or /api/v1/workspaces/{workspace}/service/{endpoint}/score, the Open Inference Protocol below /v2."},
		{"GET", "/v2/models/other", nil, "", 404, "There is no endpoint other in workspace default."},
		{"GET", "/api/v1/workspaces/w/v2/models/diabetes", nil, "", 404, "There is no endpoint diabetes in workspace w."},
		{"GET", "/v2/models/diabetes/versions/v9", nil, "", 404, "Endpoint diabetes has no version v9; it has: v1."},
		{"GET", "/v2/models/diabetes/versions/v1", header(headerVersion, "v2"), "", 400, "The request names version v1 and, in the header azureml-model-deployment, version v2; name one."},
		{"GET", "/v2/models/diabetes/infer", nil, "", 405, "The method is not allowed for the requested URL. Allowed: POST, OPTIONS."},
		{"PUT", "/v2", nil, "", 405, "The method is not allowed for the requested URL. Allowed: GET, HEAD."},
		{"POST", "/v2/models/diabetes/infer", header("Authorization", "Bearer x"), "", 401, "Unauthorized, the key is not one of this endpoint's keys."},
		{"POST", "/v2/models/diabetes/infer", nil, "01234567890", 413, "The request body is larger than the 10 bytes that are allowed; send less at a time."},
		{"POST", "/v2/models/diabetes/infer", header("X-Fairlead-Timeout-Ms", "soon"), "", 400, `x-fairlead-timeout-ms is "soon"; it has to be a whole number of milliseconds above 0.`},
		{"POST", "/v2/models/diabetes/generate", nil, "", 404, "There is nothing at this path. Scoring is at /api/v1/service/{endpoint}/score or /api/v1/workspaces/{workspace}/service/{endpoint}/score, the Open Inference Protocol below /v2."},
	} {
		got := b.do(test.method, test.path, test.header, test.body)
		want, _ := json.Marshal(map[string]string{"error": test.text})
		if got.status != test.want || got.body != string(want) {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.path, got.status, got.body, test.want, want)
		}
	}
}

// TestTimeoutIsHandedOn: the replica learns how long it has, which is less than
// what is allowed, and the caller may allow less.
func TestTimeoutIsHandedOn(t *testing.T) {
	b := newBed(t, 1000)
	b.serve(nil, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Fairlead-Timeout-Ms"))
	}))
	for given, most := range map[string]int{"": 20_000, "7000": 7000, "90000": 20_000} {
		h := http.Header{}
		if given != "" {
			h = header("X-Fairlead-Timeout-Ms", given)
		}
		got := b.score(h)
		left, err := strconv.Atoi(got.body)
		if err != nil || left <= most/100 || left > most {
			t.Errorf("with %q the replica is told %q, want at most %d", given, got.body, most)
		}
	}
}

func TestCallersTimeout(t *testing.T) {
	b := newBed(t, 1000)
	ended := make(chan struct{})
	b.serve(nil, replica(t, "r", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	}))
	got, err := b.send(t.Context(), "POST", "/api/v1/service/diabetes/score", header("X-Fairlead-Timeout-Ms", "50"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got.check(t, 504, "ScoringTimeout", "took longer than the 50ms that its caller allows")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("the replica's work was not cancelled")
	}
}
