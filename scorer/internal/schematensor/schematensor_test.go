package schematensor_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer/internal/schematensor"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

const (
	matrix  = `{"type":"array","items":{"type":"array","items":{"type":"number","format":"double"}},"format":"numpy.ndarray"}`
	vector  = `{"type":"array","items":{"type":"integer","format":"int32"},"format":"numpy.ndarray"}`
	input   = `{"type":"object","properties":{"data":` + matrix + `,"k":{"type":"integer","format":"int64"},"tags":{"type":"array","items":{"type":"string"}}},"example":{"data":[[1,2]],"k":3,"tags":["a"]}}`
	nothing = `{"type":"object","example":{}}`
)

func facts(input, output string) worker.Facts {
	return worker.Facts{Schema: &worker.Schema{Input: json.RawMessage(input), Output: json.RawMessage(output)}}
}

func TestMetadata(t *testing.T) {
	inputs := []tensor.Spec{
		{Name: "data", Datatype: tensor.FP64, Shape: []int64{-1, 2}, Optional: true}, {Name: "k", Datatype: tensor.Int64, Shape: []int64{1}, Optional: true},
		{Name: "tags", Datatype: tensor.Bytes, Shape: []int64{-1}, Optional: true},
	}
	for name, test := range map[string]struct {
		output string
		want   []tensor.Spec
	}{
		"array":         {vector, []tensor.Spec{{Name: "output", Datatype: tensor.Int32, Shape: []int64{-1}}}},
		"arrays":        {`{"type":"object","properties":{"b":` + matrix + `,"a":` + vector + `}}`, []tensor.Spec{{Name: "b", Datatype: tensor.FP64, Shape: []int64{-1, -1}}, {Name: "a", Datatype: tensor.Int32, Shape: []int64{-1}}}},
		"not described": {nothing, []tensor.Spec{{Name: "output", Datatype: tensor.Bytes, Shape: []int64{1}}}},
		"mixed":         {`{"type":"object","properties":{"a":` + vector + `,"b":{"type":"object"}}}`, []tensor.Spec{{Name: "output", Datatype: tensor.Bytes, Shape: []int64{1}}}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := schematensor.New(nil, facts(input, test.output))
			if err != nil {
				t.Fatal(err)
			}
			want := tensor.Metadata{Platform: "python_script", Inputs: inputs, Outputs: test.want}
			if diff := cmp.Diff(want, m.Metadata()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestNoTensors(t *testing.T) {
	for name, test := range map[string]struct {
		facts worker.Facts
		want  string
	}{
		"plain":     {worker.Facts{}, "its run() is not decorated with a schema"},
		"pandas":    {facts(`{"properties":{"df":{"type":"array","items":{"type":"object","properties":{}},"format":"pandas.DataFrame:records"}}}`, nothing), `parameter "df" of run() is of type object, tensors have numbers, booleans or texts`},
		"dates":     {facts(`{"properties":{"d":{"type":"array","items":{"type":"string","format":"date-time"}}}}`, nothing), `parameter "d" of run() is of type string date-time`},
		"nothing":   {facts(`{}`, nothing), "no parameter"},
		"no schema": {facts(`[]`, nothing), "can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := schematensor.New(nil, test.facts); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// fakePool keeps what it was asked and answers the same every time.
type fakePool struct {
	asked worker.Request
	reply *worker.Reply
	err   error
}

func (f *fakePool) Score(_ context.Context, r worker.Request) (*worker.Reply, error) {
	f.asked = r
	return f.reply, f.err
}

func TestInfer(t *testing.T) {
	request := &tensor.Request{ID: "i", Inputs: []tensor.Tensor{
		tensor.Of("data", []int64{2, 2}, 1, 2.5, 3, 4), tensor.Of[int64]("k", []int64{1}, 7), tensor.OfStrings("tags", []int64{1}, `"x"`),
	}}
	two := `{"type":"object","properties":{"a":` + vector + `,"b":` + vector + `}}`
	for name, test := range map[string]struct {
		output string
		reply  string
		asked  []string
		want   []tensor.Tensor
		wrong  string
	}{
		"array":     {vector, "[1, 2]", nil, []tensor.Tensor{tensor.Of[int32]("output", []int64{2}, 1, 2)}, ""},
		"one":       {`{"type":"number"}`, "1.5", nil, []tensor.Tensor{tensor.Of("output", []int64{1}, 1.5)}, ""},
		"text":      {nothing, `{"a": null}`, nil, []tensor.Tensor{tensor.OfStrings("output", []int64{1}, `{"a": null}`)}, ""},
		"named":     {two, `{"b": [2], "a": [1], "c": 0}`, nil, []tensor.Tensor{tensor.Of[int32]("a", []int64{1}, 1), tensor.Of[int32]("b", []int64{1}, 2)}, ""},
		"chosen":    {two, `{"b": [2]}`, []string{"b"}, []tensor.Tensor{tensor.Of[int32]("b", []int64{1}, 2)}, ""},
		"missing":   {two, `{"b": [2]}`, nil, nil, `run() did not give what its output schema says: there is no "a"; it gave {"b": [2]}`},
		"no array":  {vector, `{}`, nil, nil, `run() did not give what its output schema says: the value of "output" is no JSON`},
		"no object": {two, `[1]`, nil, nil, "there should be an object"},
	} {
		t.Run(name, func(t *testing.T) {
			pool := &fakePool{reply: &worker.Reply{Outcome: worker.OK, Body: []byte(test.reply)}}
			m, err := schematensor.New(pool, facts(input, test.output))
			if err != nil {
				t.Fatal(err)
			}
			r := *request
			r.Outputs = test.asked
			got, err := m.Infer(context.Background(), &r)
			if test.wrong != "" {
				var failure *tensor.Failure
				if !errors.As(err, &failure) || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("got %v, want %s", err, test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Outputs); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if want := `{"data":[[1.0,2.5],[3.0,4.0]],"k":7,"tags":["\"x\""]}`; string(pool.asked.Body) != want || pool.asked.ID != "i" {
				t.Errorf("run() was asked with %s, want %s", pool.asked.Body, want)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	for name, test := range map[string]struct {
		pool fakePool
		want any
		text string
	}{
		"raised":    {fakePool{reply: &worker.Reply{Outcome: worker.Raised}}, tensor.Failed, "raised"},
		"bad input": {fakePool{reply: &worker.Reply{Outcome: worker.BadInput, Message: "A value is not provided"}}, nil, "does not fit run(): A value is not provided"},
		"refused":   {fakePool{reply: &worker.Reply{Outcome: worker.OK, Status: 422, Body: []byte("no")}}, nil, "refused by run() with status 422: no"},
		"broken":    {fakePool{reply: &worker.Reply{Outcome: worker.OK, Status: 500, Body: []byte("no")}}, tensor.Failed, "status 500: no"},
		"slow":      {fakePool{err: &worker.TimeoutError{Limit: time.Second}}, tensor.TimedOut, "Scoring timeout after 1000 ms"},
		"crash":     {fakePool{err: &worker.CrashError{Cause: "killed"}}, tensor.Failed, "killed"},
		"full":      {fakePool{err: worker.ErrQueueFull}, tensor.Overloaded, "too many"},
		"stopped":   {fakePool{err: worker.ErrStopped}, tensor.Unavailable, "shutting down"},
		"cancelled": {fakePool{err: context.Canceled}, context.Canceled, "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := schematensor.New(&test.pool, facts(input, vector))
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.Infer(context.Background(), &tensor.Request{})
			var got any = err
			var failure *tensor.Failure
			var invalid *tensor.InvalidError
			if errors.As(err, &failure) {
				got = failure.Kind
			} else if errors.As(err, &invalid) {
				got = nil
			}
			if got != test.want || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %v %s", err, test.want, test.text)
			}
		})
	}
}
