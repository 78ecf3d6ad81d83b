package conformance

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/proto/gen/inference"
)

func grpcRequirements() []requirement {
	return []requirement{
		{"GRPC-01", "ServerLive says that the server lives", func(ctx context.Context, c *client) error {
			r, err := c.grpc.ServerLive(c.withKey(ctx), &inference.ServerLiveRequest{})
			return isTrue(r.GetLive(), err)
		}},
		{"GRPC-02", "ServerReady says that a server is ready that is", func(ctx context.Context, c *client) error {
			r, err := c.grpc.ServerReady(c.withKey(ctx), &inference.ServerReadyRequest{})
			return isTrue(r.GetReady(), err)
		}},
		{"GRPC-03", "ModelReady says that a model is ready that is", func(ctx context.Context, c *client) error {
			r, err := c.grpc.ModelReady(c.withKey(ctx), &inference.ModelReadyRequest{Name: c.target.Model})
			return isTrue(r.GetReady(), err)
		}},
		{"GRPC-04", "ServerMetadata gives a name", func(ctx context.Context, c *client) error {
			r, err := c.grpc.ServerMetadata(c.withKey(ctx), &inference.ServerMetadataRequest{})
			return isTrue(r.GetName() != "", err)
		}},
		{"GRPC-05", "ModelMetadata describes inputs and outputs", func(ctx context.Context, c *client) error {
			r, err := c.modelMetadata(ctx)
			return isTrue(r.GetName() == c.target.Model && len(r.GetInputs()) > 0 && len(r.GetOutputs()) > 0, err)
		}},
		{"GRPC-06", "ModelInfer answers contents by type, with the request's id", func(ctx context.Context, c *client) error {
			r, err := c.inferGRPC(ctx, false, func(r *inference.ModelInferRequest) { r.Id = "an id" })
			if err != nil {
				return err
			}
			if r.GetId() != "an id" || r.GetModelName() != c.target.Model {
				return fmt.Errorf("got id %q and model %q", r.GetId(), r.GetModelName())
			}
			_, err = outputsOf(r)
			return err
		}},
		{"GRPC-07", "ModelInfer answers raw contents like contents by type", func(ctx context.Context, c *client) error {
			return c.sameGRPC(ctx, nil)
		}},
		{"GRPC-08", "a model that is not there is NOT_FOUND", func(ctx context.Context, c *client) error {
			_, err := c.grpc.ModelMetadata(c.withKey(ctx), &inference.ModelMetadataRequest{Name: unknown})
			_, err2 := c.grpc.ModelInfer(c.withKey(ctx), &inference.ModelInferRequest{ModelName: unknown})
			return errors.Join(hasCode(err, codes.NotFound), hasCode(err2, codes.NotFound))
		}},
		{"GRPC-09", "a version that is not there is NOT_FOUND", func(ctx context.Context, c *client) error {
			_, err := c.grpc.ModelMetadata(c.withKey(ctx), &inference.ModelMetadataRequest{Name: c.target.Model, Version: "there-is-none"})
			return hasCode(err, codes.NotFound)
		}},
		{"GRPC-10", "inputs that do not fit are INVALID_ARGUMENT", func(ctx context.Context, c *client) error {
			var problems error
			for _, change := range []func(*inference.ModelInferRequest){
				func(r *inference.ModelInferRequest) { r.Inputs[0].Name = "there-is-no-such-input" },
				func(r *inference.ModelInferRequest) { r.Inputs[0].Datatype = "FP31" },
				func(r *inference.ModelInferRequest) { r.Inputs[0].Shape = append(r.GetInputs()[0].GetShape(), 1) },
				func(r *inference.ModelInferRequest) { r.RawInputContents = append(r.GetRawInputContents(), nil) },
				func(r *inference.ModelInferRequest) {
					r.Outputs = []*inference.ModelInferRequest_InferRequestedOutputTensor{{Name: "none"}}
				},
			} {
				_, err := c.inferGRPC(ctx, true, change)
				problems = errors.Join(problems, hasCode(err, codes.InvalidArgument))
			}
			return problems
		}},
	}
}

// equalityRequirements are about both ways.
func equalityRequirements() []requirement {
	return []requirement{
		{"EQ-01", "the metadata by gRPC is that by REST", func(ctx context.Context, c *client) error {
			byREST, err := c.metadata(ctx)
			if err != nil {
				return err
			}
			byGRPC, err := c.modelMetadata(ctx)
			if err != nil {
				return err
			}
			a := fmt.Sprintf("%s %q %s %v %v", byREST.Name, byREST.Versions, *byREST.Platform, byREST.Inputs, byREST.Outputs)
			b := fmt.Sprintf("%s %q %s %v %v", byGRPC.GetName(), byGRPC.GetVersions(), byGRPC.GetPlatform(), specs(byGRPC.GetInputs()), specs(byGRPC.GetOutputs()))
			if a != b {
				return fmt.Errorf("%s against %s", a, b)
			}
			return nil
		}},
		{"EQ-02", "an answer by gRPC is that by REST", func(ctx context.Context, c *client) error {
			a, _, err := c.infer(ctx, nil)
			if err != nil {
				return err
			}
			return c.sameGRPC(ctx, a.outputs)
		}},
	}
}

