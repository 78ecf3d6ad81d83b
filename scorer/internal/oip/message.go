package oip

import (
	"fmt"

	"github.com/fairlead/fairlead/proto/gen/inference"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// requestOf reads an inference request by gRPC. Its tensors alias the message. The error is a *tensor.InvalidError.
func requestOf(m *inference.ModelInferRequest) (*tensor.Request, error) {
	var wrong tensor.InvalidError
	refuse := func(field, format string, args ...any) {
		wrong.Violations = append(wrong.Violations, tensor.Violation{Field: field, Description: fmt.Sprintf(format, args...)})
	}
	out := &tensor.Request{ID: m.GetId(), Parameters: parametersOf(m.GetParameters())}
	raw := m.GetRawInputContents()
	if len(raw) > 0 && len(raw) != len(m.GetInputs()) {
		refuse("raw_input_contents", "has %d elements for %d inputs, it must have one for each or none at all", len(raw), len(m.GetInputs()))
		return nil, &wrong
	}
	for i, input := range m.GetInputs() {
		field := fieldOf("inputs", i)
		t := tensor.Tensor{Name: input.GetName(), Shape: input.GetShape(), Parameters: parametersOf(input.GetParameters())}
		d, ok := tensor.ParseDatatype(input.GetDatatype())
		if !ok {
			refuse(field+".datatype", "is %q, it must be one of BOOL, UINT8 to UINT64, INT8 to INT64, FP16, FP32, FP64, BF16, BYTES", input.GetDatatype())
			continue
		}
		t.Datatype = d
		var err error
		switch {
		case len(raw) > 0 && !isEmpty(input.GetContents()):
			err = fmt.Errorf("must be empty where raw_input_contents has the elements")
		case len(raw) > 0:
			err = t.SetBinary(raw[i])
		default:
			err = setContents(&t, input.GetContents())
		}
		if err != nil {
			refuse(field+".contents", "%v", err)
		}
		out.Inputs = append(out.Inputs, t)
	}
	for _, output := range m.GetOutputs() {
		out.Outputs = append(out.Outputs, output.GetName())
	}
	if len(wrong.Violations) > 0 {
		return nil, &wrong
	}
	return out, nil
}

// responseMessage gives the outputs of a response. They are raw when the inputs were, and where a type has no other way.
func responseMessage(r *tensor.Response, raw bool) (*inference.ModelInferResponse, error) {
	out := &inference.ModelInferResponse{Parameters: parameterMessages(r.Parameters)}
	for _, t := range r.Outputs {
		raw = raw || !hasContents(t.Datatype)
	}
	for _, t := range r.Outputs {
		output := &inference.ModelInferResponse_InferOutputTensor{
			Name: t.Name, Datatype: t.Datatype.String(), Shape: t.Shape, Parameters: parameterMessages(t.Parameters),
		}
		if raw {
			b, err := t.Binary()
			if err != nil {
				return nil, err
			}
			out.RawOutputContents = append(out.RawOutputContents, b)
		} else {
			output.Contents = contentsOf(t)
		}
		out.Outputs = append(out.Outputs, output)
	}
	return out, nil
}

func hasContents(d tensor.Datatype) bool { return d != tensor.FP16 && d != tensor.BF16 }

func isEmpty(c *inference.InferTensorContents) bool {
	return len(c.GetBoolContents()) == 0 && len(c.GetIntContents()) == 0 && len(c.GetInt64Contents()) == 0 &&
		len(c.GetUintContents()) == 0 && len(c.GetUint64Contents()) == 0 && len(c.GetFp32Contents()) == 0 &&
		len(c.GetFp64Contents()) == 0 && len(c.GetBytesContents()) == 0
}

// setContents gives the tensor the elements that its type's field has.
func setContents(t *tensor.Tensor, c *inference.InferTensorContents) error {
	if !hasContents(t.Datatype) {
		if isEmpty(c) && isNothing(t.Shape) {
			return nil
		}
		return fmt.Errorf("has no field for %s, send it in raw_input_contents", t.Datatype)
	}
	switch d := t.Datatype; {
	case d == tensor.Bool:
		for _, v := range c.GetBoolContents() {
			t.Raw = append(t.Raw, byteOf(v))
		}
	case d == tensor.Int64:
		t.Raw = tensor.Of("", nil, c.GetInt64Contents()...).Raw
	case d.IsSigned():
		return setInts(t, c.GetIntContents())
	case d == tensor.Uint64:
		t.Raw = tensor.Of("", nil, c.GetUint64Contents()...).Raw
	case d.IsUnsigned():
		return setUints(t, c.GetUintContents())
	case d == tensor.FP32:
		t.Raw = tensor.Of("", nil, c.GetFp32Contents()...).Raw
	case d == tensor.FP64:
		t.Raw = tensor.Of("", nil, c.GetFp64Contents()...).Raw
	default:
		t.Strings = c.GetBytesContents()
	}
	return nil
}

func isNothing(shape []int64) bool {
	n, err := tensor.Elements(shape)
	return err == nil && n == 0
}

func byteOf(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func setInts(t *tensor.Tensor, values []int32) error {
	least, greatest := t.Datatype.SignedRange()
	for i, v := range values {
		if int64(v) < least || int64(v) > greatest {
			return fmt.Errorf("does not fit: element %d is %d, %s goes from %d to %d", i, v, t.Datatype, least, greatest)
		}
		t.Raw = tensor.AppendInt(t.Raw, t.Datatype, uint64(v))
	}
	return nil
}

func setUints(t *tensor.Tensor, values []uint32) error {
	greatest := t.Datatype.UnsignedMax()
	for i, v := range values {
		if uint64(v) > greatest {
			return fmt.Errorf("does not fit: element %d is %d, %s goes from 0 to %d", i, v, t.Datatype, greatest)
		}
		t.Raw = tensor.AppendInt(t.Raw, t.Datatype, uint64(v))
	}
	return nil
}

// contentsOf gives a tensor's elements in the field of its type.
func contentsOf(t tensor.Tensor) *inference.InferTensorContents {
	c := &inference.InferTensorContents{}
	n := t.Len()
	switch d := t.Datatype; {
	case d == tensor.Bool:
		c.BoolContents = elements(n, func(i int) bool { return t.Uint(i) != 0 })
	case d == tensor.Int64:
		c.Int64Contents = elements(n, t.Int)
	case d.IsSigned():
		c.IntContents = elements(n, func(i int) int32 { return int32(t.Int(i)) })
	case d == tensor.Uint64:
		c.Uint64Contents = elements(n, t.Uint)
	case d.IsUnsigned():
		c.UintContents = elements(n, func(i int) uint32 { return uint32(t.Uint(i)) })
	case d == tensor.FP32:
		c.Fp32Contents = elements(n, func(i int) float32 { return float32(t.Float(i)) })
	case d == tensor.FP64:
		c.Fp64Contents = elements(n, t.Float)
	default:
		c.BytesContents = t.Strings
	}
	return c
}

func elements[T any](n int, at func(i int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = at(i)
	}
	return out
}

func parametersOf(m map[string]*inference.InferParameter) tensor.Parameters {
	if len(m) == 0 {
		return nil
	}
	out := tensor.Parameters{}
	for name, p := range m {
		switch v := p.GetParameterChoice().(type) {
		case *inference.InferParameter_BoolParam:
			out[name] = v.BoolParam
		case *inference.InferParameter_Int64Param:
			out[name] = v.Int64Param
		case *inference.InferParameter_Uint64Param:
			out[name] = v.Uint64Param
		case *inference.InferParameter_DoubleParam:
			out[name] = v.DoubleParam
		case *inference.InferParameter_StringParam:
			out[name] = v.StringParam
		}
	}
	return out
}

func parameterMessages(p tensor.Parameters) map[string]*inference.InferParameter {
	if len(p) == 0 {
		return nil
	}
	out := map[string]*inference.InferParameter{}
	for name, value := range p {
		switch v := value.(type) {
		case bool:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_BoolParam{BoolParam: v}}
		case int64:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_Int64Param{Int64Param: v}}
		case uint64:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_Uint64Param{Uint64Param: v}}
		case float64:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_DoubleParam{DoubleParam: v}}
		case string:
			out[name] = &inference.InferParameter{ParameterChoice: &inference.InferParameter_StringParam{StringParam: v}}
		}
	}
	return out
}
