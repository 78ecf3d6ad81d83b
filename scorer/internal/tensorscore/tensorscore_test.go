package tensorscore

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// echo gives its inputs back.
type echo struct {
	metadata tensor.Metadata
	err      error
	got      *tensor.Request
}

func (e *echo) Metadata() tensor.Metadata { return e.metadata }

func (e *echo) Infer(_ context.Context, r *tensor.Request) (*tensor.Response, error) {
	e.got = r
	return &tensor.Response{Outputs: r.Inputs}, e.err
}

func single() tensor.Metadata {
	specs := []tensor.Spec{{Name: "x", Datatype: tensor.FP32, Shape: []int64{-1, 2}}}
	return tensor.Metadata{Inputs: specs, Outputs: specs}
}

func several() tensor.Metadata {
	specs := []tensor.Spec{
		{Name: "x", Datatype: tensor.Int64, Shape: []int64{-1}}, {Name: "text", Datatype: tensor.Bytes, Shape: []int64{-1}},
		{Name: "factor", Datatype: tensor.FP64, Shape: []int64{}, Optional: true},
	}
	return tensor.Metadata{Inputs: specs, Outputs: specs}
}

func TestScore(t *testing.T) {
	for name, test := range map[string]struct {
		metadata tensor.Metadata
		body     string
		code     int
		want     string
	}{
		"by name":            {single(), `{"x": [[1, 2.5], [3, 4]]}`, 200, `{"x": [[1.0,2.5],[3.0,4.0]]}`},
		"as data":            {single(), ` {"data": [[1, 2]]}`, 200, `{"x": [[1.0,2.0]]}`},
		"as named data":      {single(), `{"data": {"x": [[1, 2]]}}`, 200, `{"x": [[1.0,2.0]]}`},
		"the array alone":    {single(), `[[1, 2]]`, 200, `{"x": [[1.0,2.0]]}`},
		"no rows":            {single(), `{"x": []}`, 200, `{"x": []}`},
		"bare NaN":           {single(), `{"x": [[NaN, -Infinity]]}`, 200, `{"x": [["NaN","-Infinity"]]}`},
		"several":            {several(), `{"x": [1, 2], "text": ["a", "ä\n"]}`, 200, `{"x": [1,2], "text": ["a","ä\n"]}`},
		"without dimensions": {several(), `{"x": [1], "text": [""], "factor": 0.5}`, 200, `{"x": [1], "text": [""], "factor": 0.5}`},
		"TensorProto": {single(), `{"inputs": {"x": {"dims": ["1", 2], "dataType": 1, "rawData": "AACAPwAAAEA="}}, "outputFilter": ["x"]}`, 200,
			`{"outputs":{"x":{"dims":["1","2"],"dataType":1,"rawData":"AACAPwAAAEA="}}}`},
		"TensorProto with numbers": {several(), `{"inputs": {"x": {"dims": [1], "dataType": 7, "int64Data": [3]}, "text": {"dims": [1], "dataType": 8, "stringData": ["YQ=="]}}}`, 200,
			`{"outputs":{"text":{"dims":["1"],"dataType":8,"stringData":["YQ=="]},"x":{"dims":["1"],"dataType":7,"rawData":"AwAAAAAAAAA="}}}`},
		"empty":         {single(), ``, 400, `POST body is empty. Expecting a JSON dictionary.`},
		"no JSON":       {single(), `{"x": `, 400, `POST body could not be decoded as JSON`},
		"no dictionary": {several(), `[1]`, 400, `POST body should be a JSON dictionary.`},
		"all that is wrong": {several(), `{"x": ["a"], "y": 1, "factor": [1]}`, 400,
			`x does not fit: element [0] is \"a\", it must be a number; text is missing, it must be an array of BYTES with the shape [any]; factor has the shape [1], it must be []; y is no input of the model, which takes x, text, factor`},
		"wrong shape": {single(), `{"x": [1, 2]}`, 400, `x has the shape [2], it must be [any 2]`},
		"wrong TensorProtos": {single(), `{"inputs": {"x": {"dims": [-1], "dataType": 1}, "y": {"dataType": 99}}, "outputFilter": 1}`, 400,
			`inputs.x has the dimension -1, it must be a whole number from 0; inputs.y has the dataType 99, which can't be sent; outputFilter is no list`},
		"too short TensorProto": {single(), `{"inputs": {"x": {"dims": [1, 2], "dataType": 1, "rawData": "AACAPw=="}}}`, 400, `needs 8`},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			New(1000, slog.New(slog.DiscardHandler)).Score(w, httptest.NewRequest(http.MethodPost, "/score", strings.NewReader(test.body)), &echo{metadata: test.metadata})
			body := w.Body.String()
			if w.Code != test.code || (test.code == 200 && body != test.want) || !strings.Contains(body, test.want) {
				t.Errorf("got %d %s\nwant %d %s", w.Code, body, test.code, test.want)
			}
			if (w.Header().Get("X-Ms-Run-Fn-Exec-Ms") != "") != (test.code == 200) || w.Header().Get("X-Ms-Run-Function-Failed") != "False" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}

func TestFailures(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		code   int
		failed string
		want   string
	}{
		"the model":     {&tensor.Failure{Kind: tensor.Failed, Cause: "the model failed: x"}, 500, "True", "the model failed: x"},
		"too slow":      {&tensor.Failure{Kind: tensor.TimedOut, Cause: "Scoring timeout after 5 ms"}, 500, "True", "Scoring timeout after 5 ms"},
		"too many":      {&tensor.Failure{Kind: tensor.Overloaded, Cause: "too many requests"}, 503, "False", "too many requests"},
		"stopping":      {&tensor.Failure{Kind: tensor.Unavailable, Cause: "stopping"}, 503, "False", "stopping"},
		"bad request":   {tensor.NewInvalid("x", "is bad"), 400, "False", "x is bad"},
		"caller's time": {context.DeadlineExceeded, 500, "True", "time that the caller gave"},
		"unknown":       {errors.New("secret"), 500, "False", "unexpected internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			New(1000, slog.New(slog.DiscardHandler)).Score(w, httptest.NewRequest(http.MethodPost, "/score", strings.NewReader(`{"x":[[1,2]]}`)), &echo{metadata: single(), err: test.err})
			if w.Code != test.code || !strings.Contains(w.Body.String(), test.want) || w.Header().Get("X-Ms-Run-Function-Failed") != test.failed {
				t.Errorf("got %d %s %v", w.Code, w.Body, w.Header())
			}
		})
	}
	for name, r := range map[string]*http.Request{
		"GET": httptest.NewRequest(http.MethodGet, "/score", nil), "too long": httptest.NewRequest(http.MethodPost, "/score", strings.NewReader(strings.Repeat(" ", 1001))),
	} {
		w := httptest.NewRecorder()
		New(1000, slog.New(slog.DiscardHandler)).Score(w, r, &echo{metadata: single()})
		if want := map[string]int{"GET": 400, "too long": 413}[name]; w.Code != want {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
	}
}

