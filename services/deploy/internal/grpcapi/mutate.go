package grpcapi

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"

	"github.com/fairlead/fairlead/platform/etag"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
)

// mutation is one request that changes an endpoint.
type mutation struct {
	method, verb  string
	workspace, id string
	target        string // the resource that the request names
	etag          string
	requestID     string
	validateOnly  bool
	// always lets the change happen while another one of the endpoint runs.
	always bool
	// change makes the change; it may be called again when others were faster.
	change func(ctx context.Context, e endpoint.Endpoint, operation string) (endpoint.Change, []store.Op, error)
}

// mutate makes a change and gives its operation, which is done at once when
// nothing has to be waited for.
func (s *server) mutate(ctx context.Context, m mutation) (*longrunningpb.Operation, error) {
	requestKey := operation.RequestKey(m.workspace, m.method, m.requestID)
	for range attempts {
		if answer, ok, err := s.recorded(ctx, requestKey); ok || err != nil {
			return answer, err
		}
		e, at, err := s.deps.State.Endpoint(ctx, m.workspace, m.id)
		if err != nil {
			return nil, err
		}
		if err := etag.Check(m.etag, tag(e)); err != nil {
			return nil, err
		}
		if !m.always && !m.validateOnly {
			if err := e.Busy(); err != nil {
				return nil, err
			}
		}
		now := s.deps.Clock()
		o := operation.New(state.Service, m.workspace, m.verb, m.target, now)
		c, extra, err := m.change(ctx, e, o.Name())
		if err != nil {
			return nil, err
		}
		o = s.begun(ctx, o, c)
		if m.validateOnly {
			return s.preview(ctx, o, c.Endpoint, &e)
		}
		err = s.deps.State.Apply(ctx, state.Commit{
			Change: c, At: at, Operation: &o, RequestKey: requestKey, Principal: rpc.Principal(ctx), Extra: extra,
		})
		if state.IsConflict(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return s.operations.Proto(ctx, o)
	}
	return nil, busy(m.target)
}

// begun fills in a new operation from the change that it stands for.
func (s *server) begun(ctx context.Context, o operation.Operation, c endpoint.Change) operation.Operation {
	now := s.deps.Clock()
	o.Principal, o.TargetUID, o.TargetGeneration = rpc.Principal(ctx), c.Endpoint.UID, c.Endpoint.Generation
	for _, step := range c.Steps {
		o = o.Step(now, "%s", step)
	}
	if !c.Endpoint.Runs(o.Name()) {
		o = o.Succeed(now)
	}
	return o
}

// tag gives the etag of an endpoint and of each of its versions.
func tag(e endpoint.Endpoint) string { return etag.Of(e.UID, e.Generation) }
