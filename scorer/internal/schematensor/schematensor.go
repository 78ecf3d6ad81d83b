// Package schematensor lets an entry script be asked in tensors: when run() is decorated with schemas whose parameters are arrays,
// numbers, booleans or texts, a request's tensors become its arguments, and its result becomes tensors.
//
// Each parameter is an input of its name. An array has the dimensions of its sample but for the first, which each request decides; a
// parameter that is no array is a tensor of one element. The output is named "output", or there is one for each member when the
// result is described as an object of arrays; a result that is not described so is one text, its JSON.
//
// A Model may be used from any goroutine.
package schematensor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorjson"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// platform names what answers.
const platform = "python_script"

// pool is what is needed of the workers.
type pool interface {
	Score(ctx context.Context, req worker.Request) (*worker.Reply, error)
}

// Model is a script that is asked in tensors.
type Model struct {
	pool      pool
	signature *signature
}

// New makes a model of a script of which facts are known. The error says why it can't be asked in tensors.
func New(p pool, facts worker.Facts) (*Model, error) {
	if facts.Schema == nil {
		return nil, errors.New("its run() is not decorated with a schema")
	}
	s, err := parseSignature(facts.Schema.Input, facts.Schema.Output)
	if err != nil {
		return nil, err
	}
	return &Model{pool: p, signature: s}, nil
}

// Metadata gives the signature.
func (m *Model) Metadata() tensor.Metadata {
	return tensor.Metadata{Platform: platform, Inputs: m.signature.inputs, Outputs: m.signature.outputs}
}

// Infer has run() answer.
func (m *Model) Infer(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	body, err := m.signature.body(r)
	if err != nil {
		return nil, err
	}
	reply, err := m.pool.Score(ctx, worker.Request{
		ID: r.ID, Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}}, Body: body,
	})
	if err != nil {
		return nil, failure(err)
	}
	defer reply.Close()
	result, err := resultOf(reply)
	if err != nil {
		return nil, err
	}
	return m.signature.response(result, m.Metadata().Wanted(r))
}

// body writes the arguments of run().
func (s *signature) body(r *tensor.Request) ([]byte, error) {
	b := []byte{'{'}
	for i, input := range r.Inputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(tensorjson.AppendString(b, input.Name), ':')
		if s.single[input.Name] {
			input.Shape = nil
		}
		var err error
		if b, err = tensorjson.AppendNested(b, input); err != nil {
			return nil, tensor.NewInvalid("inputs["+strconv.Itoa(i)+"]", "has bytes that are no UTF-8 text, which run() can't take")
		}
	}
	return append(b, '}'), nil
}

// resultOf gives the JSON that run() returned.
func resultOf(reply *worker.Reply) ([]byte, error) {
	switch reply.Outcome {
	case worker.OK:
	case worker.BadInput, worker.Unsupported:
		return nil, tensor.NewInvalid("the request", "does not fit run(): %s", reply.Message)
	case worker.Raised:
		return nil, &tensor.Failure{Kind: tensor.Failed, Cause: "run() raised an exception; the logs say more"}
	default:
		return nil, &tensor.Failure{Kind: tensor.Failed, Cause: "the result of run() can't be sent; the logs say more"}
	}
	if reply.Streamed() {
		return nil, &tensor.Failure{Kind: tensor.Failed, Cause: "run() streams its result, which tensors can't"}
	}
	body, err := reply.Bytes()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the result of run(): %w", err)
	case reply.Status >= http.StatusInternalServerError:
		return nil, &tensor.Failure{Kind: tensor.Failed, Cause: "run() answered with status " + strconv.Itoa(reply.Status) + ": " + string(body)}
	case reply.Status >= http.StatusBadRequest:
		return nil, tensor.NewInvalid("the request", "was refused by run() with status %d: %s", reply.Status, body)
	}
	return body, nil
}

// response reads the outputs that are wanted from a result.
func (s *signature) response(result []byte, wanted []tensor.Spec) (*tensor.Response, error) {
	out := &tensor.Response{}
	if s.text {
		if len(wanted) > 0 {
			out.Outputs = []tensor.Tensor{{Name: wholeOutput, Datatype: tensor.Bytes, Shape: []int64{1}, Strings: [][]byte{result}}}
		}
		return out, nil
	}
	values := map[string][]byte{wholeOutput: result}
	if s.named {
		clear(values)
		err := tensorjson.Fields(result, func(name string, value []byte) error {
			values[name] = value
			return nil
		})
		if err != nil {
			return nil, misfit("the result "+err.Error(), result)
		}
	}
	for _, spec := range wanted {
		value, ok := values[spec.Name]
		if !ok {
			return nil, misfit("there is no "+strconv.Quote(spec.Name), result)
		}
		t, err := tensorjson.DecodeNested(value, spec.Datatype)
		if err != nil {
			return nil, misfit("the value of "+strconv.Quote(spec.Name)+" "+err.Error(), value)
		}
		if len(t.Shape) == 0 {
			t.Shape = []int64{1}
		}
		t.Name = spec.Name
		out.Outputs = append(out.Outputs, t)
	}
	return out, nil
}

// misfit says that run() gave something else than its schema says.
func misfit(what string, value []byte) error {
	const enough = 200
	return &tensor.Failure{Kind: tensor.Failed, Cause: fmt.Sprintf("run() did not give what its output schema says: %s; it gave %.*s", what, enough, value)}
}

// failure says why a request got no reply.
func failure(err error) error {
	var timeout *worker.TimeoutError
	var crash *worker.CrashError
	switch {
	case errors.As(err, &timeout):
		return &tensor.Failure{Kind: tensor.TimedOut, Cause: fmt.Sprintf("Scoring timeout after %d ms", timeout.Limit.Milliseconds())}
	case errors.As(err, &crash):
		return &tensor.Failure{Kind: tensor.Failed, Cause: "the worker ended while it ran this request: " + crash.Cause}
	case errors.Is(err, worker.ErrExited):
		return &tensor.Failure{Kind: tensor.Failed, Cause: "run() called sys.exit"}
	case errors.Is(err, worker.ErrQueueFull):
		return &tensor.Failure{Kind: tensor.Overloaded, Cause: "too many requests wait for a worker"}
	case errors.Is(err, worker.ErrStopped):
		return &tensor.Failure{Kind: tensor.Unavailable, Cause: "the server is shutting down"}
	}
	return err
}
