package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer/internal/cors"
	"github.com/fairlead/fairlead/scorer/internal/exchange"
	"github.com/fairlead/fairlead/scorer/internal/gate"
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
		status   Status
		draining bool
		want     State
		goAway   bool
	}{
		"starting":    {Status{Pending: "p", Configured: 2, Ready: 1}, false, Starting, true},
		"ready":       {Status{Pending: "p", Configured: 2, Ready: 2, Loaded: true}, false, Ready, false},
		"one is gone": {Status{Pending: "p", Configured: 2, Ready: 1, Loaded: true}, false, Degraded, false},
		"all are":     {Status{Pending: "p", Configured: 2, Loaded: true}, false, Unavailable, true},
		"draining":    {Status{Pending: "p", Configured: 2, Ready: 2, Loaded: true}, true, Draining, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason := stateOf(test.status, test.draining)
			if got != test.want || (reason != "") != test.goAway {
				t.Errorf("got %s %q, want %s", got, reason, test.want)
			}
		})
	}
}

// fakeRuntime answers every request with its own status.
type fakeRuntime struct{ status Status }

func (f fakeRuntime) Loaded() bool   { return f.status.Loaded }
func (f fakeRuntime) Status() Status { return f.status }
func (f fakeRuntime) Score(w http.ResponseWriter, _ *http.Request, id string) {
	exchange.Write(w, http.StatusOK, exchange.TypeJSON, []byte(id))
}

func newServer(r Runtime, others ...http.Handler) *Server {
	deps := Deps{Runtime: r, Gate: gate.New()}
	if len(others) > 0 {
		deps.Inference = others[0]
	}
	if len(others) > 1 {
		deps.Passthrough = others[1]
	}
	return New(Config{Product: "fairlead/test"}, deps)
}

func TestScore(t *testing.T) {
	up := Status{Configured: 1, Ready: 1, Loaded: true}
	for name, test := range map[string]struct {
		status Status
		drain  bool
		code   int
		text   string
	}{
		"up":         {up, false, 200, "an-id"},
		"not loaded": {Status{Pending: "init() runs"}, false, 503, `{"message": "The service is starting: init() runs."}`},
		"draining":   {up, true, 503, exchange.MessageDraining},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(fakeRuntime{test.status})
			if test.drain {
				s.Drain()
			}
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/score", nil)
			r.Header.Set(headerRequestID, "an-id")
			s.ServeHTTP(w, r)
			if w.Code != test.code || !strings.Contains(w.Body.String(), test.text) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, test.code, test.text)
			}
			if w.Header().Get(exchange.HeaderVersion) != "fairlead/test" || w.Header().Get(headerRequestID) != "an-id" {
				t.Errorf("headers %v", w.Header())
			}
			if <-s.Drain(); !s.deps.Gate.IsShut() {
				t.Error("a request stayed inside")
			}
		})
	}
}

// rawRuntime takes all methods.
type rawRuntime struct{ fakeRuntime }

func (rawRuntime) TakesAllMethods() bool { return true }

type fakeDocuments struct{}

func (fakeDocuments) Get(version string) ([]byte, error) {
	if version != "2" {
		return nil, errors.New("no " + version)
	}
	return []byte(`{"swagger": 2}`), nil
}

