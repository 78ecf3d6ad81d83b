//go:build !cgo

package onnx

import (
	"context"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// Session is a model that is loaded; without cgo there is none.
type Session struct{}

// Open fails with a *LibraryError.
func Open(Config, Deps) (*Session, error) {
	return nil, &LibraryError{"this program is built without cgo and can't load ONNX Runtime; build it where there is a C compiler (`make build`)"}
}

// Metadata is the model's signature.
func (*Session) Metadata() tensor.Metadata { return tensor.Metadata{} }

// Choice says what the model is computed on.
func (*Session) Choice() Choice { return Choice{} }

// Infer computes an answer.
func (*Session) Infer(context.Context, *tensor.Request) (*tensor.Response, error) {
	return nil, &tensor.Failure{Kind: tensor.Unavailable, Cause: "no model is loaded"}
}

// Close gives the model's memory back.
func (*Session) Close() {}
