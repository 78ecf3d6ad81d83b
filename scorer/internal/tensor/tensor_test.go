package tensor_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

func TestDatatypes(t *testing.T) {
	got := map[string]int{}
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		parsed, ok := tensor.ParseDatatype(d.String())
		if !ok || parsed != d {
			t.Errorf("%s is read as %s", d, parsed)
		}
		got[d.String()] = d.Size()
	}
	want := map[string]int{
		"BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
		"FP16": 2, "FP32": 4, "FP64": 8, "BF16": 2, "BYTES": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sizes -want +got:\n%s", diff)
	}
	for _, name := range []string{"", "fp32", "INVALID", "STRING"} {
		if d, ok := tensor.ParseDatatype(name); ok {
			t.Errorf("%q is read as %s", name, d)
		}
	}
}

func TestOf(t *testing.T) {
	for name, test := range map[string]struct {
		got      tensor.Tensor
		datatype tensor.Datatype
		raw      []byte
	}{
		"uint8":   {tensor.Of[uint8]("x", nil, 255), tensor.Uint8, []byte{255}},
		"uint16":  {tensor.Of[uint16]("x", nil, 0x102), tensor.Uint16, []byte{2, 1}},
		"uint64":  {tensor.Of[uint64]("x", nil, 1<<63), tensor.Uint64, []byte{0, 0, 0, 0, 0, 0, 0, 128}},
		"int8":    {tensor.Of[int8]("x", nil, -1), tensor.Int8, []byte{255}},
		"int32":   {tensor.Of[int32]("x", nil, -2), tensor.Int32, []byte{254, 255, 255, 255}},
		"int64":   {tensor.Of[int64]("x", nil, 1, 2), tensor.Int64, []byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}},
		"float32": {tensor.Of[float32]("x", nil, 1), tensor.FP32, []byte{0, 0, 128, 63}},
		"float64": {tensor.Of[float64]("x", nil, -0.5), tensor.FP64, []byte{0, 0, 0, 0, 0, 0, 224, 191}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.got.Datatype != test.datatype || !cmp.Equal(test.got.Raw, test.raw) {
				t.Errorf("got %s %v, want %s %v", test.got.Datatype, test.got.Raw, test.datatype, test.raw)
			}
		})
	}
}

// Every number comes back as it was put in.
func TestNumbersComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ints, floats := rapid.SliceOf(rapid.Int64()).Draw(t, "ints"), rapid.SliceOf(rapid.Float64()).Draw(t, "floats")
		short := make([]int16, len(ints))
		for i, v := range ints {
			short[i] = int16(v)
		}
		long, little, number := tensor.Of("l", nil, ints...), tensor.Of("s", nil, short...), tensor.Of("f", nil, floats...)
		for i, v := range ints {
			if long.Int(i) != v || little.Int(i) != int64(short[i]) {
				t.Fatalf("%d became %d, %d became %d", v, long.Int(i), short[i], little.Int(i))
			}
		}
		for i, v := range floats {
			if number.Float(i) != v {
				t.Fatalf("%v became %v", v, number.Float(i))
			}
		}
	})
}

// The narrow floating-point types round to the nearest value that they have; of two as near, to the even one.
func TestNarrowFloatsRound(t *testing.T) {
	for _, d := range []tensor.Datatype{tensor.FP16, tensor.BF16} {
		t.Run(d.String(), func(t *testing.T) {
			value := func(bits uint16) float64 {
				return tensor.Tensor{Datatype: d, Raw: []byte{byte(bits), byte(bits >> 8)}}.Float(0)
			}
			infinite := uint16(0x7c00)
			if d == tensor.BF16 {
				infinite = 0x7f80
			}
			round := func(v float64) uint16 {
				raw := tensor.AppendFloat(nil, d, v)
				return uint16(raw[0]) | uint16(raw[1])<<8
			}
			for bits := range infinite {
				low, high := value(bits), value(bits+1)
				if bits+1 == infinite {
					high = 2*low - value(bits-1)
				}
				middle := low + (high-low)/2
				even := bits + bits&1
				for v, want := range map[float64]uint16{
					low: bits, middle: even, math.Nextafter(middle, 0): bits, math.Nextafter(middle, math.Inf(1)): bits + 1,
				} {
					if got := round(v); got != want {
						t.Fatalf("%v became %#x, want %#x", v, got, want)
					}
					if got := round(-v); got != want|0x8000 {
						t.Fatalf("%v became %#x, want %#x", -v, got, want|0x8000)
					}
				}
			}
			if !math.IsNaN(value(round(math.NaN()))) || round(math.Inf(-1)) != infinite|0x8000 || round(math.MaxFloat64) != infinite {
				t.Error("what is no finite number is wrong")
			}
		})
	}
}

func example() tensor.Metadata {
	return tensor.Metadata{
		Name: "m",
		Inputs: []tensor.Spec{
			{Name: "x", Datatype: tensor.FP32, Shape: []int64{-1, 2}},
			{Name: "flag", Datatype: tensor.Bool, Shape: []int64{1}, Optional: true},
			{Name: "text", Datatype: tensor.Bytes, Shape: []int64{}},
		},
		Outputs: []tensor.Spec{{Name: "y", Datatype: tensor.FP32, Shape: []int64{-1}}, {Name: "z", Datatype: tensor.Bytes, Shape: []int64{-1}}},
	}
}

