package tensorscore

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorjson"
)

// proto is a tensor as ONNX's TensorProto looks in JSON: what the old product's server for ONNX models took and gave.
type proto struct {
	Dims     []json.RawMessage `json:"dims,omitempty"` // whole numbers, also as strings
	DataType int               `json:"dataType"`
	RawData  []byte            `json:"rawData,omitempty"`
	// One of these instead of RawData, by the type.
	FloatData, DoubleData, Int32Data, Int64Data, Uint64Data json.RawMessage `json:",omitempty"`
	StringData                                              [][]byte        `json:"stringData,omitempty"`
}

// protoTypes are the datatypes by ONNX's numbers of them.
func protoTypes() [17]tensor.Datatype {
	return [17]tensor.Datatype{
		1: tensor.FP32, 2: tensor.Uint8, 3: tensor.Int8, 4: tensor.Uint16, 5: tensor.Int16, 6: tensor.Int32, 7: tensor.Int64, 8: tensor.Bytes,
		9: tensor.Bool, 10: tensor.FP16, 11: tensor.FP64, 12: tensor.Uint32, 13: tensor.Uint64, 16: tensor.BF16,
	}
}

// protos reads {"inputs": {name: proto}, "outputFilter": [names]}.
func protos(fields map[string]json.RawMessage, m tensor.Metadata) (*tensor.Request, writer, error) {
	request := &tensor.Request{}
	var invalid tensor.InvalidError
	refuse := func(field string, err error) {
		invalid.Violations = append(invalid.Violations, tensor.Violation{Field: field, Description: err.Error()})
	}
	var inputs map[string]json.RawMessage
	if err := json.Unmarshal(fields["inputs"], &inputs); err != nil {
		return nil, nil, fmt.Errorf("inputs could not be decoded as JSON: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		var p proto
		if err := json.Unmarshal(inputs[name], &p); err != nil {
			refuse("inputs."+name, fmt.Errorf("is no tensor: %w", err))
			continue
		}
		t, err := p.tensor(name)
		if err != nil {
			refuse("inputs."+name, err)
			continue
		}
		request.Inputs = append(request.Inputs, t)
	}
	for _, name := range []string{"outputFilter", "output_filter"} {
		if filter, ok := fields[name]; ok {
			if err := json.Unmarshal(filter, &request.Outputs); err != nil {
				refuse(name, fmt.Errorf("is no list of names: %w", err))
			}
		}
	}
	if len(invalid.Violations) > 0 {
		return nil, nil, &invalid
	}
	return request, writeProtos, m.Check(request)
}

func (p proto) tensor(name string) (tensor.Tensor, error) {
	t := tensor.Tensor{Name: name, Shape: make([]int64, len(p.Dims))}
	types := protoTypes()
	if p.DataType > 0 && p.DataType < len(types) {
		t.Datatype = types[p.DataType]
	}
	if t.Datatype == tensor.Invalid {
		return t, fmt.Errorf("has the dataType %d, which can't be sent", p.DataType)
	}
	for i, dim := range p.Dims {
		text, err := strconv.Unquote(string(dim))
		if err != nil {
			text = string(dim)
		}
		if t.Shape[i], err = strconv.ParseInt(text, 10, 64); err != nil || t.Shape[i] < 0 {
			return t, fmt.Errorf("has the dimension %s, it must be a whole number from 0", dim)
		}
	}
	if t.Datatype == tensor.Bytes {
		t.Strings = p.StringData
		return t, nil
	}
	t.Raw = p.RawData
	if given := p.values(t.Datatype); given != nil && len(t.Raw) == 0 {
		decoded, err := tensorjson.Decode(given, t.Datatype, t.Shape)
		if err != nil {
			return t, err
		}
		t.Raw = decoded.Raw
	}
	return t, nil
}

// values is the list that has the elements of a type when they are not in RawData.
func (p proto) values(d tensor.Datatype) json.RawMessage {
	switch d {
	case tensor.FP32:
		return p.FloatData
	case tensor.FP64:
		return p.DoubleData
	case tensor.Int64:
		return p.Int64Data
	case tensor.Uint32, tensor.Uint64:
		return p.Uint64Data
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Uint8, tensor.Uint16:
		return p.Int32Data
	default:
		return nil
	}
}

// writeProtos writes {"outputs": {name: proto}}.
func writeProtos(response *tensor.Response) ([]byte, error) {
	b := []byte(`{"outputs":{`)
	types := protoTypes()
	for i, t := range response.Outputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(tensorjson.AppendString(b, t.Name), `:{"dims":[`...)
		for j, dim := range t.Shape {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendQuote(b, strconv.FormatInt(dim, 10))
		}
		b = append(b, `],"dataType":`...)
		b = strconv.AppendInt(b, int64(slices.Index(types[1:], t.Datatype)+1), 10)
		if t.Datatype == tensor.Bytes {
			texts, err := json.Marshal(t.Strings)
			if err != nil {
				return nil, err
			}
			b = append(append(b, `,"stringData":`...), texts...)
		} else {
			b = append(b, `,"rawData":"`...)
			b = append(base64.StdEncoding.AppendEncode(b, t.Raw), '"')
		}
		b = append(b, '}')
	}
	return append(b, '}', '}'), nil
}
