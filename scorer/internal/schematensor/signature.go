package schematensor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorjson"
)

// definition is what a swagger definition says, as far as it counts here.
type definition struct {
	Type       string          `json:"type"`
	Format     string          `json:"format"`
	Items      *definition     `json:"items"`
	Properties json.RawMessage `json:"properties"`
	Example    json.RawMessage `json:"example"`
}

// numpyFormat is the format of an array whose dimensions, but for the first, are those of its sample.
const numpyFormat = "numpy.ndarray"

// wholeOutput is the name of the output of a run() whose result has no name.
const wholeOutput = "output"

// signature is how tensors become arguments and results become tensors.
type signature struct {
	inputs, outputs []tensor.Spec
	// single names the inputs that are one value instead of an array.
	single map[string]bool
	// named says that the result is an object with a member for each output, text that it is given as JSON text.
	named, text bool
}

// parseSignature reads the definitions of what run() takes and gives. The error says why there are no tensors.
func parseSignature(input, output json.RawMessage) (*signature, error) {
	s := &signature{single: map[string]bool{}}
	var whole definition
	if err := json.Unmarshal(input, &whole); err != nil {
		return nil, fmt.Errorf("the schema of run() can't be read: %w", err)
	}
	examples := members(whole.Example)
	err := properties(whole.Properties, func(name string, d definition) error {
		if d.Example == nil {
			d.Example = examples[name]
		}
		spec, single, err := specOf(name, d)
		if err != nil {
			return fmt.Errorf("parameter %q of run() %w", name, err)
		}
		// What may be left out, run() knows.
		spec.Optional, s.single[name] = true, single
		s.inputs = append(s.inputs, spec)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.inputs) == 0 {
		return nil, errors.New("run() has no parameter with a schema")
	}
	s.readOutput(output)
	return s, nil
}

// readOutput finds the outputs: an array, an object of arrays, else the result's JSON as a text.
func (s *signature) readOutput(output json.RawMessage) {
	var whole definition
	_ = json.Unmarshal(output, &whole) // what can't be read is given as text
	if whole.Type == "object" {
		err := properties(whole.Properties, func(name string, d definition) error {
			spec, _, err := specOf(name, d)
			spec.Shape = slices.Repeat([]int64{-1}, len(spec.Shape))
			s.outputs = append(s.outputs, spec)
			return err
		})
		if s.named = err == nil && len(s.outputs) > 0; s.named {
			return
		}
	} else if spec, _, err := specOf(wholeOutput, whole); err == nil {
		spec.Shape = slices.Repeat([]int64{-1}, len(spec.Shape))
		s.outputs = []tensor.Spec{spec}
		return
	}
	s.text = true
	s.outputs = []tensor.Spec{{Name: wholeOutput, Datatype: tensor.Bytes, Shape: []int64{1}}}
}

// specOf gives the tensor that a definition describes: an array of numbers, booleans or texts, or one of them.
func specOf(name string, d definition) (spec tensor.Spec, single bool, err error) {
	spec.Name = name
	leaf, depth := d, 0
	for leaf.Type == "array" && leaf.Items != nil {
		leaf, depth = *leaf.Items, depth+1
	}
	var ok bool
	if spec.Datatype, ok = datatypeOf(leaf); !ok {
		return spec, false, fmt.Errorf("is %s, tensors have numbers, booleans or texts", described(leaf))
	}
	if depth == 0 {
		spec.Shape = []int64{1}
		return spec, true, nil
	}
	spec.Shape = slices.Repeat([]int64{-1}, depth)
	if d.Format == numpyFormat {
		if sample, err := tensorjson.DecodeNested(d.Example, spec.Datatype); err == nil && len(sample.Shape) == depth {
			copy(spec.Shape[1:], sample.Shape[1:])
		}
	}
	return spec, false, nil
}

func described(d definition) string {
	if d.Type == "" {
		return "not described"
	}
	return strings.TrimSpace("of type " + d.Type + " " + d.Format)
}

func datatypeOf(d definition) (tensor.Datatype, bool) {
	switch d.Type {
	case "boolean":
		return tensor.Bool, d.Format == ""
	case "string":
		return tensor.Bytes, d.Format == ""
	case "number":
		if d.Format == "float" {
			return tensor.FP32, true
		}
		return tensor.FP64, true
	case "integer":
		if d.Format == "" {
			return tensor.Int64, true
		}
		return tensor.ParseDatatype(strings.ToUpper(d.Format))
	}
	return tensor.Invalid, false
}

// properties visits the members of an object of definitions, in their order.
func properties(object json.RawMessage, visit func(name string, d definition) error) error {
	if object == nil {
		return nil
	}
	return tensorjson.Fields(object, func(name string, value []byte) error {
		var d definition
		if err := json.Unmarshal(value, &d); err != nil {
			return fmt.Errorf("%q can't be read: %w", name, err)
		}
		return visit(name, d)
	})
}

func members(object json.RawMessage) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	_ = json.Unmarshal(object, &out) // an example that is none is not used
	return out
}
