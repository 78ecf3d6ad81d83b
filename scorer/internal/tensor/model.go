package tensor

import (
	"fmt"
	"slices"
	"strings"
)

// Spec describes an input or an output of a model.
type Spec struct {
	Name     string
	Datatype Datatype
	// Shape has -1 for a dimension that each request decides.
	Shape []int64
	// Optional inputs may be left out.
	Optional bool
}

// Metadata is a model's signature.
type Metadata struct {
	Name string
	// Versions are those that may be asked for; none where the model has one that has no name.
	Versions []string
	// Platform names the framework and what runs it, for example onnx_onnxruntime.
	Platform        string
	Inputs, Outputs []Spec
}

// Request asks a model.
type Request struct {
	ID     string
	Inputs []Tensor
	// Outputs names those to give; none for all.
	Outputs    []string
	Parameters Parameters
}

// Response is a model's answer: the outputs that were asked for, in that order, or all in the order of the metadata.
type Response struct {
	Outputs    []Tensor
	Parameters Parameters
}

// InvalidError lists everything that is wrong with a request.
type InvalidError struct{ Violations []Violation }

// Violation says what is wrong with a part of a request.
type Violation struct {
	// Field is a path such as inputs[0].shape.
	Field string
	// Description says what is wrong and what must be.
	Description string
}

func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		texts[i] = v.Field + " " + v.Description
	}
	return strings.Join(texts, "; ")
}

// NewInvalid makes the error of one violation.
func NewInvalid(field, format string, args ...any) *InvalidError {
	return &InvalidError{[]Violation{{field, fmt.Sprintf(format, args...)}}}
}

// Kind says whose fault it is that a model gives no answer.
type Kind int

// Kinds of failures.
const (
	// Failed: the model could not compute an answer to this request.
	Failed Kind = iota
	// TimedOut: it took too long.
	TimedOut
	// Overloaded: too many requests wait already.
	Overloaded
	// Unavailable: nothing is up that could answer now.
	Unavailable
)

// Failure says why a model gives no answer to a request that is right. Its text is for the caller.
type Failure struct { //nolint:errname // a kind of answer; InvalidError is the other

	Kind  Kind
	Cause string
}

func (e *Failure) Error() string { return e.Cause }

// Check gives an *InvalidError with all that is wrong with the request for this model.
func (m Metadata) Check(r *Request) error {
	var invalid InvalidError
	add := func(field, format string, args ...any) {
		invalid.Violations = append(invalid.Violations, Violation{field, fmt.Sprintf(format, args...)})
	}
	seen := map[string]bool{}
	for i, input := range r.Inputs {
		field := fmt.Sprintf("inputs[%d]", i)
		spec := find(m.Inputs, input.Name)
		switch {
		case spec == nil:
			add(field+".name", "is %q, the model takes %s", input.Name, names(m.Inputs))
			continue
		case seen[input.Name]:
			add(field+".name", "%q is given twice", input.Name)
		case input.Datatype != spec.Datatype:
			add(field+".datatype", "of %q is %s, it must be %s", input.Name, input.Datatype, spec.Datatype)
		}
		seen[input.Name] = true
		if !Fits(spec.Shape, input.Shape) {
			add(field+".shape", "of %q is %v, it must be %s", input.Name, input.Shape, ShapeText(spec.Shape))
		} else if err := input.check(); err != nil {
			add(field, "(%q) %v", input.Name, err)
		}
	}
	for _, spec := range m.Inputs {
		if !seen[spec.Name] && !spec.Optional {
			add("inputs", "lacks %q (%s %s)", spec.Name, spec.Datatype, ShapeText(spec.Shape))
		}
	}
	for i, output := range r.Outputs {
		field := fmt.Sprintf("outputs[%d].name", i)
		if find(m.Outputs, output) == nil {
			add(field, "is %q, the model gives %s", output, names(m.Outputs))
		} else if slices.Contains(r.Outputs[:i], output) {
			add(field, "%q is asked for twice", output)
		}
	}
	if len(invalid.Violations) > 0 {
		return &invalid
	}
	return nil
}

// Wanted gives the outputs that a request asks for, in its order.
func (m Metadata) Wanted(r *Request) []Spec {
	if len(r.Outputs) == 0 {
		return m.Outputs
	}
	out := make([]Spec, 0, len(r.Outputs))
	for _, name := range r.Outputs {
		if spec := find(m.Outputs, name); spec != nil {
			out = append(out, *spec)
		}
	}
	return out
}

// Fits reports whether a shape is one that spec, which may have -1 for any, allows.
func Fits(spec, shape []int64) bool {
	return slices.EqualFunc(spec, shape, func(want, got int64) bool { return want == got || want < 0 && got >= 0 })
}

// ShapeText spells a shape with "any" for -1.
func ShapeText(shape []int64) string {
	texts := make([]string, len(shape))
	for i, dim := range shape {
		if texts[i] = fmt.Sprint(dim); dim < 0 {
			texts[i] = "any"
		}
	}
	return "[" + strings.Join(texts, " ") + "]"
}

func find(specs []Spec, name string) *Spec {
	for i := range specs {
		if specs[i].Name == name {
			return &specs[i]
		}
	}
	return nil
}

func names(specs []Spec) string {
	texts := make([]string, len(specs))
	for i, s := range specs {
		texts[i] = fmt.Sprintf("%q", s.Name)
	}
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, ", ")
}