func TestSchemas(t *testing.T) {
	got, err := Schemas(several())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type": "object", "required": ["x", "text"], "properties": {
		"x": {"type": "array", "items": {"type": "integer", "format": "int64"}}, "text": {"type": "array", "items": {"type": "string"}},
		"factor": {"type": "number", "format": "double"}}, "example": {"x": [0], "text": ["text"], "factor": 0}}`
	var g, w any
	if err := errors.Join(json.Unmarshal(got.Input, &g), json.Unmarshal([]byte(want), &w)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Error(diff)
	}
	large := tensor.Metadata{Inputs: []tensor.Spec{{Name: "image", Datatype: tensor.FP16, Shape: []int64{-1, 3, 224, 224}}}}
	if got, err := Schemas(large); err != nil || strings.Contains(string(got.Input), "example") {
		t.Errorf("%s, %v", got.Input, err)
	}
}

// Whatever comes, there is a request that the model can be asked with, or an error.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"x": [[1, 2]]}`, `{"data": [[NaN, 2]]}`, `[[1,2]]`, `{"data": {"x": []}}`, `{"x": [1], "text": ["a"], "factor": 1}`,
		`{"inputs": {"x": {"dims": ["1", "2"], "dataType": 1, "rawData": "AACAPwAAAEA="}}, "outputFilter": ["x"]}`,
		`{"inputs": {"x": {"dims": [1], "dataType": 7, "int64Data": [3]}}, "output_filter": []}`, `{"x": "Infinity\"NaN`, `{`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, one bool) {
		m := several()
		if one {
			m = single()
		}
		request, write, err := parse(body, m)
		if err != nil {
			return
		}
		if err := m.Check(request); err != nil {
			t.Fatalf("%s gave a wrong request: %v", body, err)
		}
		text, err := write(&tensor.Response{Outputs: request.Inputs})
		if err == nil && !json.Valid(text) {
			t.Fatalf("%s gave %s", body, text)
		}
	})
}
