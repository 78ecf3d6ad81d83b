package scorer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

// asked is a request and what must come back. Headers are "Name: value"; a wanted "Name: -" means that it is not there.
type asked struct {
	method, path string
	headers      []string
	body         string
	status       int
	want         string // the body; JSON is compared as such
	wantHeaders  []string
}

const (
	asJSON  = "Content-Type: application/json"
	failed  = "X-Ms-Run-Function-Failed: True"
	worked  = "X-Ms-Run-Function-Failed: False"
	raised  = `{"message": "An unexpected error occurred in scoring script. Check the logs for more info."}`
	inside  = `{"message": "An unexpected internal error occurred. Check the logs for more info."}`
	missing = `{"message": "A value is not provided for the 'data' parameter."}`
)

// ask sends the requests to a scorer with a script.
func ask(t *testing.T, script string, env map[string]string, requests map[string]asked) *running {
	t.Helper()
	path := pythontest.Script(t, script)
	cfg, err := scorer.ParseFlags([]string{"--entry-script", path}, func(name string) string { return env[name] }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r := startReady(t, cfg)
	for name, a := range requests {
		t.Run(name, func(t *testing.T) { a.check(t, r) })
	}
	return r
}

func (a asked) check(t *testing.T, r *running) {
	t.Helper()
	if a.path == "" {
		a.path = "/score"
	}
	req, err := http.NewRequest(a.method, r.url+a.path, strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "")
	for _, h := range a.headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body := drain(res)
	if res.StatusCode != a.status || body != a.want && !sameJSON(body, a.want) {
		t.Errorf("got %d %s, want %d %s\n%s", res.StatusCode, body, a.status, a.want, r.log(t))
	}
	for _, h := range a.wantHeaders {
		name, value, _ := strings.Cut(h, ": ")
		if got := strings.Join(res.Header.Values(name), ", "); got != value && (value != "-" || got != "") {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
}

const decorated = `
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Standard
def init(): pass
@input_schema('data', Standard({'a': 1}))
@input_schema(param_name='factor', param_type=Standard(1.5))
@output_schema(Standard([1.0]))
def run(data, factor, extra="none"):
    return {"data": data, "factor": factor, "extra": extra}
`

func TestSchema(t *testing.T) {
	post := func(body string, status int, want string, headers ...string) asked {
		return asked{"POST", "", append([]string{asJSON}, headers...), body, status, want, nil}
	}
	ask(t, decorated, nil, map[string]asked{
		"by name":           post(`{"data": {"a": 2}, "factor": 2, "unknown": 1}`, 200, `{"data": {"a": 2}, "factor": 2, "extra": "none"}`),
		"default":           post(`{"data": {"a": 2}, "factor": 2, "extra": 7}`, 200, `{"data": {"a": 2}, "factor": 2, "extra": 7}`),
		"charset":           {"POST", "", []string{"Content-Type: application/json; charset=utf-8"}, `{"data": {}, "factor": 1.5}`, 200, `{"data": {}, "factor": 1.5, "extra": "none"}`, nil},
		"a kind of JSON":    {"POST", "", []string{"Content-Type: application/ld+json"}, `{"data": {}, "factor": 1.5}`, 200, `{"data": {}, "factor": 1.5, "extra": "none"}`, nil},
		"other type":        {"POST", "", []string{"Content-Type: text/plain"}, `{}`, 415, `{"message": "Expects Content-Type to be application/json"}`, []string{worked, "X-Ms-Run-Fn-Exec-Ms: -"}},
		"form":              {"POST", "", []string{"Content-Type: application/x-www-form-urlencoded"}, `a=1`, 415, `{"message": "Expects Content-Type to be application/json"}`, nil},
		"no type":           {"POST", "", nil, `{}`, 415, `{"message": "Expects Content-Type to be application/json"}`, nil},
		"empty":             post(``, 400, `{"message": "POST body is empty. Expecting a JSON dictionary."}`),
		"no JSON":           post(`{a`, 400, `{"message": "POST body could not be decoded as JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"}`),
		"no object":         post(`[1]`, 400, `{"message": "POST body should be a JSON dictionary."}`),
		"missing":           post(`{"factor": 1}`, 400, missing),
		"wrong type":        post(`{"data": [1], "factor": 1}`, 500, raised),
		"wrong number":      post(`{"data": {}, "factor": "x"}`, 500, raised),
		"null":              post(`{"data": null, "factor": 1}`, 500, raised),
		"not UTF-8":         post("{\"data\": \"\xff\"}", 500, inside),
		"GET":               {"GET", "/score?data=%7B%22a%22%3A3%7D&factor=2", nil, "", 200, `{"data": {"a": 3}, "factor": 2, "extra": "none"}`, []string{worked}},
		"GET, missing":      {"GET", "/score?factor=2", nil, "", 400, missing, nil},
		"OPTIONS":           {"OPTIONS", "", nil, "", 200, "", []string{worked, "X-Ms-Run-Fn-Exec-Ms: -"}},
		"HEAD":              {"HEAD", "", nil, "", 405, "", nil},
		"swagger, OPTIONS":  {"OPTIONS", "/swagger.json", nil, "", 200, "", []string{"Allow: GET, HEAD, OPTIONS"}},
		"swagger, too high": {"GET", "/swagger.json?version=5", nil, "", 404, `{"message": "Swagger version [5] is not valid. Supported versions: [2, 3, 3.1]."}`, []string{worked}},
	})
}

func TestSwaggerOfSchema(t *testing.T) {
	env := map[string]string{"SERVICE_NAME": "mine", "SERVICE_VERSION": "9", "SERVICE_PATH_PREFIX": "p"}
	r := ask(t, decorated, env, nil)
	res, err := r.client.Get(r.url + "/swagger.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Info        map[string]string
		Paths       map[string]any
		Definitions map[string]any
	}
	if err := json.Unmarshal([]byte(drain(res)), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Info["title"] != "mine" || doc.Info["version"] != "9" || doc.Paths["/p/score"] == nil {
		t.Errorf("got %v, paths %v", doc.Info, doc.Paths)
	}
	want := map[string]any{
		"ServiceInput": map[string]any{
			"type": "object",
			"properties": map[string]any{
				"data": map[string]any{
					"type": "object", "required": []any{"a"},
					"properties": map[string]any{"a": map[string]any{"type": "integer", "format": "int64"}},
				},
				"factor": map[string]any{"type": "number", "format": "double"},
				"extra":  map[string]any{},
			},
			"example": map[string]any{"data": map[string]any{"a": 1.0}, "factor": 1.5, "extra": ""},
		},
		"ServiceOutput": map[string]any{
			"type": "array", "items": map[string]any{"type": "number", "format": "double"}, "example": []any{1.0},
		},
		"ErrorResponse": map[string]any{"type": "object", "properties": map[string]any{"message": map[string]any{"type": "string"}}},
	}
	if diff := cmp.Diff(want, doc.Definitions); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOwnSwagger(t *testing.T) {
	path := pythontest.Script(t, "def init(): pass\ndef run(d): pass")
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "swagger3.json"), []byte(`{"mine": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := scorer.DefaultConfig()
	cfg.EntryScript = path
	r := startReady(t, cfg)
	asked{"GET", "/swagger.json?version=3", nil, "", 200, `{"mine": true}`, nil}.check(t, r)
	res, err := r.client.Get(r.url + "/swagger.json")
	if err != nil || !strings.HasPrefix(drain(res), `{"`) || res.StatusCode != 200 {
		t.Errorf("the others are made: %v %v", res, err)
	}
}

const raw = `
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    if request.args.get("twice"):
        return [request.data.decode(), request.get_data().decode()]
    if request.args.get("own"):
        return AMLResponse("own", 418, {"Access-Control-Allow-Origin": "x", "X-Both": "a, b", "x-request-id": "mine"})
    if request.args.get("stream"):
        return AMLResponse((str(i) for i in range(3)), 200, {"Content-Type": "text/event-stream"})
    if request.files:
        return [[n, f.filename, f.content_type, f.read().decode()] for n, f in request.files.items(multi=True)] + [request.form.to_dict()]
    return {"method": request.method, "path": request.path, "url": request.url[-9:], "args": request.args.getlist("a"),
            "data": request.get_data(as_text=True), "json": request.get_json(silent=True), "form": request.form.get("f"),
            "type": request.content_type, "own": request.headers.get("x-own"), "from": request.remote_addr, "is": isinstance(request, AMLRequest)}
`

func TestRawHTTP(t *testing.T) {
	answer := func(method, data, rest string) string {
		return fmt.Sprintf(`{"method": %q, "path": "/score", "url": "score?a=1", "args": ["1"], "data": %q, "from": "127.0.0.1", "is": true, %s}`, method, data, rest)
	}
	const nothing = `"json": null, "form": null, "type": null, "own": null`
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	file, _ := w.CreateFormFile("file[]", "a \"b\".txt")
	_, _ = file.Write([]byte("content\r\n--of a file"))
	_ = w.WriteField("f", "é")
	_ = w.Close()
	requests := map[string]asked{
		"POST":         {"POST", "/score?a=1", []string{asJSON, "X-Own: o"}, `[1]`, 200, answer("POST", "[1]", `"json": [1], "form": null, "type": "application/json", "own": "o"`), []string{worked}},
		"GET":          {"GET", "/score?a=1", nil, "body", 200, answer("GET", "body", nothing), nil},
		"OPTIONS":      {"OPTIONS", "/score?a=1", nil, "", 200, answer("OPTIONS", "", nothing), nil},
		"HEAD":         {"HEAD", "/score?a=1", nil, "", 200, "", []string{worked}},
		"PUT":          {"PUT", "/score", nil, "", 405, `{"message": "The method is not allowed for the requested URL."}`, nil},
		"urlencoded":   {"POST", "/score?a=1", []string{"Content-Type: application/x-www-form-urlencoded"}, `f=1`, 200, answer("POST", "", `"json": null, "form": "1", "type": "application/x-www-form-urlencoded", "own": null`), nil},
		"data of form": {"POST", "/score?twice=1", []string{"Content-Type: application/x-www-form-urlencoded"}, `f=1`, 200, `["", ""]`, nil},
		"own answer":   {"POST", "/score?own=1", []string{"Origin: https://a"}, "", 418, "own", []string{"Access-Control-Allow-Origin: x", "X-Both: a, b", worked}},
		"stream":       {"POST", "/score?stream=1", nil, "", 200, "012", []string{"Content-Type: text/event-stream", worked, "Content-Length: -"}},
		"files":        {"POST", "", []string{"Content-Type: " + w.FormDataContentType()}, form.String(), 200, `[["file[]", "a \"b\".txt", "application/octet-stream", "content\r\n--of a file"], {"f": "é"}]`, nil},
		"broken form":  {"POST", "/score?twice=1", []string{"Content-Type: multipart/form-data; boundary=b"}, "--b\r\nx", 200, `["", ""]`, nil},
	}
	ask(t, raw, map[string]string{"AML_CORS_ORIGINS": "*"}, requests)
}

// TestRawHTTPWithFlask: a script that has Flask gets Flask's request and may answer with Flask's response.
func TestRawHTTPWithFlask(t *testing.T) {
	pythontest.Needs(t, "flask")
	ask(t, `
import flask
from azureml_inference_server_http.api.aml_request import rawhttp
def init(): pass
@rawhttp
def run(request):
    if request.args.get("own"):
        return flask.Response("own", 203, {"X-Own": "1"})
    return [isinstance(request, flask.Request), request.method, request.get_json(silent=True), request.args.to_dict(), request.url[-10:]]
`, nil, map[string]asked{
		"request":  {"POST", "/score?a=1", []string{asJSON}, `{"b": 2}`, 200, `[true, "POST", {"b": 2}, {"a": "1"}, "/score?a=1"]`, nil},
		"response": {"GET", "/score?own=1", nil, "", 203, "own", []string{"X-Own: 1", worked}},
	})
}

func TestPlainResults(t *testing.T) {
	const script = `
import json, logging
from azureml_inference_server_http.api.aml_response import AMLResponse
def init(): logging.info("begun")
def run(data, request_headers):
    logging.info("called")
    logging.debug("hidden")
    if not data: return "empty"
    return eval(data)
`
	post := func(body string, status int, want string, headers ...string) asked {
		return asked{"POST", "", []string{asJSON}, body, status, want, headers}
	}
	r := ask(t, script, nil, map[string]asked{
		"status as text": post(`AMLResponse("x", "202 Accepted")`, 202, "x", "Content-Type: text/html; charset=utf-8"),
		"high status":    post(`AMLResponse(None, 555)`, 555, "{}", failed, "Content-Type: application/json"),
		"said to fail":   post(`AMLResponse({"a": 1}, 400, json_str=True, run_function_failed=True)`, 400, `{"a": 1}`, failed),
		"list of parts":  post(`AMLResponse(["a", b"b"], 200)`, 200, "ab", "Content-Length: 2"),
		"own type":       post(`AMLResponse(b"\x00", 200, {"content-type": "image/png"})`, 200, "\x00", "Content-Type: image/png"),
		"generator":      post(`(i for i in [1])`, 500, inside, worked, "X-Ms-Run-Fn-Exec-Ms: -"),
		"bad status":     post(`AMLResponse("x", 99)`, 500, inside),
		"headers":        {"POST", "", []string{asJSON, "X-A: 1", "X-A: 2"}, `request_headers["X-A"]`, 200, `"1,2"`, nil},
		"multipart":      {"POST", "", []string{"Content-Type: multipart/form-data; boundary=b"}, "--b--", 200, `"empty"`, nil},
		"form":           {"POST", "", []string{"Content-Type: application/x-www-form-urlencoded"}, "1", 200, `"empty"`, nil},
	})
	for _, want := range []string{"root - begun", "root - called", "the body of a form reaches run() as an empty string"} {
		if !strings.Contains(r.log(t), want) {
			t.Errorf("%q is not in the log:\n%s", want, r.log(t))
		}
	}
	if strings.Contains(r.log(t), "hidden") {
		t.Error("what is below the level was logged")
	}
	t.Run("form bodies", func(t *testing.T) {
		ask(t, script, map[string]string{"FORM_BODY_ENABLED": "true"}, map[string]asked{
			"reach run()": {"POST", "", []string{"Content-Type: application/x-www-form-urlencoded"}, "1", 200, "1", nil},
		})
	})
}

func TestHealthPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := ask(t, "def init(): pass\ndef run(d): return 1", map[string]string{
		"SEPERATE_HEALTH_ENDPOINT": "true", "HEALTH_PORT": port, "SERVER_VERSION_LOG_RESPONSE_ENABLED": "false",
	}, map[string]asked{
		"no version": {"GET", "/", nil, "", 200, "Healthy", []string{"X-Ms-Server-Version: -"}},
	})
	r.url = "http://127.0.0.1:" + port
	asked{"GET", "/", nil, "", 200, "Healthy", nil}.check(t, r)
}

func TestLargeSample(t *testing.T) {
	r := ask(t, `
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): pass
@input_schema('data', StandardPythonParameterType("x" * (5 << 20)))
def run(data): return data
`, nil, map[string]asked{
		"served": {"POST", "", []string{asJSON}, `{"data": "y"}`, 200, `"y"`, nil},
	})
	res, err := r.client.Get(r.url + "/swagger.json")
	if err != nil {
		t.Fatal(err)
	}
	if body := drain(res); len(body) > 10000 || !strings.Contains(body, `"properties": {"data": {"type": "string"}}`) {
		t.Errorf("got %d bytes: %.300s", len(body), body)
	}
}

func TestNumpySchema(t *testing.T) {
	pythontest.Needs(t, "numpy")
	ask(t, `
import numpy as np
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
def init(): pass
@input_schema('data', NumpyParameterType(np.array([[1.0, 2.0]])))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data):
    return [str(data.dtype), data.shape, data.sum()]
`, nil, map[string]asked{
		"array":       {"POST", "", []string{asJSON}, `{"data": [[1, 2], [3, 4]]}`, 200, `["float64", [2, 2], 10.0]`, nil},
		"GET":         {"GET", "/score?data=[[1,2]]", nil, "", 200, `["float64", [1, 2], 3.0]`, nil},
		"wrong shape": {"POST", "", []string{asJSON}, `{"data": [[1, 2, 3]]}`, 500, raised, []string{failed}},
		"wrong depth": {"POST", "", []string{asJSON}, `{"data": [1, 2]}`, 500, raised, nil},
		"no numbers":  {"POST", "", []string{asJSON}, `{"data": [["a", "b"]]}`, 500, raised, nil},
	})
}

func TestStartFailures(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"imported only": {decorated + "from azureml_inference_server_http.api.aml_request import rawhttp\n", ""},
		"only headers":  {"def init(): pass\ndef run(request_headers): pass", `run() needs to accept an argument other than "request_headers".`},
		"None sample": {"from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as S\n" +
			"from inference_schema.schema_decorators import input_schema\n@input_schema('d', S(None))\ndef run(d): pass\ndef init(): pass", "None can't be a sample"},
		"raw and schema": {strings.Replace(decorated, "@output_schema", "@rawhttp\n@output_schema", 1), "name 'rawhttp' is not defined"},
		"raw with schema": {"from azureml_inference_server_http.api.aml_request import rawhttp\n" + strings.Replace(decorated, "@input_schema('data'", "@rawhttp\n@input_schema('data'", 1),
			"run() cannot be decorated with both @rawhttp and @input_schema"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := scorer.DefaultConfig()
			cfg.EntryScript = pythontest.Script(t, test.script)
			r := start(t, cfg)
			healthy := r.becomesHealthy(t)
			if test.want == "" {
				if !healthy {
					t.Errorf("ended with %v", r.err)
				}
				return
			}
			if healthy || scorer.ExitCode(r.err) != 3 || !strings.Contains(r.err.Error(), test.want) {
				t.Errorf("healthy: %v, ended with %v, want exit code 3 and %q", healthy, r.err, test.want)
			}
		})
	}
}
