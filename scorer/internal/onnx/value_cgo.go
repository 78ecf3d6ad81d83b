//go:build cgo

package onnx

import (
	"bytes"
	"fmt"
	"slices"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// spare is memory for tensors without elements, which must have an address all the same.
const spare = 8

// elementTypes are ONNX Runtime's names of the datatypes.
func elementTypes() [tensor.Bytes + 1]ort.TensorElementDataType {
	return [...]ort.TensorElementDataType{
		tensor.Invalid: ort.TensorElementDataTypeUndefined,
		tensor.Bool:    ort.TensorElementDataTypeBool,
		tensor.Uint8:   ort.TensorElementDataTypeUint8,
		tensor.Uint16:  ort.TensorElementDataTypeUint16,
		tensor.Uint32:  ort.TensorElementDataTypeUint32,
		tensor.Uint64:  ort.TensorElementDataTypeUint64,
		tensor.Int8:    ort.TensorElementDataTypeInt8,
		tensor.Int16:   ort.TensorElementDataTypeInt16,
		tensor.Int32:   ort.TensorElementDataTypeInt32,
		tensor.Int64:   ort.TensorElementDataTypeInt64,
		tensor.FP16:    ort.TensorElementDataTypeFloat16,
		tensor.FP32:    ort.TensorElementDataTypeFloat,
		tensor.FP64:    ort.TensorElementDataTypeDouble,
		tensor.BF16:    ort.TensorElementDataTypeBFloat16,
		tensor.Bytes:   ort.TensorElementDataTypeString,
	}
}

func datatypeOf(e ort.TensorElementDataType) tensor.Datatype {
	types := elementTypes()
	return tensor.Datatype(max(0, slices.Index(types[:], e)))
}

// isHalf reports whether the binding has no type for the elements: such outputs have to be made before a run.
func isHalf(d tensor.Datatype) bool { return d == tensor.FP16 || d == tensor.BF16 }

// inputs gives a checked request's tensors to ONNX Runtime, in the model's order. The caller destroys them after the run, until when
// their memory is the request's.
func (s *Session) inputs(r *tensor.Request) ([]ort.Value, error) {
	values := make([]ort.Value, len(s.metadata.Inputs))
	for i, spec := range s.metadata.Inputs {
		at := slices.IndexFunc(r.Inputs, func(t tensor.Tensor) bool { return t.Name == spec.Name })
		value, err := toValue(r.Inputs[at])
		if err != nil {
			destroy(values)
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

func toValue(t tensor.Tensor) (ort.Value, error) {
	switch {
	case t.Datatype == tensor.Bytes:
		return toStrings(t)
	case len(t.Shape) == 0:
		return kindOf(t.Datatype).scalar(t.Raw)
	}
	raw := t.Raw
	if len(raw) == 0 {
		raw = make([]byte, spare)
	}
	if uintptr(unsafe.Pointer(&raw[0]))%uintptr(t.Datatype.Size()) != 0 {
		raw = append(make([]byte, 0, max(spare, len(raw))), raw...)
	}
	return ort.NewCustomDataTensor(t.Shape, raw, elementTypes()[t.Datatype])
}

func toStrings(t tensor.Tensor) (ort.Value, error) {
	texts := make([]string, len(t.Strings))
	var invalid tensor.InvalidError
	for i, s := range t.Strings {
		if bytes.IndexByte(s, 0) >= 0 {
			invalid.Violations = append(invalid.Violations, tensor.Violation{
				Field: fmt.Sprintf("element %d of input %q", i, t.Name), Description: "has a zero byte, which ONNX Runtime can't take in a text",
			})
		}
		texts[i] = string(s)
	}
	if len(invalid.Violations) > 0 {
		return nil, &invalid
	}
	value, err := ort.NewStringTensor(t.Shape)
	if err != nil {
		return nil, err
	}
	if err := value.SetContents(texts); err != nil {
		_ = value.Destroy()
		return nil, err
	}
	return value, nil
}

// outputs makes those outputs that ONNX Runtime can't make itself and, when expected, those whose shape can be told before, which
// spares copying them. The others stay nil.
func (s *Session) outputs(r *tensor.Request, expected bool) ([]ort.Value, error) {
	values := make([]ort.Value, len(s.metadata.Outputs))
	for i, spec := range s.metadata.Outputs {
		var err error
		switch {
		case s.scalars[i].Load():
			values[i], err = kindOf(spec.Datatype).scalar(make([]byte, spec.Datatype.Size()))
		case isHalf(spec.Datatype), expected && isForeseeable(spec):
			shape := slices.Clone(spec.Shape)
			if shape[0] < 0 {
				shape[0] = s.rows(r)
			}
			var n int
			if n, err = tensor.Elements(shape); err == nil {
				values[i], err = ort.NewCustomDataTensor(shape, make([]byte, max(spare, n*spec.Datatype.Size())), elementTypes()[spec.Datatype])
			}
		}
		if err != nil {
			destroy(values)
			return nil, err
		}
	}
	return values, nil
}

// isForeseeable reports whether only the first dimension of an output may be open, which most models answer with a row per row.
func isForeseeable(spec tensor.Spec) bool {
	return spec.Datatype != tensor.Bytes && len(spec.Shape) > 0 && !slices.ContainsFunc(spec.Shape[1:], func(dim int64) bool { return dim < 0 })
}

// rows is the first dimension of the first input that has a free one.
func (s *Session) rows(r *tensor.Request) int64 {
	for _, spec := range s.metadata.Inputs {
		if len(spec.Shape) == 0 || spec.Shape[0] >= 0 {
			continue
		}
		for _, t := range r.Inputs {
			if t.Name == spec.Name {
				return t.Shape[0]
			}
		}
	}
	return 1
}

// fromValue takes an output over from ONNX Runtime. Its memory is its own.
func fromValue(spec tensor.Spec, v ort.Value) (tensor.Tensor, error) {
	t := tensor.Tensor{Name: spec.Name, Datatype: spec.Datatype, Shape: append([]int64{}, v.GetShape()...)}
	switch v := v.(type) {
	case *ort.StringTensor:
		texts, err := v.GetContents()
		if err != nil {
			return t, err
		}
		t.Datatype, t.Strings = tensor.Bytes, make([][]byte, len(texts))
		for i, text := range texts {
			t.Strings[i] = []byte(text)
		}
	case *ort.CustomDataTensor:
		n, err := tensor.Elements(t.Shape)
		if err != nil {
			return t, err
		}
		t.Raw = v.GetData()[:n*spec.Datatype.Size()]
	case *ort.Sequence:
		return table(spec, v)
	default:
		raw, ok := kindOf(spec.Datatype).raw(v)
		if !ok {
			return t, fmt.Errorf("has elements of another type than the model's %s", spec.Datatype)
		}
		t.Raw = raw
	}
	return t, nil
}

// kind has what depends on a datatype's type in Go.
type kind struct {
	// scalar makes a value without dimensions.
	scalar func(raw []byte) (ort.Value, error)
	// raw gives the memory of a value. It reports false for one of another type.
	raw func(ort.Value) ([]byte, bool)
}

func kindOf(d tensor.Datatype) kind {
	switch d {
	case tensor.Bool:
		return kindFor[bool]()
	case tensor.Uint8:
		return kindFor[uint8]()
	case tensor.Uint16:
		return kindFor[uint16]()
	case tensor.Uint32:
		return kindFor[uint32]()
	case tensor.Uint64:
		return kindFor[uint64]()
	case tensor.Int8:
		return kindFor[int8]()
	case tensor.Int16:
		return kindFor[int16]()
	case tensor.Int32:
		return kindFor[int32]()
	case tensor.Int64:
		return kindFor[int64]()
	case tensor.FP32:
		return kindFor[float32]()
	case tensor.FP64:
		return kindFor[float64]()
	default:
		return kind{
			scalar: func([]byte) (ort.Value, error) { return nil, fmt.Errorf("%s without dimensions can't be sent", d) },
			raw:    func(ort.Value) ([]byte, bool) { return nil, false },
		}
	}
}

func kindFor[T ort.TensorData]() kind {
	return kind{
		scalar: func(raw []byte) (ort.Value, error) {
			one := make([]T, 1)
			copy(memory(one), raw)
			return ort.NewScalar(one[0])
		},
		raw: func(v ort.Value) ([]byte, bool) {
			switch v := v.(type) {
			case *ort.Tensor[T]:
				return memory(v.GetData()), true
			case *ort.Scalar[T]:
				return memory([]T{v.GetData()}), true
			}
			return nil, false
		},
	}
}

// memory gives the bytes of numbers: little-endian, as on all machines that ONNX Runtime's library is built for.
func memory[T ort.TensorData](values []T) []byte {
	if len(values) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), len(values)*int(unsafe.Sizeof(values[0])))
}
