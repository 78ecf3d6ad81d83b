package grpcapi

import (
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/services/compute/internal/target"
)

// validated answers a request that was only checked: an operation without a
// name, done, with the target as it would have become.
func (s *Targets) validated(o operation.Operation, t target.Target) (*longrunningpb.Operation, error) {
	var response proto.Message = s.proto(t)
	if o.Verb == verbDelete || o.Verb == verbDetach {
		response = &emptypb.Empty{}
	}
	packed, err := anypb.New(response)
	if err != nil {
		return nil, err
	}
	return &longrunningpb.Operation{Done: true, Result: &longrunningpb.Operation_Response{Response: packed}}, nil
}
