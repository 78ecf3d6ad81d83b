package tensorjson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorjson"
)

func TestDecode(t *testing.T) {
	type want struct {
		shape  []int64
		values string
	}
	for name, test := range map[string]struct {
		text     string
		datatype tensor.Datatype
		shape    []int64 // nil: from the nesting
		want     want
		wrong    string
	}{
		"flat":              {"[1, 2,3 ,4]", tensor.FP32, []int64{2, 2}, want{[]int64{2, 2}, "1 2 3 4"}, ""},
		"nested":            {"[[1,2],[3,4]]", tensor.Int8, []int64{2, 2}, want{[]int64{2, 2}, "1 2 3 4"}, ""},
		"shape by nesting":  {" [[[1],[2]]] ", tensor.Uint64, nil, want{[]int64{1, 2, 1}, "1 2"}, ""},
		"scalar":            {"[5]", tensor.FP64, []int64{}, want{[]int64{}, "5"}, ""},
		"bare scalar":       {"5", tensor.FP64, []int64{}, want{[]int64{}, "5"}, ""},
		"nothing":           {"[]", tensor.FP64, []int64{0, 3}, want{[]int64{0, 3}, ""}, ""},
		"rows of nothing":   {"[[],[]]", tensor.Bytes, nil, want{[]int64{2, 0}, ""}, ""},
		"not finite":        {`[NaN,"Infinity",-Infinity]`, tensor.FP32, nil, want{[]int64{3}, "NaN +Inf -Inf"}, ""},
		"texts":             {`["a","\u00fc","ü\n"]`, tensor.Bytes, nil, want{[]int64{3}, "a ü ü\n"}, ""},
		"booleans":          {`[true,false]`, tensor.Bool, nil, want{[]int64{2}, "1 0"}, ""},
		"whole as float":    {`[3.0,1e2,-0.0]`, tensor.Int16, nil, want{[]int64{3}, "3 100 0"}, ""},
		"greatest":          {`[9223372036854775807,-9223372036854775808]`, tensor.Int64, nil, want{[]int64{2}, "9223372036854775807 -9223372036854775808"}, ""},
		"uneven":            {"[[1,2],[3]]", tensor.FP32, nil, want{}, "is not evenly nested: element [1] has 1 elements, others have 2"},
		"uneven depth":      {"[[1],2]", tensor.FP32, nil, want{}, "is not evenly nested: element [1] is at depth 1, others are at 2"},
		"deeper":            {"[1,[2]]", tensor.FP32, nil, want{}, "is not evenly nested"},
		"other shape":       {"[[1,2,3]]", tensor.FP32, []int64{3, 1}, want{}, "is nested as [1 3], the shape is [3 1]"},
		"too few":           {"[1]", tensor.FP32, []int64{2}, want{}, "is nested as [1], the shape is [2]"},
		"too great":         {"[1,300]", tensor.Uint8, nil, want{}, "does not fit: element [1] is 300, it must be a whole number from 0 to 255"},
		"negative":          {"[-1]", tensor.Uint64, nil, want{}, "from 0 to 18446744073709551615"},
		"negative zero":     {"[-0]", tensor.Uint64, nil, want{}, "from 0 to 18446744073709551615"},
		"not whole":         {"[[1.5]]", tensor.Int32, nil, want{}, "element [0][0] is 1.5, it must be a whole number from -2147483648 to 2147483647"},
		"too great a float": {"[1e39]", tensor.FP32, nil, want{}, "a number of FP32"},
		"too great a half":  {"[70000]", tensor.FP16, nil, want{}, "a number of FP16"},
		"text as number":    {`["1"]`, tensor.FP32, nil, want{}, `element [0] is "1", it must be a number`},
		"number as text":    {`[1]`, tensor.Bytes, nil, want{}, "it must be a string"},
		"number as boolean": {`[1]`, tensor.Bool, nil, want{}, "it must be true or false"},
		"null":              {`[null]`, tensor.FP64, nil, want{}, "element [0] is null, it must be a number"},
		"hexadecimal":       {`[0x10]`, tensor.FP64, nil, want{}, "must be a number"},
		"object":            {`[{}]`, tensor.FP64, nil, want{}, "is no JSON: at byte 1"},
		"cut off":           {`[1,`, tensor.FP64, nil, want{}, "is no JSON: at byte 3"},
		"more":              {`[1] 2`, tensor.FP64, nil, want{}, "is no JSON: at byte 4 there should be nothing more"},
		"too deep":          {strings.Repeat("[", 70), tensor.FP64, nil, want{}, "less depth"},
	} {
		t.Run(name, func(t *testing.T) {
			decode := func() (tensor.Tensor, error) {
				if test.shape == nil {
					return tensorjson.DecodeNested([]byte(test.text), test.datatype)
				}
				return tensorjson.Decode([]byte(test.text), test.datatype, test.shape)
			}
			got, err := decode()
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("got %v, want %s", err, test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, want{got.Shape, show(got)}, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func show(t tensor.Tensor) string {
	texts := make([]string, t.Len())
	for i := range texts {
		switch d := t.Datatype; {
		case d == tensor.Bytes:
			texts[i] = string(t.Strings[i])
		case d.IsFloat():
			texts[i] = fmt.Sprint(t.Float(i))
		case d.IsSigned():
			texts[i] = fmt.Sprint(t.Int(i))
		default:
			texts[i] = fmt.Sprint(t.Uint(i))
		}
	}
	return strings.Join(texts, " ")
}

func TestEncode(t *testing.T) {
	for name, test := range map[string]struct {
		tensor       tensor.Tensor
		flat, nested string
	}{
		"floats":     {tensor.Of[float32]("", []int64{2, 2}, 1, 0.1, -1e-7, 3e20), `[1.0,0.1,-1e-07,3e+20]`, `[[1.0,0.1],[-1e-07,3e+20]]`},
		"not finite": {tensor.Of("", []int64{3}, math.NaN(), math.Inf(1), math.Inf(-1)), `["NaN","Infinity","-Infinity"]`, `["NaN","Infinity","-Infinity"]`},
		"integers":   {tensor.Of[int8]("", []int64{1, 2}, -1, 7), `[-1,7]`, `[[-1,7]]`},
		"booleans":   {tensor.Tensor{Datatype: tensor.Bool, Shape: []int64{2}, Raw: []byte{0, 1}}, `[false,true]`, `[false,true]`},
		"texts":      {tensor.OfStrings("", []int64{1, 2}, "a", "\"ü"), `["a","\"ü"]`, `[["a","\"ü"]]`},
		"scalar":     {tensor.Of("", nil, 2.5), `[2.5]`, `2.5`},
		"nothing":    {tensor.Of[int32]("", []int64{2, 0}), `[]`, `[[],[]]`},
	} {
		t.Run(name, func(t *testing.T) {
			flat, err := tensorjson.AppendFlat(nil, test.tensor)
			nested, err2 := tensorjson.AppendNested(nil, test.tensor)
			if err != nil || err2 != nil || string(flat) != test.flat || string(nested) != test.nested {
				t.Errorf("got %s and %s, want %s and %s; errors %v %v", flat, nested, test.flat, test.nested, err, err2)
			}
		})
	}
	if _, err := tensorjson.AppendFlat(nil, tensor.OfStrings("x", []int64{1}, "\xff")); err == nil {
		t.Error("bytes that are no text must be refused")
	}
}

// What is written is valid JSON, and is read as the same again, bit by bit.
func TestComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := tensor.Datatype(rapid.Uint8Range(uint8(tensor.Bool), uint8(tensor.Bytes)).Draw(t, "datatype"))
		shape := rapid.SliceOfN(rapid.Int64Range(0, 4), 0, 3).Draw(t, "shape")
		n, _ := tensor.Elements(shape)
		in := tensor.Tensor{Datatype: d, Shape: shape}
		for range n {
			switch bits := rapid.Uint64().Draw(t, "element"); {
			case d == tensor.Bytes:
				in.Strings = append(in.Strings, []byte(rapid.String().Draw(t, "text")))
			case d == tensor.Bool:
				in.Raw = append(in.Raw, byte(bits&1))
			default:
				in.Raw = tensor.AppendInt(in.Raw, d, bits)
			}
		}
		for i := range in.Len() {
			if d.IsFloat() && math.IsNaN(in.Float(i)) {
				t.Skip("NaN has many spellings in bits")
			}
		}
		flat, err := tensorjson.AppendFlat(nil, in)
		nested, err2 := tensorjson.AppendNested(nil, in)
		if err != nil || err2 != nil || !json.Valid(flat) || !json.Valid(nested) {
			t.Fatalf("got %s and %s; errors %v %v", flat, nested, err, err2)
		}
		for _, text := range [][]byte{flat, nested} {
			out, err := tensorjson.Decode(text, d, shape)
			if err != nil || !bytes.Equal(in.Raw, out.Raw) || !bytes.Equal(bytes.Join(in.Strings, []byte{0}), bytes.Join(out.Strings, []byte{0})) {
				t.Fatalf("%s became %v, want %v; error %v", text, out, in, err)
			}
		}
	})
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte(`{"a": [1, {"b\u0041": "c"}], "": null, "x": NaN}`))
	f.Add([]byte(`[[], {}, -1.5e3, "\\\"", true]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		members, items := map[string]json.RawMessage{}, []json.RawMessage{}
		err := tensorjson.Fields(text, func(name string, value []byte) error {
			members[name] = value
			return nil
		})
		var want map[string]json.RawMessage
		if json.Unmarshal(text, &want) == nil && want != nil && !tooDeep(err) {
			if diff := cmp.Diff(want, members, cmp.Transformer("compact", compact)); err != nil || diff != "" {
				t.Errorf("%q: %v, -want +got:\n%s", text, err, diff)
			}
		}
		err = tensorjson.Items(text, func(_ int, value []byte) error {
			items = append(items, value)
			return nil
		})
		var list []json.RawMessage
		if json.Unmarshal(text, &list) == nil && list != nil && !tooDeep(err) {
			if diff := cmp.Diff(list, items, cmp.Transformer("compact", compact)); err != nil || diff != "" {
				t.Errorf("%q: %v, -want +got:\n%s", text, err, diff)
			}
		}
	})
}

func compact(m json.RawMessage) string { return string(m) }

func tooDeep(err error) bool { return err != nil && strings.Contains(err.Error(), "less depth") }

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`[[1,2.5],[NaN,-1e3]]`), uint8(tensor.FP32))
	f.Add([]byte(`["a","\ud800",""]`), uint8(tensor.Bytes))
	f.Add([]byte(`[true,[false]]`), uint8(tensor.Bool))
	f.Add([]byte(`[18446744073709551615, 1e3]`), uint8(tensor.Uint64))
	f.Fuzz(func(t *testing.T, text []byte, datatype uint8) {
		d := tensor.Datatype(datatype)
		got, err := tensorjson.DecodeNested(text, d)
		if err != nil {
			return
		}
		if n, err := tensor.Elements(got.Shape); err != nil || got.Len() != n {
			t.Fatalf("%q has %d elements in shape %v", text, got.Len(), got.Shape)
		}
		again, err := tensorjson.AppendNested(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		back, err := tensorjson.Decode(again, d, got.Shape)
		if err != nil || show(back) != show(got) {
			t.Errorf("%q became %s, that became %v %v", text, again, back, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	values := make([]float32, 100_000)
	for i := range values {
		values[i] = float32(i) / 7
	}
	text, err := tensorjson.AppendFlat(nil, tensor.Of("", []int64{1000, 100}, values...))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tensorjson.Decode(text, tensor.FP32, []int64{1000, 100}); err != nil {
			b.Fatal(err)
		}
	}
}
