package scorer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

type recording struct {
	Scenarios []scenario `json:"scenarios"`
}

type scenario struct {
	Name      string            `json:"scenario"`
	Script    string            `json:"script"`
	Env       map[string]string `json:"env"`
	Healthy   bool              `json:"became_healthy"`
	ExitCode  int               `json:"exit_code"`
	Responses []exchange        `json:"responses"`
}

type exchange struct {
	Name    string `json:"name"`
	Request struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
		BodyB64 string            `json:"body_b64"`
	} `json:"request"`
	Response struct {
		Status  int         `json:"status"`
		Headers [][2]string `json:"headers"`
		Body    string      `json:"body"`
		Error   string      `json:"error"`
	} `json:"response"`
}

func TestRecorded(t *testing.T) {
	file := pythontest.Acceptance(t, "scoring/recorded.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rec recording
	if err := json.Unmarshal(b, &rec); err != nil {
		t.Fatal(err)
	}
	for _, s := range rec.Scenarios {
		t.Run(s.Name, func(t *testing.T) { replay(t, s) })
	}
}

func replay(t *testing.T, s scenario) {
	t.Helper()
	args := []string{"--entry-script", pythontest.Acceptance(t, "scoring/"+s.Script)}
	cfg, err := scorer.ParseFlags(args, func(name string) string { return s.Env[name] }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg)
	if healthy := r.becomesHealthy(t); healthy != s.Healthy {
		t.Fatalf("became healthy: %v, recorded %v\n%s", healthy, s.Healthy, r.log(t))
	}
	if !s.Healthy {
		<-r.ended
		if code := scorer.ExitCode(r.err); code != s.ExitCode {
			t.Errorf("exit code %d for %v, recorded %d", code, r.err, s.ExitCode)
		}
		return
	}
	for _, e := range s.Responses {
		t.Run(e.Name, func(t *testing.T) {
			compare(t, r, e)
		})
	}
}

func compare(t *testing.T, r *running, e exchange) {
	t.Helper()
	res, err := r.client.Do(recordedRequest(t, r, e))
	if e.Response.Error != "" {
		if !errors.Is(err, io.EOF) {
			t.Fatalf("got %v %v, recorded a connection closed without an answer", res, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	body := drain(res)
	if res.StatusCode != e.Response.Status {
		t.Errorf("status %d, recorded %d", res.StatusCode, e.Response.Status)
	}
	if diff := cmp.Diff(recordedHeaders(e), comparableHeaders(res.Header)); diff != "" {
		t.Errorf("headers (-recorded +got):\n%s", diff)
	}
	if body != e.Response.Body && !sameJSON(body, e.Response.Body) {
		t.Errorf("body %q, recorded %q", body, e.Response.Body)
	}
}

func recordedRequest(t *testing.T, r *running, e exchange) *http.Request {
	t.Helper()
	body := e.Request.Body
	if e.Request.BodyB64 != "" {
		b, err := base64.StdEncoding.DecodeString(e.Request.BodyB64)
		if err != nil {
			t.Fatal(err)
		}
		body = string(b)
	}
	req, err := http.NewRequest(e.Request.Method, r.url+e.Request.Path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "") // the recorder sent none
	for name, value := range e.Request.Headers {
		req.Header.Set(name, value)
	}
	return req
}

func recordedHeaders(e exchange) map[string]string {
	h := http.Header{}
	for _, pair := range e.Response.Headers {
		h.Add(pair[0], pair[1])
	}
	return comparableHeaders(h)
}

var (
	uuid   = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	millis = regexp.MustCompile(`^\d+\.\d{3}$`)
)

// comparableHeaders leaves out what may differ and replaces values that always do.
func comparableHeaders(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		value := strings.Join(values, ", ")
		switch {
		case slices.Contains([]string{"Date", "Server", "Connection", "X-Ms-Server-Version"}, name):
			continue
		case name == "Content-Type":
			value, _, _ = mime.ParseMediaType(value)
		case uuid.MatchString(value):
			value = "<uuid>"
		case name == "X-Ms-Run-Fn-Exec-Ms" && millis.MatchString(value):
			value = "<ms>"
		}
		out[name] = value
	}
	return out
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && cmp.Equal(x, y)
}
