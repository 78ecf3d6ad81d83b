package oip

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorjson"
)

// appendResponse writes a response as JSON, and gives the binary data that follows it.
func appendResponse(response *tensor.Response, request *restRequest, a asked) (text []byte, binary [][]byte, err error) {
	b := append(make([]byte, 0, 512), `{"model_name":`...)
	b = tensorjson.AppendString(b, a.name)
	if a.version != "" {
		b = tensorjson.AppendString(append(b, `,"model_version":`...), a.version)
	}
	if request.id != "" {
		b = tensorjson.AppendString(append(b, `,"id":`...), request.id)
	}
	if b, err = appendParameters(b, response.Parameters); err != nil {
		return nil, nil, err
	}
	b = append(b, `,"outputs":[`...)
	for i, t := range response.Outputs {
		if i > 0 {
			b = append(b, ',')
		}
		var raw []byte
		if b, raw, err = appendOutput(b, t, request.isBinary(t.Name)); err != nil {
			return nil, nil, err
		}
		if raw != nil {
			binary = append(binary, raw)
		}
	}
	return append(b, "]}"...), binary, nil
}

// appendOutput writes an output. Its elements are returned when they are to be binary, not nil then.
func appendOutput(b []byte, t tensor.Tensor, binary bool) (text, raw []byte, err error) {
	b = tensorjson.AppendString(append(b, `{"name":`...), t.Name)
	b = append(append(append(b, `,"datatype":"`...), t.Datatype.String()...), `","shape":[`...)
	for i, dim := range t.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, dim, 10)
	}
	b = append(b, ']')
	parameters := t.Parameters
	if binary {
		if raw, err = t.Binary(); err != nil {
			return nil, nil, err
		}
		if raw == nil {
			raw = []byte{}
		}
		parameters = maps.Clone(parameters)
		if parameters == nil {
			parameters = tensor.Parameters{}
		}
		parameters[parameterSize] = int64(len(raw))
	}
	if b, err = appendParameters(b, parameters); err != nil {
		return nil, nil, err
	}
	if !binary {
		if b, err = tensorjson.AppendFlat(append(b, `,"data":`...), t); err != nil {
			return nil, nil, err
		}
	}
	return append(b, '}'), raw, nil
}

func appendParameters(b []byte, p tensor.Parameters) ([]byte, error) {
	if len(p) == 0 {
		return b, nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	return append(append(b, `,"parameters":`...), text...), nil
}