func TestCheck(t *testing.T) {
	x, text := tensor.Of[float32]("x", []int64{1, 2}, 1, 2), tensor.OfStrings("text", nil, "a")
	flag := tensor.Tensor{Name: "flag", Datatype: tensor.Bool, Shape: []int64{1}, Raw: []byte{2}}
	for name, test := range map[string]struct {
		request tensor.Request
		want    []string
	}{
		"right":            {tensor.Request{Inputs: []tensor.Tensor{text, x}, Outputs: []string{"z", "y"}}, nil},
		"nothing":          {tensor.Request{}, []string{`inputs lacks "x" (FP32 [any 2])`, `inputs lacks "text" (BYTES [])`}},
		"twice":            {tensor.Request{Inputs: []tensor.Tensor{x, text, x}}, []string{`inputs[2].name "x" is given twice`}},
		"no boolean":       {tensor.Request{Inputs: []tensor.Tensor{x, text, flag}}, []string{`inputs[2] ("flag") element 0 is 2, BOOL must be 0 or 1`}},
		"output not there": {tensor.Request{Inputs: []tensor.Tensor{x, text}, Outputs: []string{"q", "y", "y"}}, []string{`outputs[0].name is "q", the model gives "y", "z"`, `outputs[2].name "y" is asked for twice`}},
		"all wrong": {tensor.Request{Inputs: []tensor.Tensor{
			tensor.Of[float64]("x", []int64{1, 3}, 1), {Name: "text", Datatype: tensor.Bytes}, tensor.Of[int8]("v", nil),
		}}, []string{
			`inputs[0].datatype of "x" is FP64, it must be FP32`, `inputs[0].shape of "x" is [1 3], it must be [any 2]`,
			`inputs[1] ("text") has 0 elements, but shape [] needs 1`, `inputs[2].name is "v", the model takes "x", "flag", "text"`,
		}},
		"too short": {tensor.Request{Inputs: []tensor.Tensor{text, tensor.Of[float32]("x", []int64{2, 2}, 1, 2, 3)}}, []string{
			`inputs[1] ("x") has 12 bytes of data, but shape [2 2] of FP32 needs 16`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			var invalid *tensor.InvalidError
			if err := example().Check(&test.request); errors.As(err, &invalid) {
				for _, v := range invalid.Violations {
					got = append(got, v.Field+" "+v.Description)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWanted(t *testing.T) {
	names := func(outputs ...string) string {
		var out []string
		for _, s := range example().Wanted(&tensor.Request{Outputs: outputs}) {
			out = append(out, s.Name)
		}
		return strings.Join(out, " ")
	}
	if names() != "y z" || names("z") != "z" || names("z", "y") != "z y" {
		t.Errorf("got %q, %q, %q", names(), names("z"), names("z", "y"))
	}
}

func TestElements(t *testing.T) {
	for name, test := range map[string]struct {
		shape []int64
		want  int
		wrong bool
	}{
		"scalar": {nil, 1, false}, "vector": {[]int64{3}, 3, false}, "empty": {[]int64{0, 5}, 0, false}, "matrix": {[]int64{2, 3}, 6, false},
		"unknown": {[]int64{-1}, 0, true}, "overflow": {[]int64{1 << 62, 4}, 0, true}, "overflow step by step": {[]int64{1 << 20, 1 << 20, 1 << 20, 1 << 20}, 0, true},
		"hidden by nothing": {[]int64{0, 1 << 62}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tensor.Elements(test.shape)
			if got != test.want || (err != nil) != test.wrong {
				t.Errorf("got %d %v, want %d", got, err, test.want)
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(uint8(11), int64(1), int64(2), []byte("12345678"))
	f.Fuzz(func(t *testing.T, datatype uint8, a, b int64, raw []byte) {
		m := tensor.Metadata{Inputs: []tensor.Spec{{Name: "x", Datatype: tensor.Datatype(datatype), Shape: []int64{-1, -1}}}}
		x := tensor.Tensor{Name: "x", Datatype: tensor.Datatype(datatype), Shape: []int64{a, b}, Raw: raw}
		if m.Check(&tensor.Request{Inputs: []tensor.Tensor{x}}) != nil {
			return
		}
		// What passes can be read to its end.
		for i := range int(a * b) {
			if x.Datatype != tensor.Bytes {
				_ = fmt.Sprint(x.Int(i), x.Uint(i), x.Float(i))
			}
		}
	})
}

func TestBinary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := tensor.OfStrings("x", nil, rapid.SliceOf(rapid.String()).Draw(t, "elements")...)
		raw, err := in.Binary()
		if err != nil {
			t.Fatal(err)
		}
		out := tensor.Tensor{Datatype: tensor.Bytes}
		if err := out.SetBinary(raw); err != nil || len(out.Strings) != len(in.Strings) {
			t.Fatalf("%q became %q, error %v", in.Strings, out.Strings, err)
		}
		for i := range in.Strings {
			if string(in.Strings[i]) != string(out.Strings[i]) {
				t.Fatalf("%q became %q", in.Strings, out.Strings)
			}
		}
	})
}

func FuzzSplitBytes(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00a\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xffa"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		elements, err := tensor.SplitBytes(raw)
		if err != nil {
			return
		}
		back, err := tensor.Tensor{Datatype: tensor.Bytes, Strings: elements}.Binary()
		if err != nil || string(back) != string(raw) {
			t.Errorf("%q became %q, error %v", raw, back, err)
		}
	})
}
