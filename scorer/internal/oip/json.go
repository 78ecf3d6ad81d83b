package oip

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorjson"
)

// restRequest is an inference request as REST has it.
type restRequest struct {
	tensor.Request
	id string // empty for none; comes back
	// binary says by output whether it is to be sent as binary data, allBinary what holds for the others.
	binary    map[string]bool
	allBinary bool
}

// Parameters of the binary tensor data extension.
const (
	parameterSize      = "binary_data_size"
	parameterBinary    = "binary_data"
	parameterAllBinary = "binary_data_output"
)

// parser collects all that is wrong.
type parser struct {
	request restRequest
	rest    []byte // binary data that no input has taken yet
	wrong   tensor.InvalidError
}

// parseRequest reads an inference request. Its tensors alias both arguments. The error is a *tensor.InvalidError.
func parseRequest(text, binary []byte) (*restRequest, error) {
	p := parser{rest: binary}
	p.request.binary = map[string]bool{}
	var inputs, outputs []byte
	err := tensorjson.Fields(text, func(name string, value []byte) error {
		switch name {
		case "id":
			p.request.id = p.text("id", value)
		case "parameters":
			p.request.Parameters = p.parameters("parameters", value)
		case "inputs":
			inputs = value
		case "outputs":
			outputs = value
		}
		return nil
	})
	if err != nil {
		return nil, tensor.NewInvalid("the request", "%v", err)
	}
	p.request.allBinary, _ = p.request.Parameters[parameterAllBinary].(bool)
	if inputs == nil {
		p.refuse("inputs", "is missing")
	} else {
		p.items("inputs", inputs, p.input)
	}
	if outputs != nil && string(outputs) != "null" {
		p.items("outputs", outputs, p.output)
	}
	if len(p.rest) > 0 {
		p.refuse("the request", "has "+strconv.Itoa(len(p.rest))+" bytes of binary data that belong to no input")
	}
	if len(p.wrong.Violations) > 0 {
		return nil, &p.wrong
	}
	return &p.request, nil
}

func (p *parser) refuse(field, description string) {
	p.wrong.Violations = append(p.wrong.Violations, tensor.Violation{Field: field, Description: description})
}

func (p *parser) items(field string, text []byte, visit func(field string, value []byte)) {
	err := tensorjson.Items(text, func(i int, value []byte) error {
		visit(fieldOf(field, i), value)
		return nil
	})
	if err != nil {
		p.refuse(field, err.Error())
	}
}

func (p *parser) text(field string, value []byte) string {
	var s string
	if json.Unmarshal(value, &s) != nil {
		p.refuse(field, "must be a string")
	}
	return s
}

// input reads one input.
func (p *parser) input(field string, value []byte) {
	var t tensor.Tensor
	var datatype, shape, data []byte
	err := tensorjson.Fields(value, func(name string, value []byte) error {
		switch name {
		case "name":
			t.Name = p.text(field+".name", value)
		case "datatype":
			datatype = value
		case "shape":
			shape = value
		case "parameters":
			t.Parameters = p.parameters(field+".parameters", value)
		case "data":
			data = value
		}
		return nil
	})
	if err != nil {
		p.refuse(field, err.Error())
		return
	}
	before := len(p.wrong.Violations)
	t.Datatype = p.datatype(field+".datatype", datatype)
	t.Shape = p.shape(field+".shape", shape)
	p.data(field, data, &t, len(p.wrong.Violations) == before)
	p.request.Inputs = append(p.request.Inputs, t)
}

// data gives the tensor its elements: those in JSON when its type and shape are right, or binary data.
func (p *parser) data(field string, data []byte, t *tensor.Tensor, readable bool) {
	size, binary := t.Parameters[parameterSize]
	switch {
	case binary && data != nil:
		p.refuse(field, "has data and "+parameterSize+", it must have one of them")
	case binary:
		n, ok := size.(int64)
		if !ok || n < 0 || n > int64(len(p.rest)) {
			p.refuse(field+".parameters."+parameterSize, "must be a number of bytes, at most the "+strconv.Itoa(len(p.rest))+" that are left")
			p.rest = nil
			return
		}
		raw := p.rest[:n:n]
		p.rest = p.rest[n:]
		if err := t.SetBinary(raw); err != nil {
			p.refuse(field, err.Error())
		}
	case data == nil:
		p.refuse(field+".data", "is missing")
	case readable:
		decoded, err := tensorjson.Decode(data, t.Datatype, t.Shape)
		if err != nil {
			p.refuse(field+".data", err.Error())
			return
		}
		t.Raw, t.Strings = decoded.Raw, decoded.Strings
	}
}

func (p *parser) datatype(field string, value []byte) tensor.Datatype {
	if value == nil {
		p.refuse(field, "is missing")
		return tensor.Invalid
	}
	var name string
	if err := json.Unmarshal(value, &name); err == nil {
		if d, ok := tensor.ParseDatatype(name); ok {
			return d
		}
	}
	p.refuse(field, "is "+excerpt(value)+", it must be one of BOOL, UINT8 to UINT64, INT8 to INT64, FP16, FP32, FP64, BF16, BYTES")
	return tensor.Invalid
}

func (p *parser) shape(field string, value []byte) []int64 {
	if value == nil {
		p.refuse(field, "is missing")
		return nil
	}
	var shape []int64
	if err := json.Unmarshal(value, &shape); err != nil || shape == nil {
		p.refuse(field, "is "+excerpt(value)+", it must be an array of whole numbers")
		return nil
	}
	if _, err := tensor.Elements(shape); err != nil {
		p.refuse(field, "is wrong: "+err.Error())
	}
	return shape
}

func (p *parser) output(field string, value []byte) {
	var name string
	var parameters tensor.Parameters
	err := tensorjson.Fields(value, func(member string, value []byte) error {
		switch member {
		case "name":
			name = p.text(field+".name", value)
		case "parameters":
			parameters = p.parameters(field+".parameters", value)
		}
		return nil
	})
	if err != nil {
		p.refuse(field, err.Error())
		return
	}
	p.request.Outputs = append(p.request.Outputs, name)
	if binary, ok := parameters[parameterBinary].(bool); ok {
		p.request.binary[name] = binary
	}
}

// parameters keeps those that have a value that the protocol knows; others may be some other server's.
func (p *parser) parameters(field string, value []byte) tensor.Parameters {
	out := tensor.Parameters{}
	err := tensorjson.Fields(value, func(name string, value []byte) error {
		var text string
		switch {
		case string(value) == "true" || string(value) == "false":
			out[name] = string(value) == "true"
		case json.Unmarshal(value, &text) == nil && value[0] == '"':
			out[name] = text
		default:
			if number, err := parseNumber(string(value)); err == nil {
				out[name] = number
			}
		}
		return nil
	})
	if err != nil && string(value) != "null" {
		p.refuse(field, err.Error())
	}
	return out
}

func parseNumber(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, errors.New("no number")
	}
	return f, nil
}

func excerpt(value []byte) string {
	const enough = 60
	if len(value) > enough {
		return string(value[:enough]) + "…"
	}
	return string(value)
}
