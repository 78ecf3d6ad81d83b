package oip_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// answer is what came back over REST.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (s *serving) send(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

func TestDescribes(t *testing.T) {
	s := serve(t, &mirror{specs: []tensor.Spec{{Name: "x", Datatype: tensor.FP32, Shape: []int64{-1, 2}}}})
	metadata := `{"name":"%s","versions":["blue"],"platform":"mirror_glass","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}]}`
	for path, want := range map[string]string{
		"/v2":                              `{"name":"fairlead","version":"test","extensions":["binary_tensor_data"]}`,
		"/v2/health/live":                  `{"live":true}`,
		"/v2/health/ready":                 `{"ready":true}`,
		"/v2/models/m":                     strings.Replace(metadata, "%s", "m", 1),
		"/v2/models/other/versions/3":      strings.Replace(metadata, "%s", "other", 1),
		"/v2/models/m/ready":               `{"name":"m","ready":true}`,
		"/v2/models/m/versions/blue/ready": `{"name":"m","ready":true}`,
	} {
		t.Run(path, func(t *testing.T) {
			if got := s.send(t, "GET", path, ""); got.code != 200 || got.body != want || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("got %d %s, want %s", got.code, got.body, want)
			}
		})
	}
}

func TestNotThere(t *testing.T) {
	s := serve(t, everyType())
	for _, test := range []struct {
		method, path string
		code         int
		text         string
	}{
		{"GET", "/v2/models/none", 404, `there is no model \"none\"; there is \"m\", \"other\"`},
		{"GET", "/v2/models/none/ready", 404, "there is no model"},
		{"POST", "/v2/models/none/infer", 404, "there is no model"},
		{"GET", "/v2/models/m/versions/9", 404, `model \"m\" has no version \"9\"; it has \"blue\", \"3\"`},
		{"GET", "/v2/models/m/versions/", 404, "there is nothing at"},
		{"GET", "/v2/models/m/other", 404, "there is nothing at"},
		{"GET", "/v2/models/m/versions/3/infer/x", 404, "there is nothing at"},
		{"GET", "/v2/models/", 404, "there is nothing at"},
		{"GET", "/v2/", 404, "there is nothing at"},
		{"GET", "/v2/models/m/infer", 405, "the method must be POST"},
		{"POST", "/v2", 405, "the method must be GET"},
		{"DELETE", "/v2/models/m/ready", 405, "the method must be GET"},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			got := s.send(t, test.method, test.path, "{}")
			var e map[string]string
			if err := json.Unmarshal([]byte(got.body), &e); err != nil || len(e) != 1 || e["error"] == "" {
				t.Errorf("%s is not the protocol's form of an error", got.body)
			}
			if got.code != test.code || !strings.Contains(got.body, test.text) {
				t.Errorf("got %d %s, want %d %s", got.code, got.body, test.code, test.text)
			}
		})
	}
}

