//go:build cgo

package onnx_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer/internal/onnx"
	"github.com/fairlead/fairlead/scorer/internal/onnxtest"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

func open(t testing.TB, name string) *onnx.Session {
	t.Helper()
	s, err := onnx.Open(onnx.Config{
		Model: onnxtest.Model(name), Name: name, Library: onnxtest.Library(t), Threads: 1, Providers: []onnx.Provider{onnx.CPU},
	}, onnx.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func infer(t *testing.T, s *onnx.Session, inputs ...tensor.Tensor) []tensor.Tensor {
	t.Helper()
	response, err := s.Infer(t.Context(), &tensor.Request{Inputs: inputs})
	if err != nil {
		t.Fatal(err)
	}
	return response.Outputs
}

// rows makes a tensor of any number of equally long rows.
func rows[N tensor.Number](name string, table [][]float64) tensor.Tensor {
	var values []N
	for _, row := range table {
		for _, v := range row {
			values = append(values, N(v))
		}
	}
	return tensor.Of(name, []int64{int64(len(table)), int64(len(table[0]))}, values...)
}

func closeTo(t *testing.T, got tensor.Tensor, want [][]float64) {
	t.Helper()
	if got.Len() != len(want)*len(want[0]) {
		t.Fatalf("%d numbers, want %d", got.Len(), len(want)*len(want[0]))
	}
	for i, row := range want {
		for j, w := range row {
			if g := got.Float(i*len(row) + j); math.Abs(g-w) > 1e-6 {
				t.Errorf("row %d column %d is %.9f, want %.9f", i, j, g, w)
			}
		}
	}
}

func ints(t tensor.Tensor) []int64 {
	out := make([]int64, t.Len())
	for i := range out {
		out[i] = t.Int(i)
	}
	return out
}

func TestAnswersAreThoseOfTheReference(t *testing.T) {
	t.Run("ridge", func(t *testing.T) {
		want := onnxtest.ReferenceOf(t, "ridge")
		closeTo(t, infer(t, open(t, "ridge"), rows[float64]("features", want.Input))[0], want.Output)
	})
	t.Run("digits", func(t *testing.T) {
		want := onnxtest.ReferenceOf(t, "digits")
		got := infer(t, open(t, "digits"), rows[float32]("pixels", want.Input))
		closeTo(t, got[0], want.Output)
		if diff := cmp.Diff(want.Digit, ints(got[1])); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("iris, a sequence of maps", func(t *testing.T) {
		want := onnxtest.ReferenceOf(t, "iris")
		got := infer(t, open(t, "iris"), rows[float32]("X", want.Input))
		closeTo(t, got[1], want.Output)
		if diff := cmp.Diff(want.Label, ints(got[0])); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]int64{3, 3}, got[1].Shape); diff != "" {
			t.Error(diff)
		}
	})
}

func TestMetadata(t *testing.T) {
	want := tensor.Metadata{
		Name: "digits", Platform: "onnx_onnxruntime",
		Inputs: []tensor.Spec{{Name: "pixels", Datatype: tensor.FP32, Shape: []int64{-1, 64}}},
		Outputs: []tensor.Spec{
			{Name: "probabilities", Datatype: tensor.FP32, Shape: []int64{-1, 10}},
			{Name: "digit", Datatype: tensor.Int64, Shape: []int64{-1}},
		},
	}
	if diff := cmp.Diff(want, open(t, "digits").Metadata()); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]bool{"digits": true, "iris": true, "types": true, "scalar": false, "shapes": false, "slow": false} {
		if got := onnx.Batchable(open(t, name).Metadata()); got != want {
			t.Errorf("%s: batchable is %v", name, got)
		}
	}
}

// allTypes asks the model that gives back what it got, with so many rows of two.
func allTypes(n int64) []tensor.Tensor {
	shape := []int64{n, 2}
	of := func(d tensor.Datatype) tensor.Tensor {
		raw := make([]byte, int(n)*2*d.Size())
		for i := range raw {
			if raw[i] = byte(i*7 + 1); d == tensor.Bool {
				raw[i] = byte(i % 2)
			}
		}
		return tensor.Tensor{Name: strings.ToLower(d.String()), Datatype: d, Shape: shape, Raw: raw}
	}
	var inputs []tensor.Tensor
	for d := tensor.Bool; d < tensor.Bytes; d++ {
		inputs = append(inputs, of(d))
	}
	texts := tensor.Tensor{Name: "bytes", Datatype: tensor.Bytes, Shape: shape, Strings: [][]byte{}}
	for i := range int(n) * 2 {
		texts.Strings = append(texts.Strings, []byte(strings.Repeat("ä", i%3)))
	}
	return append(inputs, texts)
}

func TestEveryTypeGoesThereAndBack(t *testing.T) {
	s := open(t, "types")
	for _, n := range []int64{0, 1, 5} {
		inputs := allTypes(n)
		for i, got := range infer(t, s, inputs...) {
			want := inputs[i]
			want.Name += "_out"
			if len(want.Raw) == 0 {
				want.Raw, got.Raw = nil, got.Raw[:len(got.Raw):len(got.Raw)]
				if len(got.Raw) == 0 {
					got.Raw = nil
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d rows, %s: -want +got:\n%s", n, want.Name, diff)
			}
		}
	}
}

// A slice of a body may begin anywhere.
func TestUnalignedMemory(t *testing.T) {
	s := open(t, "ridge")
	want := onnxtest.ReferenceOf(t, "ridge")
	input := rows[float64]("features", want.Input)
	input.Raw = append([]byte{0}, input.Raw...)[1:]
	closeTo(t, infer(t, s, input)[0], want.Output)
}

func TestShapes(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		s := open(t, "scalar")
		for range 2 { // the first run finds out
			got := infer(t, s, tensor.Of[float32]("values", []int64{3}, 1, 2, 3.5), tensor.Of[float32]("factor", []int64{}, 2))
			if diff := cmp.Diff([]tensor.Tensor{tensor.Of[float32]("total", []int64{}, 13)}, got); diff != "" {
				t.Error(diff)
			}
		}
	})
	t.Run("known only after the run", func(t *testing.T) {
		got := infer(t, open(t, "shapes"),
			tensor.Of[float32]("left", []int64{2, 2}, 1, -2, -3, 4), tensor.Of[float32]("right", []int64{2, 2}, 1, 1, 1, 1))
		want := []tensor.Tensor{
			tensor.Of[float32]("sum", []int64{2, 2}, 2, -1, -2, 5), tensor.Of[int64]("where", []int64{2, 2}, 0, 1, 0, 1),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("other than one row for each row", func(t *testing.T) {
		s := open(t, "found")
		for range 2 { // the first run finds out
			got := infer(t, s, tensor.Of[float32]("x", []int64{4}, 0, 5, 0, 6))
			if diff := cmp.Diff([]tensor.Tensor{tensor.Of[int64]("places", []int64{2, 1}, 1, 3)}, got); diff != "" {
				t.Error(diff)
			}
		}
	})
	t.Run("that don't go together", func(t *testing.T) {
		_, err := open(t, "shapes").Infer(t.Context(), &tensor.Request{Inputs: []tensor.Tensor{
			tensor.Of[float32]("left", []int64{2, 2}, 1, 2, 3, 4), tensor.Of[float32]("right", []int64{3, 2}, 1, 2, 3, 4, 5, 6),
		}})
		var failure *tensor.Failure
		if !errors.As(err, &failure) || failure.Kind != tensor.Failed || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
	})
}

func TestWrongRequestsAreToldAll(t *testing.T) {
	_, err := open(t, "digits").Infer(t.Context(), &tensor.Request{
		Inputs:  []tensor.Tensor{tensor.Of[int32]("pixels", []int64{1, 2}, 1, 2), tensor.Of[int32]("more", []int64{1}, 1)},
		Outputs: []string{"digit", "colour"},
	})
	var invalid *tensor.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Violations) != 4 {
		t.Errorf("got %v", err)
	}
	texts := allTypes(1)
	texts[len(texts)-1].Strings[1] = []byte("a\x00b")
	_, err = open(t, "types").Infer(t.Context(), &tensor.Request{Inputs: texts})
	if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "zero byte") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyWhatIsAskedFor(t *testing.T) {
	want := onnxtest.ReferenceOf(t, "digits")
	response, err := open(t, "digits").Infer(t.Context(), &tensor.Request{
		Inputs: []tensor.Tensor{rows[float32]("pixels", want.Input)}, Outputs: []string{"digit"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(response.Outputs) != 1 || response.Outputs[0].Name != "digit" {
		t.Errorf("got %v", response.Outputs)
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	s := open(t, "slow")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	request := func(times int64) *tensor.Request {
		return &tensor.Request{Inputs: []tensor.Tensor{tensor.Of[float32]("start", []int64{1}, 1), tensor.Of("times", []int64{1}, times)}}
	}
	if _, err := s.Infer(ctx, request(math.MaxInt32*1000)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	// The handle of a run that was broken off does not break off another.
	for range 3 {
		response, err := s.Infer(t.Context(), request(10))
		if err != nil || response.Outputs[0].Float(0) != 11 {
			t.Fatalf("got %v, %v", response, err)
		}
	}
}

func TestManyAtTheSameTime(t *testing.T) {
	s := open(t, "digits")
	want := onnxtest.ReferenceOf(t, "digits")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 50 {
				response, err := s.Infer(t.Context(), &tensor.Request{Inputs: []tensor.Tensor{rows[float32]("pixels", want.Input[i:i+1])}})
				if err != nil || response.Outputs[1].Int(0) != want.Digit[i] {
					t.Errorf("row %d: %v, %v", i, response, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestProvidersThatAreNotThere(t *testing.T) {
	var log bytes.Buffer
	s, err := onnx.Open(onnx.Config{
		Model: onnxtest.Model("digits"), Library: onnxtest.Library(t), Threads: 1, Providers: []onnx.Provider{onnx.OpenVINO, onnx.CPU},
	}, onnx.Deps{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	choice := s.Choice()
	if choice.Provider == onnx.OpenVINO {
		t.Skip("OpenVINO is there")
	}
	if choice.Provider != onnx.CPU || len(choice.Refused) != 1 || choice.Refused[0].Cause == "" {
		t.Errorf("got %+v", choice)
	}
	if !strings.Contains(log.String(), "provider=openvino") {
		t.Errorf("the log says %s", log.String())
	}
}

func TestModelsThatCantBeServed(t *testing.T) {
	library := onnxtest.Library(t)
	for name, file := range map[string]string{"missing": "testdata/none.onnx", "no model": "testdata/reference.json"} {
		t.Run(name, func(t *testing.T) {
			_, err := onnx.Open(onnx.Config{Model: file, Library: library, Threads: 1, Providers: []onnx.Provider{onnx.CPU}},
				onnx.Deps{Log: slog.New(slog.DiscardHandler)})
			var model *onnx.ModelError
			if !errors.As(err, &model) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
}
