package operation

import (
	"context"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

// Resolve gives the resource that a successful operation is about, as it is
// now; an error of kind NotFound means that it has been deleted since.
type Resolve func(ctx context.Context, o Operation) (proto.Message, error)

// Cancel ends an operation that has not ended, or says why that is not possible.
type Cancel func(ctx context.Context, o Operation) error

// Server is google.longrunning.Operations over a registry.
type Server struct {
	longrunningpb.UnimplementedOperationsServer
	registry *Registry
	resolve  Resolve
	cancel   Cancel
}

// NewServer makes the service.
func NewServer(registry *Registry, resolve Resolve) *Server {
	return &Server{registry: registry, resolve: resolve}
}

// WithCancel lets operations be cancelled; without it none can be.
func (s *Server) WithCancel(cancel Cancel) *Server {
	s.cancel = cancel
	return s
}

// CancelOperation ends an operation. One that has ended already stays as it is.
func (s *Server) CancelOperation(ctx context.Context, req *longrunningpb.CancelOperationRequest) (*emptypb.Empty, error) {
	o, err := s.registry.Get(ctx, req.GetName())
	switch {
	case err != nil:
		return nil, err
	case o.Done:
		return &emptypb.Empty{}, nil
	case s.cancel == nil:
		return nil, apierr.New(apierr.FailedPrecondition, "CANNOT_CANCEL", "%s cannot be cancelled", o.Name())
	}
	return &emptypb.Empty{}, s.cancel(ctx, o)
}

// maxWait bounds one WaitOperation call; callers call again.
const maxWait = 50 * time.Second

// GetOperation gives an operation.
func (s *Server) GetOperation(ctx context.Context, req *longrunningpb.GetOperationRequest) (*longrunningpb.Operation, error) {
	o, err := s.registry.Get(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return s.Proto(ctx, o)
}

// ListOperations gives the operations of a workspace.
func (s *Server) ListOperations(ctx context.Context, req *longrunningpb.ListOperationsRequest) (*longrunningpb.ListOperationsResponse, error) {
	p, err := page.Parse(req.GetPageSize(), req.GetPageToken(), req.GetName())
	if err != nil {
		return nil, err
	}
	all, next := page.Cut(s.registry.List(resourcename.Workspace(req.GetName())), p, Operation.Name)
	out := &longrunningpb.ListOperationsResponse{NextPageToken: next}
	for _, o := range all {
		msg, err := s.Proto(ctx, o)
		if err != nil {
			return nil, err
		}
		out.Operations = append(out.Operations, msg)
	}
	return out, nil
}

// WaitOperation blocks until the operation is done, the wanted time has passed
// or the caller leaves, and gives the operation as it then is.
func (s *Server) WaitOperation(ctx context.Context, req *longrunningpb.WaitOperationRequest) (*longrunningpb.Operation, error) {
	wait := maxWait
	if t := req.GetTimeout(); t != nil {
		wait = min(wait, t.AsDuration())
	}
	o, err := s.registry.Get(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if !o.Done && waiting.Err() == nil {
		later, err := s.registry.Wait(waiting, req.GetName())
		switch {
		case err == nil:
			o = later
		case ctx.Err() != nil || waiting.Err() == nil:
			return nil, err
		case later.ID != "":
			o = later
		}
	}
	return s.Proto(ctx, o)
}

// Proto gives the message of an operation.
func (s *Server) Proto(ctx context.Context, o Operation) (*longrunningpb.Operation, error) {
	meta, err := anypb.New(metadata(o))
	if err != nil {
		return nil, err
	}
	out := &longrunningpb.Operation{Name: o.Name(), Metadata: meta, Done: o.Done}
	if !o.Done {
		return out, nil
	}
	if failed := o.Error; failed != nil {
		out.Result = &longrunningpb.Operation_Error{Error: apierr.ToStatus(failed).Proto()}
		return out, nil
	}
	response, err := s.resolve(ctx, o)
	if apierr.KindOf(err) == apierr.NotFound && err != nil { // deleted since
		response, err = &emptypb.Empty{}, nil
	}
	if err != nil {
		return nil, err
	}
	packed, err := anypb.New(response)
	if err != nil {
		return nil, err
	}
	out.Result = &longrunningpb.Operation_Response{Response: packed}
	return out, nil
}

func metadata(o Operation) *resourcev1.OperationMetadata {
	out := &resourcev1.OperationMetadata{
		Verb:             o.Verb,
		Target:           o.Target,
		TargetGeneration: o.TargetGeneration,
		Principal:        o.Principal,
		CreateTime:       timestamppb.New(o.CreateTime),
	}
	if o.Done {
		out.EndTime = timestamppb.New(o.EndTime)
	}
	for _, s := range o.Steps {
		out.Steps = append(out.Steps, &resourcev1.OperationMetadata_Step{Time: timestamppb.New(s.Time), Message: s.Message})
	}
	return out
}