func TestInferREST(t *testing.T) {
	two := []int64{-1, 2}
	s := serve(t, &mirror{specs: allOptional(
		tensor.Spec{Name: "x", Datatype: tensor.FP32, Shape: two}, tensor.Spec{Name: "n", Datatype: tensor.Int8, Shape: []int64{-1}},
		tensor.Spec{Name: "s", Datatype: tensor.Bytes, Shape: []int64{-1}},
	)})
	const x, xFlat = `{"name":"x","datatype":"FP32","shape":[1,2],"data":[[1,2.5]]}`, `{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.0,2.5]}`
	binary := "\x00\x00\x80\x3f\x00\x00\x20\x40" // 1, 2.5
	const xBinary = `{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}`
	const sBinary = `{"name":"s","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":9}}`
	for name, test := range map[string]struct {
		path, json, binary string
		want, wantBinary   string
		code               int
	}{
		"json":             {"m", `{"inputs":[` + x + `]}`, "", `{"model_name":"m","model_version":"blue","outputs":[` + xFlat + `]}`, "", 200},
		"id and version":   {"other/versions/3", `{"id":"i","inputs":[` + x + `]}`, "", `{"model_name":"other","model_version":"3","id":"i","outputs":[` + xFlat + `]}`, "", 200},
		"members anywhere": {"m", `{"outputs":[{"name":"x"}],"more":{"a":[1]},"inputs":[{"data":[1,2.5],"more":null,"shape":[1,2],"datatype":"FP32","name":"x"}]}`, "", `{"model_name":"m","model_version":"blue","outputs":[` + xFlat + `]}`, "", 200},
		"order of outputs": {"m", `{"outputs":[{"name":"n"},{"name":"x"}],"inputs":[` + x + `,{"name":"n","datatype":"INT8","shape":[1],"data":[-1]}]}`, "",
			`{"model_name":"m","model_version":"blue","outputs":[{"name":"n","datatype":"INT8","shape":[1],"data":[-1]},` + xFlat + `]}`, "", 200},
		"binary in": {"m", `{"inputs":[` + xBinary + `}]}`, binary, `{"model_name":"m","model_version":"blue","outputs":[` + xFlat + `]}`, "", 200},
		"binary out": {"m", `{"inputs":[` + x + `],"outputs":[{"name":"x","parameters":{"binary_data":true}}]}`, "",
			`{"model_name":"m","model_version":"blue","outputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}`, binary, 200},
		"all binary but one": {"m", `{"parameters":{"binary_data_output":true},"inputs":[` + xBinary + `},` + sBinary + `],"outputs":[{"name":"s"},{"name":"x","parameters":{"binary_data":false}}]}`,
			binary + "\x01\x00\x00\x00a\x00\x00\x00\x00", `{"model_name":"m","model_version":"blue","outputs":[{"name":"s","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":9}},` + xFlat + `]}`, "\x01\x00\x00\x00a\x00\x00\x00\x00", 200},
		"nothing, binary": {"m", `{"parameters":{"binary_data_output":true},"inputs":[{"name":"n","datatype":"INT8","shape":[0],"data":[]}]}`, "",
			`{"model_name":"m","model_version":"blue","outputs":[{"name":"n","datatype":"INT8","shape":[0],"parameters":{"binary_data_size":0}}]}`, "", 200},

		"everything wrong": {"m", `{"id":5,"inputs":[{"name":"x","datatype":"FP33","data":[1]},{"name":"n","datatype":"INT8","shape":[1,-2],"data":[1]},{"name":"s","datatype":"BYTES","shape":[1],"data":[1]},{"name":"n","datatype":"INT8","shape":[1]}],"outputs":[{"name":1}]}`, "rest",
			`{"error":"id must be a string; inputs[0].datatype is \"FP33\", it must be one of BOOL, UINT8 to UINT64, INT8 to INT64, FP16, FP32, FP64, BF16, BYTES; inputs[0].shape is missing; ` +
				`inputs[1].shape is wrong: dimension 1 of the shape is -2, it must be 0 or more; inputs[2].data does not fit: element [0] is 1, it must be a string; inputs[3].data is missing; ` +
				`outputs[0].name must be a string; the request has 4 bytes of binary data that belong to no input"}`, "", 400},
		"not for this model": {"m", `{"inputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1]},{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}],"outputs":[{"name":"z"}]}`, "",
			`{"error":"inputs[0].name is \"y\", the model takes \"x\", \"n\", \"s\"; inputs[1].shape of \"x\" is [1 3], it must be [any 2]; outputs[0].name is \"z\", the model gives \"x\", \"n\", \"s\""}`, "", 400},
		"no JSON":        {"m", `{"inputs":[`, "", `{"error":"the request is no JSON: at byte 11 there should be a value"}`, "", 400},
		"empty":          {"m", ``, "", `{"error":"the request is no JSON: at byte 0 there should be an object"}`, "", 400},
		"no inputs":      {"m", `{}`, "", `{"error":"inputs is missing"}`, "", 400},
		"data and size":  {"m", `{"inputs":[` + xBinary + `,"data":[1,2]}]}`, binary, "", "", 400},
		"size too great": {"m", `{"inputs":[` + xBinary + `}]}`, "abc", `{"error":"inputs[0].parameters.binary_data_size must be a number of bytes, at most the 3 that are left"}`, "", 400},
		"size and shape": {"m", `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":4}}]}`, "abcd",
			`{"error":"inputs[0] (\"x\") has 4 bytes of data, but shape [1 2] of FP32 needs 8"}`, "", 400},
		"no elements": {"m", `{"inputs":[` + sBinary + `]}`, "\x09\x00\x00\x00abcde", `{"error":"inputs[0] has 5 bytes left, but element 0 has 9"}`, "", 400},
		"no text":     {"m", `{"inputs":[{"name":"s","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]}`, "\x01\x00\x00\x00\xff", `{"error":"\"s\" has bytes that are no UTF-8 text; ask for it as binary data"}`, "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{}
			if test.binary != "" {
				header = []string{"Inference-Header-Content-Length", strconv.Itoa(len(test.json))}
			}
			got := s.send(t, "POST", "/v2/models/"+test.path+"/infer", test.json+test.binary, header...)
			text, data := got.body, ""
			if n := got.header.Get("Inference-Header-Content-Length"); n != "" {
				length, _ := strconv.Atoi(n)
				text, data = got.body[:length], got.body[length:]
			}
			if got.code != test.code || test.want != "" && text != test.want || data != test.wantBinary {
				t.Errorf("got %d %s %q, want %d %s %q", got.code, text, data, test.code, test.want, test.wantBinary)
			}
			wantType := "application/json"
			if strings.Contains(text, "binary_data_size\":") {
				wantType = "application/octet-stream"
			}
			if got.header.Get("Content-Type") != wantType {
				t.Errorf("the content type is %s, want %s", got.header.Get("Content-Type"), wantType)
			}
		})
	}
}

