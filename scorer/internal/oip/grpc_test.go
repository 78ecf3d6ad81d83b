package oip_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/fairlead/fairlead/proto/gen/inference"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

func TestDescribesByGRPC(t *testing.T) {
	s := serve(t, &mirror{specs: []tensor.Spec{{Name: "x", Datatype: tensor.FP32, Shape: []int64{-1, 2}}}})
	ctx := context.Background()
	if live, err := s.client.ServerLive(ctx, &inference.ServerLiveRequest{}); err != nil || !live.Live {
		t.Errorf("not live: %v", err)
	}
	if ready, err := s.client.ServerReady(ctx, &inference.ServerReadyRequest{}); err != nil || !ready.Ready {
		t.Errorf("not ready: %v", err)
	}
	if ready, err := s.client.ModelReady(ctx, &inference.ModelReadyRequest{Name: "m", Version: "3"}); err != nil || !ready.Ready {
		t.Errorf("the model is not ready: %v", err)
	}
	server, err := s.client.ServerMetadata(ctx, &inference.ServerMetadataRequest{})
	if diff := cmp.Diff(&inference.ServerMetadataResponse{Name: "fairlead", Version: "test", Extensions: []string{"binary_tensor_data"}}, server, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
	x := []*inference.ModelMetadataResponse_TensorMetadata{{Name: "x", Datatype: "FP32", Shape: []int64{-1, 2}}}
	model, err := s.client.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: "other"})
	want := &inference.ModelMetadataResponse{Name: "other", Versions: []string{"blue"}, Platform: "mirror_glass", Inputs: x, Outputs: x}
	if diff := cmp.Diff(want, model, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}

func TestFailuresByGRPC(t *testing.T) {
	input := func(datatype string, contents *inference.InferTensorContents, shape ...int64) []*inference.ModelInferRequest_InferInputTensor {
		return []*inference.ModelInferRequest_InferInputTensor{{Name: datatype, Datatype: datatype, Shape: shape, Contents: contents}}
	}
	ints := &inference.InferTensorContents{IntContents: []int32{300}, UintContents: []uint32{70000}}
	for name, test := range map[string]struct {
		prepare func(*serving)
		request *inference.ModelInferRequest
		code    codes.Code
		text    string
	}{
		"model":         {nil, &inference.ModelInferRequest{ModelName: "none"}, codes.NotFound, "there is no model"},
		"version":       {nil, &inference.ModelInferRequest{ModelName: "m", ModelVersion: "9"}, codes.NotFound, "has no version"},
		"datatype":      {nil, &inference.ModelInferRequest{ModelName: "m", Inputs: input("FP33", nil)}, codes.InvalidArgument, `inputs[0].datatype is "FP33"`},
		"too great":     {nil, &inference.ModelInferRequest{ModelName: "m", Inputs: append(input("INT8", ints, 1), input("UINT16", ints, 1)...)}, codes.InvalidArgument, "inputs[0].contents does not fit: element 0 is 300, INT8 goes from -128 to 127; inputs[1].contents does not fit: element 0 is 70000"},
		"half typed":    {nil, &inference.ModelInferRequest{ModelName: "m", Inputs: input("FP16", nil, 1)}, codes.InvalidArgument, "send it in raw_input_contents"},
		"wrong field":   {nil, &inference.ModelInferRequest{ModelName: "m", Inputs: input("FP32", ints, 1)}, codes.InvalidArgument, "has 0 bytes of data"},
		"raw and typed": {nil, &inference.ModelInferRequest{ModelName: "m", RawInputContents: [][]byte{{1}}, Inputs: input("INT8", ints, 1)}, codes.InvalidArgument, "must be empty where"},
		"raw for two":   {nil, &inference.ModelInferRequest{ModelName: "m", RawInputContents: [][]byte{{1}, {2}}, Inputs: input("INT8", nil, 1)}, codes.InvalidArgument, "has 2 elements for 1 inputs"},
		"raised":        {func(s *serving) { s.model.err = &tensor.Failure{Cause: "run() raised"} }, &inference.ModelInferRequest{ModelName: "m"}, codes.Internal, "run() raised"},
		"slow":          {func(s *serving) { s.model.err = &tensor.Failure{Kind: tensor.TimedOut} }, &inference.ModelInferRequest{ModelName: "m"}, codes.DeadlineExceeded, ""},
		"full":          {func(s *serving) { s.model.err = &tensor.Failure{Kind: tensor.Overloaded} }, &inference.ModelInferRequest{ModelName: "m"}, codes.Unavailable, ""},
		"unknown":       {func(s *serving) { s.model.err = errors.New("a secret") }, &inference.ModelInferRequest{ModelName: "m"}, codes.Internal, "unexpected"},
		"starting":      {func(s *serving) { s.loaded.Store(false) }, &inference.ModelInferRequest{ModelName: "m"}, codes.Unavailable, "not loaded"},
		"draining":      {func(s *serving) { s.gate.Close() }, &inference.ModelInferRequest{ModelName: "m"}, codes.Unavailable, "shutting down"},
		"no tensors":    {func(s *serving) { s.without = errors.New("plain") }, &inference.ModelInferRequest{ModelName: "m"}, codes.FailedPrecondition, "has no tensors: plain"},
		"too long":      {nil, &inference.ModelInferRequest{ModelName: "m", Id: strings.Repeat("x", 1<<20)}, codes.ResourceExhausted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, everyType())
			if test.prepare != nil {
				test.prepare(s)
			}
			_, err := s.client.ModelInfer(context.Background(), test.request)
			if got := status.Convert(err); got.Code() != test.code || !strings.Contains(got.Message(), test.text) {
				t.Errorf("got %v, want %s %s", err, test.code, test.text)
			}
		})
	}
}

