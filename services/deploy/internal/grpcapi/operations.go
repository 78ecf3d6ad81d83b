package grpcapi

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// resolve gives the resource that a finished operation is about.
func (s *server) resolve(ctx context.Context, o operation.Operation) (proto.Message, error) {
	workspace, id, version := splitTarget(o.Target)
	if o.Verb == "delete" && version == "" {
		return &emptypb.Empty{}, nil
	}
	e, _, err := s.deps.State.Endpoint(ctx, workspace, id)
	if err != nil {
		return nil, err
	}
	if o.TargetUID != "" && o.TargetUID != e.UID {
		return nil, apierr.New(apierr.NotFound, "ENDPOINT_NOT_FOUND", "the endpoint of operation %s has been deleted since", o.Name())
	}
	return s.response(e, o)
}

// response gives what the operation's contract promises for an endpoint.
func (s *server) response(e endpoint.Endpoint, o operation.Operation) (proto.Message, error) {
	_, _, version := splitTarget(o.Target)
	switch {
	case o.Verb == "delete" && version == "":
		return &emptypb.Empty{}, nil
	case o.Verb == "delete" || version == "":
		return s.endpoint(e), nil
	}
	v, ok := e.Version(version)
	if !ok {
		return nil, apierr.New(apierr.NotFound, "VERSION_NOT_FOUND", "version %s has been deleted since", version)
	}
	return s.version(e, v), nil
}

// recorded gives the operation of an earlier request with the same key.
func (s *server) recorded(ctx context.Context, requestKey string) (*longrunningpb.Operation, bool, error) {
	name, ok, err := s.deps.State.Recorded(ctx, requestKey)
	if err != nil || !ok {
		return nil, false, err
	}
	o, err := s.deps.State.Operation(ctx, name)
	if err != nil {
		return nil, false, err
	}
	answer, err := s.operations.Proto(ctx, o)
	return answer, true, err
}

// preview gives the answer to a request that only validates: what the operation
// would end with.
func (s *server) preview(ctx context.Context, o operation.Operation, e endpoint.Endpoint, before *endpoint.Endpoint) (*longrunningpb.Operation, error) {
	would := operation.NewServer(s.deps.Operations, func(_ context.Context, o operation.Operation) (proto.Message, error) {
		would, err := s.response(e, o)
		withoutWhatIsNotThere(would, before)
		return would, err
	})
	answer, err := would.Proto(ctx, o.Succeed(s.deps.Clock()))
	if err != nil {
		return nil, err
	}
	answer.Name = "" // there is no such operation to ask for
	return answer, nil
}

// withoutWhatIsNotThere clears the identity of what is only validated, and the
// operation that does not run. before is the endpoint as it is; nil for none.
func withoutWhatIsNotThere(m proto.Message, before *endpoint.Endpoint) {
	unborn := func(v *deployv1.EndpointVersion) {
		if before == nil || !hasVersion(*before, resourcename.Last(v.GetName())) {
			v.Uid, v.Etag, v.CreateTime, v.UpdateTime = "", "", nil, nil
		}
	}
	switch m := m.(type) {
	case *deployv1.EndpointVersion:
		unborn(m)
	case *deployv1.Endpoint:
		m.RunningOperation = ""
		if before == nil {
			m.Uid, m.Etag, m.CreateTime, m.UpdateTime = "", "", nil, nil
		} else {
			m.RunningOperation = before.Running()
		}
		for _, v := range m.GetVersions() {
			unborn(v)
		}
	}
}

func hasVersion(e endpoint.Endpoint, id string) bool {
	_, ok := e.Version(id)
	return ok
}

func splitTarget(target string) (workspace, endpointID, version string) {
	if v, err := versionPattern.Parse(target); err == nil {
		return v.Get("workspace"), v.Get("endpoint"), v.Get("version")
	}
	if v, err := endpointPattern.Parse(target); err == nil {
		return v.Get("workspace"), v.Get("endpoint"), ""
	}
	return "", "", ""
}