func TestMethods(t *testing.T) {
	up := fakeRuntime{Status{Configured: 1, Ready: 1, Loaded: true}}
	for name, test := range map[string]struct {
		runtime      Runtime
		method, path string
		status       int
		body         string
		header       string // name=value
	}{
		"options":            {up, "OPTIONS", "/score", 200, "", "X-Ms-Run-Function-Failed=False"},
		"options, raw":       {rawRuntime{up}, "OPTIONS", "/score", 200, "id", ""},
		"head":               {up, "HEAD", "/score", 405, `{"message": "Method not allowed"}`, "X-Request-Id=id"},
		"head, raw":          {rawRuntime{up}, "HEAD", "/score", 200, "id", ""},
		"put, raw":           {rawRuntime{up}, "PUT", "/score", 405, `{"message": "The method is not allowed for the requested URL."}`, "X-Request-Id="},
		"options of health":  {up, "OPTIONS", "/", 200, "", "Allow=GET, HEAD, OPTIONS"},
		"swagger":            {up, "GET", "/swagger.json", 200, `{"swagger": 2}`, "X-Ms-Run-Function-Failed=False"},
		"swagger, none such": {up, "GET", "/swagger.json?version=", 404, `{"message": "no "}`, "Access-Control-Allow-Origin=*"},
		"swagger, posted":    {up, "POST", "/swagger.json", 405, `{"message": "The method is not allowed for the requested URL."}`, "Access-Control-Allow-Origin="},
		"swagger, too early": {fakeRuntime{Status{Pending: "p"}}, "GET", "/swagger.json", 503, `{"message": "The service is starting: p."}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			origins, err := cors.Parse("*")
			if err != nil {
				t.Fatal(err)
			}
			s := New(Config{}, Deps{Runtime: test.runtime, Gate: gate.New(), Swagger: fakeDocuments{}, Origins: origins})
			w, r := httptest.NewRecorder(), httptest.NewRequest(test.method, test.path, nil)
			r.Header.Set(headerRequestID, "id")
			s.ServeHTTP(w, r)
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, test.status, test.body)
			}
			if name, value, _ := strings.Cut(test.header, "="); w.Header().Get(name) != value {
				t.Errorf("%s is %q, want %q", name, w.Header().Get(name), value)
			}
		})
	}
}

// The Open Inference Protocol's requests have ids for logs, given or new.
func TestInferenceHasIDs(t *testing.T) {
	var seen string
	s := newServer(fakeRuntime{Status{Loaded: true}}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get(headerRequestID) }))
	for given, wantGiven := range map[string]bool{"": false, "mine": true} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v2/models/m/infer", nil)
		set(r.Header, headerRequestID, given)
		s.ServeHTTP(w, r)
		if got := w.Header().Get(headerRequestID); got == "" || got != seen || (got == given) != wantGiven {
			t.Errorf("%q was given, the handler saw %q, the answer has %q", given, seen, got)
		}
	}
}

func TestOtherRoutes(t *testing.T) {
	up, starting := fakeRuntime{Status{Configured: 1, Ready: 1, Loaded: true}}, fakeRuntime{Status{Configured: 1, Pending: "p"}}
	says := func(word string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			exchange.Write(w, http.StatusOK, exchange.TypeHTML, []byte(word))
		})
	}
	none, inference, all := []http.Handler{}, []http.Handler{says("inference")}, []http.Handler{nil, says("passed")}
	for name, test := range map[string]struct {
		runtime fakeRuntime
		others  []http.Handler
		path    string
		want    string
	}{
		"no tensors":                 {up, none, "/v2", "404"},
		"tensors":                    {up, inference, "/v2", "inference"},
		"tensors, below":             {up, inference, "/v2/models/m/infer", "inference"},
		"tensors, while it starts":   {starting, inference, "/v2/health/live", "inference"},
		"tensors, other path":        {up, inference, "/v20", "404"},
		"passed through":             {up, all, "/v1/chat", "passed"},
		"passed through, starting":   {starting, all, "/v1/chat", "503"},
		"passed through, tensors":    {up, all, "/v2/models", "passed"},
		"administration not passed":  {up, all, "/-/other", "404"},
		"scoring server's own paths": {up, all, "/", "Healthy"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			newServer(test.runtime, test.others...).ServeHTTP(w, httptest.NewRequest(http.MethodGet, test.path, nil))
			got := w.Body.String()
			if w.Code != http.StatusOK {
				got = http.StatusText(w.Code)
				test.want = map[string]string{"404": "Not Found", "503": "Service Unavailable"}[test.want]
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	up := fakeRuntime{Status{Configured: 1, Ready: 1, Loaded: true}}
	down := fakeRuntime{Status{Configured: 1, Loaded: true, FailedLoads: failedLoadsAtMost}}
	for name, test := range map[string]struct {
		runtime      fakeRuntime
		method, path string
		want         int
	}{
		"healthy":            {up, "GET", "/", 200},
		"not loaded":         {fakeRuntime{}, "GET", "/", 503},
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
			newServer(test.runtime).ServeHTTP(w, httptest.NewRequest(test.method, "http://h"+test.path, nil))
			if w.Code != test.want {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, test.want)
			}
		})
	}
}