// The id in the header is for logs only; a compressed request is read.
func TestHeadersByGRPC(t *testing.T) {
	s := serve(t, everyType())
	ctx := metadata.AppendToOutgoingContext(context.Background(), "x-request-id", "r")
	response, err := s.client.ModelInfer(ctx, &inference.ModelInferRequest{ModelName: "m"}, grpc.UseCompressor("gzip"))
	if err != nil || response.Id != "" || s.model.asked.Load().ID != "r" {
		t.Errorf("got %v %v, the model got id %q", response, err, s.model.asked.Load().ID)
	}
}

func TestReadyByGRPC(t *testing.T) {
	s := serve(t, everyType())
	s.up.Store(false)
	ctx := context.Background()
	server, err := s.client.ServerReady(ctx, &inference.ServerReadyRequest{})
	if err != nil || server.Ready {
		t.Errorf("got %v %v", server, err)
	}
	model, err := s.client.ModelReady(ctx, &inference.ModelReadyRequest{Name: "m"})
	if err != nil || model.Ready {
		t.Errorf("got %v %v", model, err)
	}
	if _, err := s.client.ModelReady(ctx, &inference.ModelReadyRequest{Name: "none"}); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
}

// waiting answers when the context of the request ends.
type waiting struct{ mirror }

func (w *waiting) Infer(ctx context.Context, _ *tensor.Request) (*tensor.Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// The caller's deadline reaches the model, and a drain waits for who is inside.
func TestDeadlineByGRPC(t *testing.T) {
	s := serve(t, everyType())
	s.replace = &waiting{}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.client.ModelInfer(ctx, &inference.ModelInferRequest{ModelName: "m"}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	<-s.gate.Close()
}

func TestParametersComeByGRPC(t *testing.T) {
	s := serve(t, everyType())
	const text = `{"b":true,"i":-1,"u":18446744073709551615,"d":0.5,"s":"x"}`
	in := map[string]*inference.InferParameter{
		"b": {ParameterChoice: &inference.InferParameter_BoolParam{BoolParam: true}}, "i": {ParameterChoice: &inference.InferParameter_Int64Param{Int64Param: -1}},
		"u": {ParameterChoice: &inference.InferParameter_Uint64Param{Uint64Param: 1<<64 - 1}}, "d": {ParameterChoice: &inference.InferParameter_DoubleParam{DoubleParam: 0.5}},
		"s": {ParameterChoice: &inference.InferParameter_StringParam{StringParam: "x"}},
	}
	if _, err := s.client.ModelInfer(context.Background(), &inference.ModelInferRequest{ModelName: "m", Parameters: in}); err != nil {
		t.Fatal(err)
	}
	byGRPC := s.model.asked.Load().Parameters
	if got := s.send(t, "POST", "/v2/models/m/infer", `{"inputs":[],"parameters":`+text[:len(text)-1]+`,"l":[1],"n":null}}`); got.code != 200 {
		t.Fatal(got.body)
	}
	if diff := cmp.Diff(byGRPC, s.model.asked.Load().Parameters); diff != "" {
		t.Errorf("-gRPC +REST:\n%s", diff)
	}
	if b, err := json.Marshal(byGRPC); err != nil || len(byGRPC) != 5 {
		t.Errorf("got %s", b)
	}
}
