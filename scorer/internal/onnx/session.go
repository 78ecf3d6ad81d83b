package onnx

import (
	"log/slog"
	"slices"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// Platform names what runs a model, in the words of the Open Inference Protocol.
const Platform = "onnx_onnxruntime"

// Config says what to load and how to run it.
type Config struct {
	// Model is the file, Library ONNX Runtime's shared library.
	Model, Library string
	// Name is the model's name in its signature.
	Name string
	// Threads is how many threads compute one request.
	Threads int
	// Providers are the execution providers in the order in which they are tried.
	Providers []Provider
}

// Deps is what a session uses.
type Deps struct{ Log *slog.Logger }

// ModelError says in one line why a model can't be served.
type ModelError struct{ Cause string }

func (e *ModelError) Error() string { return e.Cause }

// Batchable reports whether requests to a model with this signature can be put together: every input and output has a first
// dimension that each request decides.
func Batchable(m tensor.Metadata) bool {
	return !slices.ContainsFunc(slices.Concat(m.Inputs, m.Outputs), func(s tensor.Spec) bool {
		return len(s.Shape) == 0 || s.Shape[0] >= 0
	})
}
