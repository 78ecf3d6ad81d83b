package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Tensor is a named array. Its elements lie one after the other, outermost dimension first: those of BYTES in Strings, all others in
// Raw, little-endian, BOOL as one byte that is 0 or 1.
type Tensor struct {
	Name       string
	Datatype   Datatype
	Shape      []int64
	Raw        []byte
	Strings    [][]byte
	Parameters Parameters
}

// Parameters are what a protocol says beside tensors. Values are bool, int64, uint64, float64 or string.
type Parameters map[string]any

// Len is the number of elements that there are, whatever the shape says.
func (t Tensor) Len() int {
	if size := t.Datatype.Size(); size > 0 {
		return len(t.Raw) / size
	}
	return len(t.Strings)
}

// check says what makes the tensor none: data that isn't what datatype and shape say.
func (t Tensor) check() error {
	if t.Datatype == Invalid || t.Datatype > Bytes {
		return fmt.Errorf("has no datatype")
	}
	want, err := Elements(t.Shape)
	if err != nil {
		return err
	}
	size := t.Datatype.Size()
	if size > 0 && len(t.Raw) != want*size {
		return fmt.Errorf("has %d bytes of data, but shape %v of %s needs %d", len(t.Raw), t.Shape, t.Datatype, want*size)
	}
	if size == 0 && len(t.Strings) != want {
		return fmt.Errorf("has %d elements, but shape %v needs %d", len(t.Strings), t.Shape, want)
	}
	if t.Datatype == Bool {
		for i, b := range t.Raw {
			if b > 1 {
				return fmt.Errorf("element %d is %d, BOOL must be 0 or 1", i, b)
			}
		}
	}
	return nil
}

// Number is what the elements of most datatypes are in Go. FP16 and BF16 have none; Float and AppendFloat convert them.
type Number interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int8 | ~int16 | ~int32 | ~int64 | ~float32 | ~float64
}

// Of makes a tensor of numbers; their type decides the datatype.
func Of[N Number](name string, shape []int64, values ...N) Tensor {
	t := Tensor{Name: name, Datatype: datatypeOf[N](), Shape: shape}
	t.Raw = make([]byte, 0, len(values)*t.Datatype.Size())
	for _, v := range values {
		switch t.Datatype {
		case FP32, FP64:
			t.Raw = AppendFloat(t.Raw, t.Datatype, float64(v))
		default:
			t.Raw = AppendInt(t.Raw, t.Datatype, uint64(v))
		}
	}
	return t
}

// OfStrings makes a tensor of texts.
func OfStrings(name string, shape []int64, values ...string) Tensor {
	t := Tensor{Name: name, Datatype: Bytes, Shape: shape, Strings: make([][]byte, len(values))}
	for i, v := range values {
		t.Strings[i] = []byte(v)
	}
	return t
}

func datatypeOf[N Number]() Datatype {
	var half N = 1
	size := binary.Size(half)
	negative := half - 2
	switch {
	case half/2 != 0 && size == 4:
		return FP32
	case half/2 != 0:
		return FP64
	case negative < 0:
		return map[int]Datatype{1: Int8, 2: Int16, 4: Int32, 8: Int64}[size]
	}
	return map[int]Datatype{1: Uint8, 2: Uint16, 4: Uint32, 8: Uint64}[size]
}

// AppendInt appends a whole number of any type, signed ones in two's complement.
func AppendInt(raw []byte, d Datatype, bits uint64) []byte {
	switch d.Size() {
	case 1:
		return append(raw, byte(bits))
	case 2:
		return binary.LittleEndian.AppendUint16(raw, uint16(bits))
	case 4:
		return binary.LittleEndian.AppendUint32(raw, uint32(bits))
	}
	return binary.LittleEndian.AppendUint64(raw, bits)
}

// AppendFloat appends a number of a floating-point type, rounded to the nearest.
func AppendFloat(raw []byte, d Datatype, v float64) []byte {
	switch d {
	case FP16:
		return binary.LittleEndian.AppendUint16(raw, halfOf(v))
	case BF16:
		return binary.LittleEndian.AppendUint16(raw, brainOf(v))
	case FP32:
		return binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
	default:
		return binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
}

// Int gives element i of a signed type.
func (t Tensor) Int(i int) int64 {
	switch bits := t.bits(i); t.Datatype {
	case Int8:
		return int64(int8(bits))
	case Int16:
		return int64(int16(bits))
	case Int32:
		return int64(int32(bits))
	default:
		return int64(bits)
	}
}

// Uint gives element i of an unsigned type or of BOOL.
func (t Tensor) Uint(i int) uint64 { return t.bits(i) }

// Float gives element i of a floating-point type.
func (t Tensor) Float(i int) float64 {
	switch bits := t.bits(i); t.Datatype {
	case FP16:
		return halfValue(uint16(bits))
	case BF16:
		return float64(math.Float32frombits(uint32(bits) << 16))
	case FP32:
		return float64(math.Float32frombits(uint32(bits)))
	default:
		return math.Float64frombits(bits)
	}
}

func (t Tensor) bits(i int) uint64 {
	switch t.Datatype.Size() {
	case 1:
		return uint64(t.Raw[i])
	case 2:
		return uint64(binary.LittleEndian.Uint16(t.Raw[2*i:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(t.Raw[4*i:]))
	}
	return binary.LittleEndian.Uint64(t.Raw[8*i:])
}
