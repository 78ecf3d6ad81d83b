package conformance

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// tensor is an input or an output with its elements: float64, bool or string each.
type tensor struct {
	tensorSpec
	elements []any
}

// samples makes an input of ones for each that the model takes and that is not to be left out; dimensions that are free are 1.
func (c *client) samples(specs []tensorSpec) []tensor {
	var out []tensor
	for _, s := range specs {
		if slices.Contains(c.target.LeaveOut, s.Name) {
			continue
		}
		t := tensor{tensorSpec: tensorSpec{s.Name, s.Datatype, append([]int64{}, s.Shape...)}}
		for k, dim := range t.Shape {
			if dim < 0 {
				t.Shape[k] = 1
			}
		}
		for range count(t.Shape) {
			t.elements = append(t.elements, one(s.Datatype))
		}
		out = append(out, t)
	}
	return out
}

func one(datatype string) any {
	switch datatype {
	case "BOOL":
		return true
	case "BYTES":
		return "1"
	}
	return 1.0
}

func count(shape []int64) int64 {
	n := int64(1)
	for _, dim := range shape {
		n *= dim
	}
	return n
}

// nested gives the elements nested as the shape is.
func (t tensor) nested() any {
	at := 0
	var nest func(shape []int64) any
	nest = func(shape []int64) any {
		if len(shape) == 0 {
			at++
			return t.elements[at-1]
		}
		out := []any{}
		for range shape[0] {
			out = append(out, nest(shape[1:]))
		}
		return out
	}
	return nest(t.Shape)
}

func elementSize(datatype string) int {
	switch datatype {
	case "BOOL", "UINT8", "INT8":
		return 1
	case "UINT16", "INT16", "FP16", "BF16":
		return 2
	case "UINT32", "INT32", "FP32":
		return 4
	case "UINT64", "INT64", "FP64":
		return 8
	}
	return 0
}

// raw gives the elements in the binary form. They must be those of samples.
func (t tensor) raw() []byte {
	var out []byte
	for range t.elements {
		switch t.Datatype {
		case "BYTES":
			out = append(out, 1, 0, 0, 0, '1')
		case "FP16":
			out = binary.LittleEndian.AppendUint16(out, 0x3c00)
		case "BF16":
			out = binary.LittleEndian.AppendUint16(out, 0x3f80)
		case "FP32":
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(1))
		case "FP64":
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(1))
		default:
			out = append(out, binary.LittleEndian.AppendUint64(nil, 1)[:elementSize(t.Datatype)]...)
		}
	}
	return out
}

// readRaw reads elements in the binary form.
func readRaw(datatype string, raw []byte) ([]any, error) {
	out := []any{}
	for len(raw) > 0 {
		size := elementSize(datatype)
		if datatype == "BYTES" {
			if len(raw) < 4 {
				return nil, fmt.Errorf("BYTES end within a length")
			}
			size = int(binary.LittleEndian.Uint32(raw))
			raw = raw[4:]
		}
		if size > len(raw) || size == 0 && datatype != "BYTES" {
			return nil, fmt.Errorf("%d bytes are no elements of %s", len(raw), datatype)
		}
		out = append(out, element(datatype, raw[:size]))
		raw = raw[size:]
	}
	return out, nil
}

func element(datatype string, b []byte) any {
	bits := binary.LittleEndian.Uint64(append(append([]byte{}, b...), make([]byte, 8)...))
	switch datatype {
	case "BYTES":
		return string(b)
	case "BOOL":
		return bits != 0
	case "INT8":
		return float64(int8(bits))
	case "INT16":
		return float64(int16(bits))
	case "INT32":
		return float64(int32(bits))
	case "INT64":
		return float64(int64(bits))
	case "FP32":
		return float64(math.Float32frombits(uint32(bits)))
	case "BF16":
		return float64(math.Float32frombits(uint32(bits) << 16))
	case "FP64":
		return math.Float64frombits(bits)
	case "FP16":
		return half(uint16(bits))
	}
	return float64(bits)
}

func half(bits uint16) float64 {
	exponent, fraction := int(bits>>10)&0x1f, float64(bits&0x3ff)
	value := math.Ldexp(1024+fraction, exponent-25)
	switch {
	case exponent == 0:
		value = math.Ldexp(fraction, -24)
	case exponent == 0x1f && fraction != 0:
		return math.NaN()
	case exponent == 0x1f:
		value = math.Inf(1)
	}
	if bits&0x8000 != 0 {
		return -value
	}
	return value
}

// flatten reads the elements of JSON data, nested or flat.
func flatten(data any) []any {
	list, ok := data.([]any)
	if !ok {
		return []any{data}
	}
	out := []any{}
	for _, item := range list {
		out = append(out, flatten(item)...)
	}
	return out
}

// same compares outputs by name, numbers but for what a type's precision and its spelling lose.
func same(a, b []tensor) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d outputs against %d", len(a), len(b))
	}
	for i := range a {
		x, y := a[i], b[i]
		if x.Name != y.Name || x.Datatype != y.Datatype || fmt.Sprint(x.Shape) != fmt.Sprint(y.Shape) || len(x.elements) != len(y.elements) {
			return fmt.Errorf("output %d is %s %s %v with %d elements against %s %s %v with %d",
				i, x.Name, x.Datatype, x.Shape, len(x.elements), y.Name, y.Datatype, y.Shape, len(y.elements))
		}
		for k := range x.elements {
			if !near(x.elements[k], y.elements[k]) {
				return fmt.Errorf("element %d of output %s is %v against %v", k, x.Name, x.elements[k], y.elements[k])
			}
		}
	}
	return nil
}

func near(a, b any) bool {
	x, ok := number(a)
	y, ok2 := number(b)
	if !ok || !ok2 {
		return a == b
	}
	const precision = 1e-6
	return x == y || math.IsNaN(x) && math.IsNaN(y) || math.Abs(x-y) <= precision*math.Max(math.Abs(x), math.Abs(y))
}

// number reads numbers and the names of those that are not finite, which JSON has as strings where it has them at all.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		switch v {
		case "NaN", "Infinity", "-Infinity":
			f, err := strconv.ParseFloat(v, 64)
			return f, err == nil
		}
	}
	return 0, false
}

// must writes JSON of maps and lists, which always can be written.
func must(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}
