package oip

import (
	"context"

	_ "google.golang.org/grpc/encoding/gzip" // callers may compress
	"google.golang.org/grpc/metadata"

	"github.com/fairlead/fairlead/proto/gen/inference"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// service is the protocol by gRPC.
type service struct {
	inference.UnsafeGRPCInferenceServiceServer
	handler *Handler
}

var _ inference.GRPCInferenceServiceServer = (*service)(nil)

func (s *service) ServerLive(context.Context, *inference.ServerLiveRequest) (*inference.ServerLiveResponse, error) {
	return &inference.ServerLiveResponse{Live: true}, nil
}

func (s *service) ServerReady(context.Context, *inference.ServerReadyRequest) (*inference.ServerReadyResponse, error) {
	return &inference.ServerReadyResponse{Ready: s.handler.isReady()}, nil
}

func (s *service) ModelReady(_ context.Context, r *inference.ModelReadyRequest) (*inference.ModelReadyResponse, error) {
	ready, err := s.handler.isModelReady(asked{r.GetName(), r.GetVersion()})
	if err != nil {
		return nil, s.handler.statusOf(err)
	}
	return &inference.ModelReadyResponse{Ready: ready}, nil
}

func (s *service) ServerMetadata(context.Context, *inference.ServerMetadataRequest) (*inference.ServerMetadataResponse, error) {
	cfg := s.handler.cfg
	return &inference.ServerMetadataResponse{Name: cfg.Server, Version: cfg.Version, Extensions: []string{extension}}, nil
}

func (s *service) ModelMetadata(_ context.Context, r *inference.ModelMetadataRequest) (*inference.ModelMetadataResponse, error) {
	model, a, err := s.handler.find(asked{r.GetName(), r.GetVersion()})
	if err != nil {
		return nil, s.handler.statusOf(err)
	}
	m := model.Metadata()
	return &inference.ModelMetadataResponse{
		Name: a.name, Versions: s.handler.ownVersion(), Platform: m.Platform,
		Inputs: specMessages(m.Inputs), Outputs: specMessages(m.Outputs),
	}, nil
}

func (s *service) ModelInfer(ctx context.Context, r *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	model, a, err := s.handler.find(asked{r.GetModelName(), r.GetModelVersion()})
	if err != nil {
		return nil, s.handler.statusOf(err)
	}
	request, err := requestOf(r)
	if err != nil {
		return nil, s.handler.statusOf(err)
	}
	if ids := metadata.ValueFromIncomingContext(ctx, "x-request-id"); request.ID == "" && len(ids) > 0 {
		request.ID = ids[0]
	}
	response, err := s.handler.infer(ctx, model, request)
	if err != nil {
		return nil, s.handler.statusOf(err)
	}
	message, err := responseMessage(response, len(r.GetRawInputContents()) > 0)
	if err != nil {
		return nil, s.handler.statusOf(err)
	}
	message.ModelName, message.ModelVersion, message.Id = a.name, a.version, r.GetId()
	return message, nil
}

func specMessages(specs []tensor.Spec) []*inference.ModelMetadataResponse_TensorMetadata {
	out := make([]*inference.ModelMetadataResponse_TensorMetadata, len(specs))
	for i, s := range specs {
		out[i] = &inference.ModelMetadataResponse_TensorMetadata{Name: s.Name, Datatype: s.Datatype.String(), Shape: s.Shape}
	}
	return out
}
