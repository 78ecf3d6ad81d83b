package grpcapi

import (
	"context"
	"errors"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/etag"
	"github.com/fairlead/fairlead/platform/fieldmask"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/compute/internal/board"
	"github.com/fairlead/fairlead/services/compute/internal/fact"
	"github.com/fairlead/fairlead/services/compute/internal/inventory"
	"github.com/fairlead/fairlead/services/compute/internal/nodesize"
	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/state"
	"github.com/fairlead/fairlead/services/compute/internal/target"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

var (
	workspacePattern = resourcename.NewPattern("workspaces/{workspace}")
	targetPattern    = resourcename.NewPattern("workspaces/{workspace}/computeTargets/{compute_target}")
	workloadPattern  = resourcename.NewPattern("workspaces/{workspace}/computeTargets/{compute_target}/workloads/{workload}")
)

// machine is what of a driver the edge tells.
type machine interface {
	Accelerators() []placement.Device
	Note() string
	CheckPython(ctx context.Context, ask *workload.Python) error
	Usage() map[string]replica.Usage
}

// Deps is what the servers work with.
type Deps struct {
	State      *state.State
	Board      *board.Board
	Machine    machine
	Operations *operation.Registry
	Clock      func() time.Time
}

// Targets is ComputeTargetService.
type Targets struct {
	computev1.UnsafeComputeTargetServiceServer
	deps       Deps
	operations *operation.Server
}

var _ computev1.ComputeTargetServiceServer = (*Targets)(nil)

// NewTargets makes the service.
func NewTargets(deps Deps) *Targets {
	t := &Targets{deps: deps}
	t.operations = operation.NewServer(deps.Operations, t.resolve)
	return t
}

// Operations gives google.longrunning.Operations of compute.
func (s *Targets) Operations() longrunningpb.OperationsServer { return s.operations }

// resolve gives the response of a finished operation.
func (s *Targets) resolve(ctx context.Context, o operation.Operation) (proto.Message, error) {
	if o.Verb == verbDelete || o.Verb == verbDetach {
		return &emptypb.Empty{}, nil
	}
	return s.GetComputeTarget(ctx, &computev1.GetComputeTargetRequest{Name: o.Target})
}

const (
	verbCreate = "create"
	verbAttach = "attach"
	verbUpdate = "update"
	verbDetach = "detach"
	verbDelete = "delete"
)

// ListComputeTargets lists the targets of a workspace.
func (s *Targets) ListComputeTargets(ctx context.Context, req *computev1.ListComputeTargetsRequest) (*computev1.ListComputeTargetsResponse, error) {
	v, err := workspacePattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	p, err := page.Parse(req.GetPageSize(), req.GetPageToken(), req.GetParent())
	if err != nil {
		return nil, err
	}
	all, err := s.deps.State.Targets(ctx, v.Get("workspace"))
	if err != nil {
		return nil, err
	}
	part, next := page.Cut(all, p, target.Target.Name)
	out := &computev1.ListComputeTargetsResponse{NextPageToken: next}
	for _, t := range part {
		out.ComputeTargets = append(out.ComputeTargets, s.proto(t))
	}
	return out, nil
}

// GetComputeTarget gives a target.
func (s *Targets) GetComputeTarget(ctx context.Context, req *computev1.GetComputeTargetRequest) (*computev1.ComputeTarget, error) {
	t, err := s.read(ctx, "name", req.GetName())
	if err != nil {
		return nil, err
	}
	return s.proto(t.Value), nil
}

// ListNodes lists the nodes of a target.
func (s *Targets) ListNodes(ctx context.Context, req *computev1.ListNodesRequest) (*computev1.ListNodesResponse, error) {
	t, err := s.read(ctx, "parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	out := &computev1.ListNodesResponse{}
	for _, n := range s.nodes(t.Value) {
		out.Nodes = append(out.Nodes, nodeProto(t.Value, n, s.deps.Machine.Note()))
	}
	return out, nil
}

// ListNodeSizes lists the catalogue.
func (s *Targets) ListNodeSizes(context.Context, *computev1.ListNodeSizesRequest) (*computev1.ListNodeSizesResponse, error) {
	out := &computev1.ListNodeSizesResponse{}
	for _, size := range nodesize.All() {
		out.NodeSizes = append(out.NodeSizes, sizeProto(size))
	}
	return out, nil
}

// CreateComputeTarget makes a target.
func (s *Targets) CreateComputeTarget(ctx context.Context, req *computev1.CreateComputeTargetRequest) (*longrunningpb.Operation, error) {
	v, err := workspacePattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	wanted := req.GetComputeTarget()
	c := s.change(ctx, verbCreate, v.Get("workspace"), req.GetRequestId(), req.GetValidateOnly())
	return c.run(ctx, func() (mutation, error) {
		t, cluster, facts, err := target.Create(target.Request{
			Workspace: c.workspace, ID: req.GetComputeTargetId(), Description: wanted.GetDescription(), Tags: wanted.GetTags(),
			Purpose: purposeOf(wanted.GetPurpose()), NodeSize: wanted.GetNodeSize(), NodeCount: int(wanted.GetNodeCount()), Principal: c.principal,
		}, target.Identity{UID: c.newID(), ClusterID: "local-" + c.newID()}, c.now)
		if err != nil {
			return mutation{}, err
		}
		if err := s.mustBeFree(ctx, t); err != nil {
			return mutation{}, err
		}
		return mutation{target: t, facts: facts, ops: []store.Op{state.PutTarget(t, 0), state.PutCluster(cluster, 0)}}, nil
	})
}

// AttachComputeTarget makes a target of a cluster that was detached.
func (s *Targets) AttachComputeTarget(ctx context.Context, req *computev1.AttachComputeTargetRequest) (*longrunningpb.Operation, error) {
	v, err := workspacePattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	c := s.change(ctx, verbAttach, v.Get("workspace"), req.GetRequestId(), req.GetValidateOnly())
	return c.run(ctx, func() (mutation, error) {
		cluster, err := s.cluster(ctx, c.workspace, req.GetClusterId())
		if err != nil {
			return mutation{}, err
		}
		t, taken, facts, err := target.Attach(target.Request{
			Workspace: c.workspace, ID: req.GetComputeTargetId(), Description: req.GetDescription(), Tags: req.GetTags(),
			Purpose: purposeOf(req.GetPurpose()), Principal: c.principal,
		}, cluster.Value, target.Identity{UID: c.newID()}, c.now)
		if err != nil {
			return mutation{}, err
		}
		if err := s.mustBeFree(ctx, t); err != nil {
			return mutation{}, err
		}
		return mutation{target: t, facts: facts, ops: []store.Op{state.PutTarget(t, 0), state.PutCluster(taken, cluster.Revision)}}, nil
	})
}

// cluster reads a cluster; that of this machine is always attached as "local".
func (s *Targets) cluster(ctx context.Context, workspace, id string) (state.Versioned[target.Cluster], error) {
	if id == target.LocalID {
		local, err := s.deps.State.Target(ctx, workspace, target.LocalID)
		if err != nil {
			return state.Versioned[target.Cluster]{}, err
		}
		return state.Versioned[target.Cluster]{Value: target.Cluster{
			ID: id, NodeSize: local.Value.NodeSize, NodeCount: local.Value.NodeCount, Target: local.Value.Name(),
		}}, nil
	}
	return s.deps.State.Cluster(ctx, id)
}

func (s *Targets) mustBeFree(ctx context.Context, t target.Target) error {
	_, err := s.deps.State.Target(ctx, t.Workspace, t.ID)
	switch {
	case err == nil:
		return apierr.New(apierr.AlreadyExists, "COMPUTE_TARGET_EXISTS", "there is a compute target %s already", t.Name()).With("compute_target", t.Name())
	case apierr.KindOf(err) == apierr.NotFound:
		return nil
	}
	return err
}

// UpdateComputeTarget changes node count, description or tags.
func (s *Targets) UpdateComputeTarget(ctx context.Context, req *computev1.UpdateComputeTargetRequest) (*longrunningpb.Operation, error) {
	wanted := req.GetComputeTarget()
	v, err := targetPattern.ParseField("compute_target.name", wanted.GetName())
	if err != nil {
		return nil, err
	}
	paths, err := fieldmask.Paths(req.GetUpdateMask(), wanted, "node_count", "description", "tags")
	if err != nil {
		return nil, err
	}
	c := s.change(ctx, verbUpdate, v.Get("workspace"), req.GetRequestId(), req.GetValidateOnly())
	change := changeOf(wanted, paths)
	change.Principal = c.principal
	return c.run(ctx, func() (mutation, error) {
		now, err := s.deps.State.Target(ctx, c.workspace, v.Get("compute_target"))
		if err != nil {
			return mutation{}, err
		}
		if err := etag.Check(wanted.GetEtag(), tagOf(now.Value)); err != nil {
			return mutation{}, err
		}
		next, facts, err := target.Update(now.Value, change, c.now)
		if err != nil {
			return mutation{}, err
		}
		m := mutation{target: next, facts: facts}
		if len(facts) > 0 {
			m.ops = []store.Op{state.PutTarget(next, now.Revision)}
		}
		return m, nil
	})
}

func changeOf(wanted *computev1.ComputeTarget, paths []string) target.Change {
	var c target.Change
	for _, path := range paths {
		switch path {
		case "node_count":
			count := int(wanted.GetNodeCount())
			c.NodeCount = &count
		case "description":
			text := wanted.GetDescription()
			c.Description = &text
		case "tags":
			tags := wanted.GetTags()
			c.Tags = &tags
		}
	}
	return c
}

// DetachComputeTarget ends the association with a cluster.
func (s *Targets) DetachComputeTarget(ctx context.Context, req *computev1.DetachComputeTargetRequest) (*longrunningpb.Operation, error) {
	return s.end(ctx, verbDetach, req, func(e ending) (mutation, error) {
		free, facts, err := target.Detach(e.target.Value, e.cluster.Value, e.workloads, e.principal)
		if err != nil {
			return mutation{}, err
		}
		return mutation{facts: facts, ops: []store.Op{state.PutCluster(free, e.cluster.Revision)}}, nil
	})
}

// DeleteComputeTarget ends a target and its cluster.
func (s *Targets) DeleteComputeTarget(ctx context.Context, req *computev1.DeleteComputeTargetRequest) (*longrunningpb.Operation, error) {
	return s.end(ctx, verbDelete, req, func(e ending) (mutation, error) {
		facts, err := target.Delete(e.target.Value, e.workloads, e.principal)
		if err != nil {
			return mutation{}, err
		}
		return mutation{facts: facts, ops: []store.Op{state.DropCluster(e.cluster.Value, e.cluster.Revision)}}, nil
	})
}

// endRequest is what detach and delete requests have in common.
type endRequest interface {
	GetName() string
	GetEtag() string
	GetValidateOnly() bool
	GetRequestId() string
}

// ending is what an end of a target is decided from.
type ending struct {
	target    state.Versioned[target.Target]
	cluster   state.Versioned[target.Cluster]
	workloads []string
	principal string
}

func (s *Targets) end(ctx context.Context, verb string, req endRequest, decide func(ending) (mutation, error)) (*longrunningpb.Operation, error) {
	v, err := targetPattern.Parse(req.GetName())
	if err != nil {
		return nil, err
	}
	workspace, id := v.Get("workspace"), v.Get("compute_target")
	c := s.change(ctx, verb, workspace, req.GetRequestId(), req.GetValidateOnly())
	return c.run(ctx, func() (mutation, error) {
		e := ending{principal: c.principal}
		// The turnstile is read first: a workload made after this moment changes it.
		turnstile, err := s.deps.State.Turnstile(ctx, workspace, id)
		if err != nil {
			return mutation{}, err
		}
		if e.target, err = s.deps.State.Target(ctx, workspace, id); err != nil {
			return mutation{}, err
		}
		if err := etag.Check(req.GetEtag(), tagOf(e.target.Value)); err != nil {
			return mutation{}, err
		}
		if e.cluster, err = s.cluster(ctx, workspace, e.target.Value.ClusterID); err != nil {
			return mutation{}, err
		}
		workloads, err := s.deps.State.Workloads(ctx, workspace, id)
		if err != nil {
			return mutation{}, err
		}
		for _, w := range workloads {
			e.workloads = append(e.workloads, w.Name())
		}
		m, err := decide(e)
		if err != nil {
			return mutation{}, err
		}
		m.target = e.target.Value
		m.ops = append(m.ops, state.DropTarget(e.target.Value, e.target.Revision))
		m.guards = append(m.guards, turnstile)
		return m, nil
	})
}

func (s *Targets) read(ctx context.Context, field, name string) (state.Versioned[target.Target], error) {
	v, err := targetPattern.ParseField(field, name)
	if err != nil {
		return state.Versioned[target.Target]{}, err
	}
	return s.deps.State.Target(ctx, v.Get("workspace"), v.Get("compute_target"))
}

func (s *Targets) nodes(t target.Target) []placement.Node {
	return inventory.Nodes(t, s.deps.Machine.Accelerators(), s.deps.Board.Occupants())
}

func (s *Targets) proto(t target.Target) *computev1.ComputeTarget {
	return targetProto(t, s.nodes(t), s.deps.Machine.Note())
}

// mutation is what one request changes.
type mutation struct {
	target target.Target
	facts  []fact.Fact
	ops    []store.Op
	guards []store.Guard
}

// change is one mutating request.
type change struct {
	server       *Targets
	verb         string
	workspace    string
	principal    string
	requestKey   string
	validateOnly bool
	now          time.Time
}

func (s *Targets) change(ctx context.Context, verb, workspace, requestID string, validateOnly bool) *change {
	return &change{
		server: s, verb: verb, workspace: workspace, principal: rpc.Principal(ctx), validateOnly: validateOnly,
		requestKey: operation.RequestKey(workspace, "computeTargets."+verb, requestID), now: s.deps.Clock().UTC(),
	}
}

func (c *change) newID() string { return strings.ToLower(ulid.MustNewDefault(c.now).String()) }

// run decides and commits, again when someone else changed something meanwhile.
func (c *change) run(ctx context.Context, decide func() (mutation, error)) (*longrunningpb.Operation, error) {
	const tries = 5
	var conflict error
	for range tries {
		if done, err := c.earlier(ctx); done != nil || err != nil {
			return done, err
		}
		m, err := decide()
		if err != nil {
			return nil, err
		}
		o := operation.New("compute", c.workspace, c.verb, m.target.Name(), c.now)
		o.TargetUID, o.TargetGeneration, o.Principal = m.target.UID, m.target.Generation, c.principal
		for _, f := range m.facts {
			o = o.Step(c.now, "%s", f.Message)
		}
		o = o.Succeed(c.now)
		if c.validateOnly {
			return c.server.validated(o, m.target)
		}
		b := store.Batch{Ops: append(m.ops, operation.Put(o)), Guards: m.guards}
		if c.requestKey != "" {
			b.Ops = append(b.Ops, operation.Record(c.requestKey, o.Name()))
		}
		err = c.server.deps.State.Commit(ctx, c.now, m.facts, b)
		if err == nil {
			return c.server.operations.Proto(ctx, o)
		}
		if _, ok := errors.AsType[*store.ConflictError](err); !ok {
			return nil, err
		}
		conflict = err
	}
	return nil, apierr.New(apierr.Conflict, "CONCURRENT_CHANGE", "others keep changing the same; try again").Because(conflict)
}

// earlier gives the operation of the same request sent before.
func (c *change) earlier(ctx context.Context) (*longrunningpb.Operation, error) {
	name, ok, err := operation.Recorded(ctx, c.server.deps.State.Store(), c.requestKey)
	if err != nil || !ok {
		return nil, err
	}
	o, err := c.server.deps.Operations.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.server.operations.Proto(ctx, o)
}
