package tensorscore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorjson"
)

// data is the name that stands for the only input of a model.
const data = "data"

// writer turns an answer into JSON in the form that belongs to the request's.
type writer func(*tensor.Response) ([]byte, error)

// parse reads a request. Its error is for the caller.
func parse(body []byte, m tensor.Metadata) (*tensor.Request, writer, error) {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return nil, nil, errors.New("POST body is empty. Expecting a JSON dictionary.") //nolint:revive,staticcheck // the old product's words
	case body[0] == '[' && len(m.Inputs) == 1:
		return plain(map[string]json.RawMessage{m.Inputs[0].Name: body}, m)
	}
	var fields map[string]json.RawMessage
	if err := decode(body, &fields); err != nil {
		if mismatch := new(json.UnmarshalTypeError); errors.As(err, &mismatch) {
			return nil, nil, errors.New("POST body should be a JSON dictionary.") //nolint:revive,staticcheck // the old product's words
		}
		return nil, nil, fmt.Errorf("POST body could not be decoded as JSON: %w", err)
	}
	if inputs, ok := fields["inputs"]; ok && find(m.Inputs, "inputs") == nil && isObject(inputs) {
		return protos(fields, m)
	}
	if value, ok := fields[data]; ok && len(fields) == 1 && find(m.Inputs, data) == nil {
		switch {
		case isObject(value):
			if err := decode(value, &fields); err != nil {
				return nil, nil, fmt.Errorf("data could not be decoded as JSON: %w", err)
			}
			delete(fields, data)
		case len(m.Inputs) == 1:
			fields = map[string]json.RawMessage{m.Inputs[0].Name: value}
		}
	}
	return plain(fields, m)
}

// decode reads JSON. It takes bare NaN and Infinity, as Python writes them, too: tensorjson reads them where numbers may be.
func decode(text []byte, into *map[string]json.RawMessage) error {
	clear(*into)
	err := json.Unmarshal(text, into)
	if err == nil || !bytes.Contains(text, []byte("NaN")) && !bytes.Contains(text, []byte("Infinity")) {
		return err
	}
	return json.Unmarshal(quoteConstants(text), into)
}

// quoteConstants puts the bare words NaN, Infinity and -Infinity in quotes.
func quoteConstants(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/8)
	inString := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if inString {
			out = append(out, c)
			if c == '\\' && i+1 < len(text) {
				i++
				out = append(out, text[i])
			}
			inString = c != '"'
			continue
		}
		inString = c == '"'
		word := constantAt(text[i:])
		if word == "" {
			out = append(out, c)
			continue
		}
		out = append(append(append(out, '"'), word...), '"')
		i += len(word) - 1
	}
	return out
}

func constantAt(text []byte) string {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(text, []byte(word)) {
			return word
		}
	}
	return ""
}

func isObject(value []byte) bool { return len(value) > 0 && value[0] == '{' }

func find(specs []tensor.Spec, name string) *tensor.Spec {
	for i := range specs {
		if specs[i].Name == name {
			return &specs[i]
		}
	}
	return nil
}

// plain reads arrays by the names of the inputs.
func plain(fields map[string]json.RawMessage, m tensor.Metadata) (*tensor.Request, writer, error) {
	request := &tensor.Request{}
	var invalid tensor.InvalidError
	refuse := func(field, format string, args ...any) {
		invalid.Violations = append(invalid.Violations, tensor.Violation{Field: field, Description: fmt.Sprintf(format, args...)})
	}
	for _, spec := range m.Inputs {
		value, ok := fields[spec.Name]
		if !ok {
			if !spec.Optional {
				refuse(spec.Name, "is missing, it must be an array of %s with the shape %s", spec.Datatype, tensor.ShapeText(spec.Shape))
			}
			continue
		}
		t, err := read(value, spec)
		if err != nil {
			refuse(spec.Name, "%v", err)
			continue
		}
		request.Inputs = append(request.Inputs, t)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if find(m.Inputs, name) == nil {
			refuse(name, "is no input of the model, which takes %s", takes(m))
		}
	}
	if len(invalid.Violations) > 0 {
		return nil, nil, &invalid
	}
	return request, writePlain, nil
}

// takes says what a caller may send.
func takes(m tensor.Metadata) string {
	names := make([]string, len(m.Inputs))
	for i, s := range m.Inputs {
		names[i] = s.Name
	}
	text := strings.Join(names, ", ")
	if len(names) == 1 && text != data {
		text += " (or " + data + ")"
	}
	return text
}

func read(value []byte, spec tensor.Spec) (tensor.Tensor, error) {
	t, err := tensorjson.DecodeNested(value, spec.Datatype)
	if err != nil {
		return t, err
	}
	if t.Len() == 0 && len(t.Shape) < len(spec.Shape) {
		t.Shape = empty(t.Shape, spec.Shape)
	}
	if !tensor.Fits(spec.Shape, t.Shape) {
		return t, fmt.Errorf("has the shape %v, it must be %s", t.Shape, tensor.ShapeText(spec.Shape))
	}
	t.Name = spec.Name
	return t, nil
}

// empty completes the shape of a tensor without elements, whose arrays end where there is nothing to nest.
func empty(shape, spec []int64) []int64 {
	full := slices.Clone(shape)
	for _, dim := range spec[len(shape):] {
		full = append(full, max(0, dim))
	}
	return full
}

func writePlain(response *tensor.Response) ([]byte, error) {
	size := 2
	for _, t := range response.Outputs {
		size += len(t.Name) + 8 + 12*t.Len()
	}
	b := append(make([]byte, 0, size), '{')
	for i, t := range response.Outputs {
		if i > 0 {
			b = append(b, ',', ' ')
		}
		b = append(tensorjson.AppendString(b, t.Name), ':', ' ')
		var err error
		if b, err = tensorjson.AppendNested(b, t); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}
