package tensorjson

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// NoTextError says that a tensor of BYTES has an element that is no text, which JSON can't carry.
type NoTextError struct{ Name string }

func (e *NoTextError) Error() string {
	return fmt.Sprintf("%q has bytes that are no UTF-8 text; ask for it as binary data", e.Name)
}

// AppendFlat writes all elements as one array. The error is a *NoTextError.
func AppendFlat(b []byte, t tensor.Tensor) ([]byte, error) {
	b = append(b, '[')
	b, err := appendElements(b, t, 0, t.Len())
	return append(b, ']'), err
}

// AppendNested writes the elements nested as the shape is; a tensor without dimensions is its element. The error is a *NoTextError.
func AppendNested(b []byte, t tensor.Tensor) ([]byte, error) {
	out, _, err := appendNested(b, t, t.Shape, 0)
	return out, err
}

// appendNested writes what shape spans from element i on, and gives the next.
func appendNested(b []byte, t tensor.Tensor, shape []int64, i int) (out []byte, next int, err error) {
	switch len(shape) {
	case 0:
		b, err = appendElements(b, t, i, i+1)
		return b, i + 1, err
	case 1:
		next = i + int(shape[0])
		b, err = appendElements(append(b, '['), t, i, next)
		return append(b, ']'), next, err
	}
	b = append(b, '[')
	for k := range shape[0] {
		if k > 0 {
			b = append(b, ',')
		}
		if b, i, err = appendNested(b, t, shape[1:], i); err != nil {
			return b, i, err
		}
	}
	return append(b, ']'), i, nil
}

// appendElements writes elements with commas between them.
func appendElements(b []byte, t tensor.Tensor, from, to int) ([]byte, error) {
	for i := from; i < to; i++ {
		if i > from {
			b = append(b, ',')
		}
		switch d := t.Datatype; {
		case d == tensor.Bytes:
			if !utf8.Valid(t.Strings[i]) {
				return b, &NoTextError{Name: t.Name}
			}
			b = AppendString(b, string(t.Strings[i]))
		case d == tensor.Bool:
			b = strconv.AppendBool(b, t.Uint(i) != 0)
		case d.IsFloat():
			b = appendFloat(b, t.Float(i), d)
		case d.IsSigned():
			b = strconv.AppendInt(b, t.Int(i), 10)
		default:
			b = strconv.AppendUint(b, t.Uint(i), 10)
		}
	}
	return b, nil
}

// appendFloat writes the shortest number that is read as the same again, always recognisable as no whole number's type.
func appendFloat(b []byte, v float64, d tensor.Datatype) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Infinity"`...)
	}
	bits := 32
	if d == tensor.FP64 {
		bits = 64
	}
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e16) {
		format = 'e'
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, format, -1, bits)
	for _, c := range b[start:] {
		if c == '.' || c == 'e' {
			return b
		}
	}
	return append(b, '.', '0')
}

// AppendString writes a string.
func AppendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
