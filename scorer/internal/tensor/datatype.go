package tensor

import (
	"fmt"
	"math"
)

// Datatype is the type of a tensor's elements.
type Datatype uint8

// Datatypes of the Open Inference Protocol. BYTES are texts or any bytes, of any length each.
const (
	Invalid Datatype = iota
	Bool
	Uint8
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	FP16
	FP32
	FP64
	BF16
	Bytes
)

// datatypeNames are in the order of the constants.
func datatypeNames() [Bytes + 1]string {
	return [...]string{
		"INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16", "BYTES",
	}
}

// ParseDatatype reads a name such as FP32. It reports false for one that is none.
func ParseDatatype(name string) (Datatype, bool) {
	for d, known := range datatypeNames() {
		if d != int(Invalid) && known == name {
			return Datatype(d), true
		}
	}
	return Invalid, false
}

func (d Datatype) String() string {
	if d > Bytes {
		d = Invalid
	}
	return datatypeNames()[d]
}

// Size is the size of an element in bytes; 0 for BYTES, whose elements differ.
func (d Datatype) Size() int {
	switch d {
	case Bool, Uint8, Int8:
		return 1
	case Uint16, Int16, FP16, BF16:
		return 2
	case Uint32, Int32, FP32:
		return 4
	case Uint64, Int64, FP64:
		return 8
	default:
		return 0
	}
}

// IsFloat reports whether elements are floating-point numbers.
func (d Datatype) IsFloat() bool { return d >= FP16 && d <= BF16 }

// IsSigned reports whether elements are whole numbers with a sign.
func (d Datatype) IsSigned() bool { return d >= Int8 && d <= Int64 }

// IsUnsigned reports whether elements are whole numbers without a sign.
func (d Datatype) IsUnsigned() bool { return d >= Uint8 && d <= Uint64 }

// SignedRange gives the least and the greatest number of a signed type.
func (d Datatype) SignedRange() (least, greatest int64) {
	bits := d.Size() * 8
	return -1 << (bits - 1), 1<<(bits-1) - 1
}

// UnsignedMax gives the greatest number of an unsigned type.
func (d Datatype) UnsignedMax() uint64 {
	return math.MaxUint64 >> (64 - d.Size()*8)
}

// maxElements bounds a tensor: products of dimensions stay far from overflow.
const maxElements = 1 << 40

// Elements gives the number of elements of a shape with all dimensions known.
func Elements(shape []int64) (int, error) {
	n := int64(1)
	for i, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("dimension %d of the shape is %d, it must be 0 or more", i, dim)
		}
		if dim > maxElements || n*dim > maxElements {
			return 0, fmt.Errorf("the shape %v has too many elements", shape)
		}
		n *= dim
	}
	return int(n), nil
}
