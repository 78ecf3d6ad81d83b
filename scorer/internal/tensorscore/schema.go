package tensorscore

import (
	"encoding/json"

	"github.com/fairlead/fairlead/scorer/internal/swagger"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// largestExample is the number of elements up to which an input is shown with an example.
const largestExample = 256

// Schemas describe what a model takes and gives.
func Schemas(m tensor.Metadata) (swagger.Schemas, error) {
	input, err := schema(m.Inputs)
	if err != nil {
		return swagger.Schemas{}, err
	}
	output, err := schema(m.Outputs)
	return swagger.Schemas{Input: input, Output: output}, err
}

type object = map[string]any

func schema(specs []tensor.Spec) (json.RawMessage, error) {
	properties, example, required := object{}, object{}, []string{}
	for _, s := range specs {
		properties[s.Name] = arrays(s.Shape, leaf(s.Datatype))
		if !s.Optional {
			required = append(required, s.Name)
		}
		if example == nil {
			continue
		}
		if one := one(s); one != nil {
			example[s.Name] = one
		} else {
			example = nil // one that lacks an input would mislead
		}
	}
	all := object{"type": "object", "properties": properties, "required": required}
	if example != nil {
		all["example"] = example
	}
	return json.Marshal(all)
}

func arrays(shape []int64, of object) object {
	if len(shape) == 0 {
		return of
	}
	array := object{"type": "array", "items": arrays(shape[1:], of)}
	if dim := shape[0]; dim >= 0 {
		array["minItems"], array["maxItems"] = dim, dim
	}
	return array
}

func leaf(d tensor.Datatype) object {
	switch {
	case d == tensor.Bytes:
		return object{"type": "string"}
	case d == tensor.Bool:
		return object{"type": "boolean"}
	case d == tensor.FP64:
		return object{"type": "number", "format": "double"}
	case d.IsFloat():
		return object{"type": "number", "format": "float"}
	case d.Size() == 8 || d == tensor.Uint32:
		return object{"type": "integer", "format": "int64"}
	}
	return object{"type": "integer", "format": "int32"}
}

// one gives a tensor of nothing but zeros, with 1 for the dimensions that are open; nil for one that is too large to be shown.
func one(s tensor.Spec) any {
	shape := make([]int64, len(s.Shape))
	for i, dim := range s.Shape {
		if shape[i] = dim; dim < 0 {
			shape[i] = 1
		}
	}
	if n, err := tensor.Elements(shape); err != nil || n > largestExample {
		return nil
	}
	return nest(shape, zero(s.Datatype))
}

func zero(d tensor.Datatype) any {
	switch d {
	case tensor.Bytes:
		return "text"
	case tensor.Bool:
		return false
	default:
		return 0
	}
}

func nest(shape []int64, element any) any {
	if len(shape) == 0 {
		return element
	}
	items := make([]any, shape[0])
	for i := range items {
		items[i] = nest(shape[1:], element)
	}
	return items
}
