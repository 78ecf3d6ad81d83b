//go:build cgo

package onnx

import (
	"context"
	"errors"
	"reflect"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// idleRuns is how many handles of runs are kept for the next ones.
const idleRuns = 32

// run computes the outputs of checked inputs. The caller destroys what it gives.
func (s *Session) run(ctx context.Context, inputs []ort.Value, r *tensor.Request) ([]ort.Value, error) {
	expected := !s.unexpected.Load()
	for {
		outputs, err := s.outputs(r, expected)
		if err != nil {
			return nil, err
		}
		err = s.attempt(ctx, inputs, outputs)
		if err == nil {
			if !expected {
				s.unexpected.Store(true)
			}
			return outputs, nil
		}
		more := errors.Is(err, ort.ZeroShapeLengthError) && s.learnScalars(outputs)
		destroy(outputs)
		switch {
		case more:
			// An output turned out to have no dimensions: this happens once in the life of a session.
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case expected:
			// Outputs may have other shapes than told before; that shows when ONNX Runtime may make them all.
			expected = false
		default:
			return nil, &tensor.Failure{Kind: tensor.Failed, Cause: "the model failed: " + oneLine(err.Error())}
		}
	}
}

// learnScalars notes which output could not be given because it has no dimensions: the first without a declared shape that is
// missing. It reports false when there is none.
func (s *Session) learnScalars(outputs []ort.Value) bool {
	for i, v := range outputs {
		if isNone(v) && len(s.metadata.Outputs[i].Shape) == 0 && !s.scalars[i].Load() {
			s.scalars[i].Store(true)
			return true
		}
	}
	return false
}

// attempt runs the model, and breaks the run off when the context ends.
func (s *Session) attempt(ctx context.Context, inputs, outputs []ort.Value) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Done() == nil {
		return s.session.Run(inputs, outputs)
	}
	run, err := s.handle()
	if err != nil {
		return err
	}
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		_ = run.Terminate()
	})
	err = s.session.RunWithOptions(inputs, outputs, run)
	if stop() {
		s.giveBack(run)
		return err
	}
	<-told
	_ = run.Destroy()
	return err
}

func (s *Session) handle() (*ort.RunOptions, error) {
	select {
	case run := <-s.runs:
		return run, nil
	default:
		return ort.NewRunOptions()
	}
}

func (s *Session) giveBack(run *ort.RunOptions) {
	select {
	case s.runs <- run:
	default:
		_ = run.Destroy()
	}
}

func destroy(values []ort.Value) {
	for _, v := range values {
		if !isNone(v) {
			_ = v.Destroy()
		}
	}
}

// isNone reports whether there is no value: where the binding fails it leaves pointers to nothing.
func isNone(v ort.Value) bool { return v == nil || reflect.ValueOf(v).IsNil() }