func TestFailuresREST(t *testing.T) {
	const body = `{"inputs":[]}`
	for name, test := range map[string]struct {
		prepare func(*serving)
		code    int
		text    string
	}{
		"raised":        {func(s *serving) { s.model.err = &tensor.Failure{Kind: tensor.Failed, Cause: "run() raised"} }, 500, "run() raised"},
		"slow":          {func(s *serving) { s.model.err = &tensor.Failure{Kind: tensor.TimedOut, Cause: "too slow"} }, 504, "too slow"},
		"deadline":      {func(s *serving) { s.model.err = context.DeadlineExceeded }, 504, "time"},
		"full":          {func(s *serving) { s.model.err = &tensor.Failure{Kind: tensor.Overloaded, Cause: "full"} }, 503, "full"},
		"down":          {func(s *serving) { s.model.err = &tensor.Failure{Kind: tensor.Unavailable, Cause: "down"} }, 503, "down"},
		"invalid":       {func(s *serving) { s.model.err = tensor.NewInvalid("inputs[0]", "is odd") }, 400, "inputs[0] is odd"},
		"unknown":       {func(s *serving) { s.model.err = errors.New("a secret") }, 500, "an unexpected internal error"},
		"starting":      {func(s *serving) { s.loaded.Store(false) }, 503, "not loaded yet"},
		"draining":      {func(s *serving) { s.gate.Close() }, 503, "shutting down"},
		"no tensors":    {func(s *serving) { s.without = errors.New("run() is plain") }, 400, "the model has no tensors: run() is plain"},
		"much too long": {func(s *serving) {}, 413, "must not exceed 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, everyType())
			test.prepare(s)
			body := body
			if test.code == 413 {
				body += strings.Repeat(" ", 1<<20)
			}
			got := s.send(t, "POST", "/v2/models/m/infer", body)
			if got.code != test.code || !strings.Contains(got.body, test.text) || strings.Contains(got.body, "secret") {
				t.Errorf("got %d %s, want %d %s", got.code, got.body, test.code, test.text)
			}
		})
	}
}

func TestNotReady(t *testing.T) {
	for name, prepare := range map[string]func(*serving){
		"starting": func(s *serving) { s.loaded.Store(false) },
		"down":     func(s *serving) { s.up.Store(false) },
		"draining": func(s *serving) { s.gate.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, everyType())
			prepare(s)
			if got := s.send(t, "GET", "/v2/health/ready", ""); got.code != 400 || got.body != `{"ready":false}` {
				t.Errorf("got %d %s", got.code, got.body)
			}
			if got := s.send(t, "GET", "/v2/models/m/ready", ""); got.code != 400 || got.body != `{"name":"m","ready":false}` {
				t.Errorf("got %d %s", got.code, got.body)
			}
			if got := s.send(t, "GET", "/v2/health/live", ""); got.code != 200 {
				t.Errorf("got %d %s", got.code, got.body)
			}
		})
	}
}

func TestHeadersREST(t *testing.T) {
	s := serve(t, everyType())
	if got := s.send(t, "POST", "/v2/models/m/infer", `{"inputs":[]}`, "x-request-id", "r", "x-fairlead-timeout-ms", "0"); got.code != 504 {
		t.Errorf("no time was left, yet got %d %s", got.code, got.body)
	}
	if got := s.model.asked.Load().ID; got != "r" {
		t.Errorf("the model got id %q, want that of the header", got)
	}
	got := s.send(t, "POST", "/v2/models/m/infer", `{"inputs":[],"id":"i"}`, "x-request-id", "r", "x-fairlead-timeout-ms", "60000")
	if got.code != 200 || s.model.asked.Load().ID != "i" {
		t.Errorf("got %d %s", got.code, got.body)
	}
	if got := s.send(t, "POST", "/v2/models/m/infer", `{"inputs":[]}`, "Inference-Header-Content-Length", "14"); got.code != 400 || !strings.Contains(got.body, "at most the body's 13 bytes") {
		t.Errorf("got %d %s", got.code, got.body)
	}
	if diff := cmp.Diff([]string{"GET"}, s.send(t, "POST", "/v2", "").header["Allow"]); diff != "" {
		t.Errorf("Allow -want +got:\n%s", diff)
	}
}