func isTrue(ok bool, err error) error {
	if err == nil && !ok {
		return errors.New("it does not")
	}
	return err
}

func hasCode(err error, want codes.Code) error {
	if got := status.Code(err); got != want {
		return fmt.Errorf("got %s, want %s: %w", got, want, err)
	}
	return nil
}

func (c *client) modelMetadata(ctx context.Context) (*inference.ModelMetadataResponse, error) {
	return c.grpc.ModelMetadata(c.withKey(ctx), &inference.ModelMetadataRequest{Name: c.target.Model})
}

func specs(tensors []*inference.ModelMetadataResponse_TensorMetadata) []tensorSpec {
	out := make([]tensorSpec, len(tensors))
	for i, t := range tensors {
		out[i] = tensorSpec{t.GetName(), t.GetDatatype(), t.GetShape()}
	}
	return out
}

// inferGRPC asks with a sample, raw or with contents by type.
func (c *client) inferGRPC(ctx context.Context, raw bool, change func(*inference.ModelInferRequest)) (*inference.ModelInferResponse, error) {
	m, err := c.modelMetadata(ctx)
	if err != nil {
		return nil, err
	}
	r := &inference.ModelInferRequest{ModelName: c.target.Model}
	for _, t := range c.samples(specs(m.GetInputs())) {
		input := &inference.ModelInferRequest_InferInputTensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape}
		if raw {
			r.RawInputContents = append(r.RawInputContents, t.raw())
		} else if input.Contents = contents(t); input.GetContents() == nil {
			return nil, skipError(t.Datatype + " is sent raw only")
		}
		r.Inputs = append(r.Inputs, input)
	}
	if change != nil {
		change(r)
	}
	return c.grpc.ModelInfer(c.withKey(ctx), r)
}

// sameGRPC checks that contents by type and raw ones get the same answer, which is want unless that is nil.
func (c *client) sameGRPC(ctx context.Context, want []tensor) error {
	for _, raw := range []bool{false, true} {
		r, err := c.inferGRPC(ctx, raw, nil)
		var skip skipError
		if errors.As(err, &skip) {
			continue
		}
		if err != nil {
			return err
		}
		outputs, err := outputsOf(r)
		if err != nil {
			return err
		}
		if want == nil {
			want = outputs
		}
		if err := same(want, outputs); err != nil {
			return fmt.Errorf("raw %t: %w", raw, err)
		}
	}
	return nil
}

// contents gives a sample's elements by type; nil for a type that has no field.
func contents(t tensor) *inference.InferTensorContents {
	c := &inference.InferTensorContents{}
	for range t.elements {
		switch t.Datatype {
		case "BOOL":
			c.BoolContents = append(c.BoolContents, true)
		case "INT8", "INT16", "INT32":
			c.IntContents = append(c.IntContents, 1)
		case "INT64":
			c.Int64Contents = append(c.Int64Contents, 1)
		case "UINT8", "UINT16", "UINT32":
			c.UintContents = append(c.UintContents, 1)
		case "UINT64":
			c.Uint64Contents = append(c.Uint64Contents, 1)
		case "FP32":
			c.Fp32Contents = append(c.Fp32Contents, 1)
		case "FP64":
			c.Fp64Contents = append(c.Fp64Contents, 1)
		case "BYTES":
			c.BytesContents = append(c.BytesContents, []byte("1"))
		default:
			return nil
		}
	}
	return c
}

// outputsOf reads the outputs of an answer, raw or by type.
func outputsOf(r *inference.ModelInferResponse) ([]tensor, error) {
	raw := r.GetRawOutputContents()
	if len(raw) > 0 && len(raw) != len(r.GetOutputs()) {
		return nil, fmt.Errorf("raw_output_contents has %d elements for %d outputs", len(raw), len(r.GetOutputs()))
	}
	var out []tensor
	for i, o := range r.GetOutputs() {
		t := tensor{tensorSpec: tensorSpec{o.GetName(), o.GetDatatype(), o.GetShape()}, elements: elementsOf(o.GetContents())}
		if len(raw) > 0 {
			var err error
			if t.elements, err = readRaw(t.Datatype, raw[i]); err != nil {
				return nil, err
			}
		}
		if int64(len(t.elements)) != count(t.Shape) {
			return nil, fmt.Errorf("output %s has %d elements in shape %v", t.Name, len(t.elements), t.Shape)
		}
		out = append(out, t)
	}
	return out, nil
}

func elementsOf(c *inference.InferTensorContents) []any {
	out := []any{}
	for _, v := range c.GetBoolContents() {
		out = append(out, v)
	}
	for _, v := range c.GetIntContents() {
		out = append(out, float64(v))
	}
	for _, v := range c.GetInt64Contents() {
		out = append(out, float64(v))
	}
	for _, v := range c.GetUintContents() {
		out = append(out, float64(v))
	}
	for _, v := range c.GetUint64Contents() {
		out = append(out, float64(v))
	}
	for _, v := range c.GetFp32Contents() {
		out = append(out, float64(v))
	}
	for _, v := range c.GetFp64Contents() {
		out = append(out, v)
	}
	for _, v := range c.GetBytesContents() {
		out = append(out, string(v))
	}
	return out
}
