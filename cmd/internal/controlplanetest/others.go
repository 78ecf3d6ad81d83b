package controlplanetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

// start makes an operation that ends when it is asked for the second time.
func (s *Server) start(verb, target string, finish func() (proto.Message, error)) *longrunningpb.Operation {
	name := fmt.Sprintf("%s/operations/deploy-%d", Parent, len(s.operations)+1)
	op := &longrunningpb.Operation{Name: name}
	s.operations[name] = &running{op: op, finish: finish}
	s.step(op, &resourcev1.OperationMetadata{
		Verb: verb, Target: target, Principal: "admin", CreateTime: timestamppb.New(Now()),
	}, "accepted")
	return op
}

func (s *Server) step(op *longrunningpb.Operation, m *resourcev1.OperationMetadata, message string) {
	at := Now().Add(time.Duration(len(m.GetSteps())) * time.Second)
	m.Steps = append(m.Steps, &resourcev1.OperationMetadata_Step{Time: timestamppb.New(at), Message: message})
	op.Metadata, _ = anypb.New(m)
}

// done makes an operation that has ended already.
func (s *Server) done(response proto.Message) (*longrunningpb.Operation, error) {
	packed, err := anypb.New(response)
	return &longrunningpb.Operation{
		Name: Parent + "/operations/deploy-0", Done: true, Result: &longrunningpb.Operation_Response{Response: packed},
	}, err
}

type operationService struct {
	longrunningpb.UnimplementedOperationsServer
	s *Server
}

func (o operationService) WaitOperation(_ context.Context, req *longrunningpb.WaitOperationRequest) (*longrunningpb.Operation, error) {
	r, ok := o.s.operations[req.GetName()]
	if !ok {
		return nil, notFound("operation", req.GetName())
	}
	if r.op.GetDone() || r.finish == nil {
		return r.op, nil
	}
	var m resourcev1.OperationMetadata
	if err := r.op.GetMetadata().UnmarshalTo(&m); err != nil {
		return nil, err
	}
	if r.asked++; r.asked == 1 {
		o.s.step(r.op, &m, "replica 1 of 1 starts")
		return r.op, nil
	}
	m.EndTime = timestamppb.New(Now().Add(2 * time.Second))
	o.s.step(r.op, &m, "done")
	r.op.Done = true
	response, err := r.finish()
	if err != nil {
		r.op.Result = &longrunningpb.Operation_Error{Error: apierr.ToStatus(err).Proto()}
		return r.op, nil
	}
	packed, err := anypb.New(response)
	r.op.Result = &longrunningpb.Operation_Response{Response: packed}
	return r.op, err
}

func (o operationService) GetOperation(_ context.Context, req *longrunningpb.GetOperationRequest) (*longrunningpb.Operation, error) {
	if r, ok := o.s.operations[req.GetName()]; ok {
		return r.op, nil
	}
	return nil, notFound("operation", req.GetName())
}

func (o operationService) ListOperations(context.Context, *longrunningpb.ListOperationsRequest) (*longrunningpb.ListOperationsResponse, error) {
	r := &longrunningpb.ListOperationsResponse{}
	for _, op := range o.s.operations {
		r.Operations = append(r.Operations, op.op)
	}
	slices.SortFunc(r.GetOperations(), func(a, b *longrunningpb.Operation) int { return strings.Compare(a.GetName(), b.GetName()) })
	return r, nil
}

type keyService struct {
	authv1.UnimplementedEndpointKeyServiceServer
	s *Server
}

func (k keyService) ListEndpointKeys(_ context.Context, req *authv1.ListEndpointKeysRequest) (*authv1.EndpointKeys, error) {
	if keys, ok := k.s.keys[req.GetName()[strings.LastIndexByte(req.GetName(), '/')+1:]]; ok {
		return keys, nil
	}
	return nil, notFound("endpoint", req.GetName())
}

func (k keyService) RegenerateEndpointKey(ctx context.Context, req *authv1.RegenerateEndpointKeyRequest) (*authv1.EndpointKeys, error) {
	keys, err := k.ListEndpointKeys(ctx, &authv1.ListEndpointKeysRequest{Name: req.GetName()})
	if err != nil {
		return nil, err
	}
	value := req.GetKeyValue()
	if value == "" {
		value = "another-key-of-16"
	}
	if req.GetKeyType() == authv1.KeyType_KEY_TYPE_PRIMARY {
		keys.PrimaryKey = value
	} else {
		keys.SecondaryKey = value
	}
	return keys, nil
}

type workspaceService struct {
	authv1.UnimplementedWorkspaceServiceServer
	s *Server
}

func (w workspaceService) ListWorkspaces(context.Context, *authv1.ListWorkspacesRequest) (*authv1.ListWorkspacesResponse, error) {
	r := &authv1.ListWorkspacesResponse{}
	for _, one := range w.s.workspaces {
		r.Workspaces = append(r.Workspaces, one)
	}
	slices.SortFunc(r.GetWorkspaces(), func(a, b *authv1.Workspace) int { return strings.Compare(a.GetName(), b.GetName()) })
	return r, nil
}

func (w workspaceService) GetWorkspace(_ context.Context, req *authv1.GetWorkspaceRequest) (*authv1.Workspace, error) {
	if one, ok := w.s.workspaces[strings.TrimPrefix(req.GetName(), "workspaces/")]; ok {
		return one, nil
	}
	return nil, notFound("workspace", strings.TrimPrefix(req.GetName(), "workspaces/"))
}

func (w workspaceService) CreateWorkspace(_ context.Context, req *authv1.CreateWorkspaceRequest) (*authv1.Workspace, error) {
	one := req.GetWorkspace()
	one.Name, one.CreateTime = "workspaces/"+req.GetWorkspaceId(), timestamppb.New(Now())
	w.s.workspaces[req.GetWorkspaceId()] = one
	return one, nil
}

func (w workspaceService) UpdateWorkspace(ctx context.Context, req *authv1.UpdateWorkspaceRequest) (*authv1.Workspace, error) {
	one, err := w.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: req.GetWorkspace().GetName()})
	if err == nil {
		one.Tags = req.GetWorkspace().GetTags()
	}
	return one, err
}

type computeService struct {
	computev1.UnimplementedComputeTargetServiceServer
	s *Server
}

func target(id string, nodes int32) *computev1.ComputeTarget {
	return &computev1.ComputeTarget{
		Name: Parent + "/computeTargets/" + id, NodeCount: nodes, NodeSize: "Standard_D3_v2", Etag: "c1",
		Driver: computev1.ComputeTarget_DRIVER_LOCAL, Purpose: computev1.ComputeTarget_PURPOSE_FAST_PROD,
		State: computev1.ComputeTarget_STATE_SUCCEEDED, ClusterId: "cluster-" + id, CreateTime: timestamppb.New(Now()),
		Capacity:  &computev1.NodeResources{Vcpu: 4 * float64(nodes), MemoryBytes: int64(nodes) * 14 << 30},
		Allocated: &computev1.NodeResources{Vcpu: 0.1, MemoryBytes: 512 << 20},
	}
}

func (c computeService) ListComputeTargets(context.Context, *computev1.ListComputeTargetsRequest) (*computev1.ListComputeTargetsResponse, error) {
	r := &computev1.ListComputeTargetsResponse{}
	for _, t := range c.s.targets {
		r.ComputeTargets = append(r.ComputeTargets, t)
	}
	slices.SortFunc(r.GetComputeTargets(), func(a, b *computev1.ComputeTarget) int { return strings.Compare(a.GetName(), b.GetName()) })
	return r, nil
}

func (c computeService) GetComputeTarget(_ context.Context, req *computev1.GetComputeTargetRequest) (*computev1.ComputeTarget, error) {
	id := strings.TrimPrefix(req.GetName(), Parent+"/computeTargets/")
	if t, ok := c.s.targets[id]; ok {
		return t, nil
	}
	return nil, notFound("compute target", id)
}

func (c computeService) CreateComputeTarget(_ context.Context, req *computev1.CreateComputeTargetRequest) (*longrunningpb.Operation, error) {
	if req.GetComputeTarget().GetPurpose() == computev1.ComputeTarget_PURPOSE_FAST_PROD && req.GetComputeTarget().GetNodeCount() < 3 {
		return nil, apierr.Invalid(apierr.Violation{Field: "compute_target.node_count", Description: "FastProd needs at least 3 nodes"})
	}
	t := target(req.GetComputeTargetId(), req.GetComputeTarget().GetNodeCount())
	t.Purpose = req.GetComputeTarget().GetPurpose()
	c.s.targets[req.GetComputeTargetId()] = t
	return c.s.start("create", t.GetName(), func() (proto.Message, error) { return t, nil }), nil
}

func (c computeService) AttachComputeTarget(_ context.Context, req *computev1.AttachComputeTargetRequest) (*longrunningpb.Operation, error) {
	t := target(req.GetComputeTargetId(), 3)
	t.Attached, t.ClusterId = true, req.GetClusterId()
	c.s.targets[req.GetComputeTargetId()] = t
	return c.s.done(t)
}

func (c computeService) UpdateComputeTarget(ctx context.Context, req *computev1.UpdateComputeTargetRequest) (*longrunningpb.Operation, error) {
	t, err := c.GetComputeTarget(ctx, &computev1.GetComputeTargetRequest{Name: req.GetComputeTarget().GetName()})
	if err != nil {
		return nil, err
	}
	t.NodeCount = req.GetComputeTarget().GetNodeCount()
	return c.s.done(t)
}

func (c computeService) DetachComputeTarget(_ context.Context, req *computev1.DetachComputeTargetRequest) (*longrunningpb.Operation, error) {
	delete(c.s.targets, strings.TrimPrefix(req.GetName(), Parent+"/computeTargets/"))
	return c.s.done(&emptypb.Empty{})
}

func (c computeService) DeleteComputeTarget(_ context.Context, req *computev1.DeleteComputeTargetRequest) (*longrunningpb.Operation, error) {
	return nil, apierr.New(apierr.FailedPrecondition, "TARGET_IN_USE", "%s runs 1 workload; delete its endpoint first", req.GetName())
}

func (c computeService) ListNodes(context.Context, *computev1.ListNodesRequest) (*computev1.ListNodesResponse, error) {
	return &computev1.ListNodesResponse{Nodes: []*computev1.Node{{
		Name: Parent + "/computeTargets/local/nodes/node-1", Size: "Standard_NC6", Ready: true,
		Capacity:     &computev1.NodeResources{Vcpu: 6, MemoryBytes: 56 << 30, Gpus: 1},
		Allocated:    &computev1.NodeResources{Vcpu: 1.5, MemoryBytes: 1 << 30},
		Accelerators: []*computev1.Accelerator{{Model: "NVIDIA Tesla K80"}},
	}}}, nil
}

func (c computeService) ListNodeSizes(context.Context, *computev1.ListNodeSizesRequest) (*computev1.ListNodeSizesResponse, error) {
	return &computev1.ListNodeSizesResponse{NodeSizes: []*computev1.NodeSize{
		{Id: "Standard_D3_v2", Resources: &computev1.NodeResources{Vcpu: 4, MemoryBytes: 14 << 30}},
		{Id: "Standard_NC6", Resources: &computev1.NodeResources{Vcpu: 6, MemoryBytes: 56 << 30, Gpus: 1}, GpuModel: "NVIDIA Tesla K80"},
	}}, nil
}

type eventService struct {
	eventsv1.UnimplementedEventServiceServer
	s *Server
}

func (e eventService) WatchEvents(req *eventsv1.WatchEventsRequest, stream grpc.ServerStreamingServer[eventsv1.WatchEventsResponse]) error {
	for i, verb := range []string{"created", "updated", "deleted"} {
		cursor := fmt.Sprint(i + 1)
		kind := "fairlead.deploy.endpoint.v1." + verb
		if req.GetCursor() >= cursor || !strings.HasPrefix(kind, req.GetTypePrefix()) {
			continue
		}
		data, err := structpb.NewStruct(map[string]any{"name": Parent + "/endpoints/diabetes", "message": "endpoint diabetes was " + verb})
		if err != nil {
			return err
		}
		if err := stream.Send(&eventsv1.WatchEventsResponse{Cursor: cursor, Event: &eventsv1.CloudEvent{
			Id: "event-" + cursor, Source: "//fairlead/deploy", SpecVersion: "1.0", Type: kind, Subject: Parent + "/endpoints/diabetes",
			Time: timestamppb.New(Now()), DataContentType: "application/json", Sequence: cursor, Data: data,
		}}); err != nil {
			return err
		}
	}
	if req.GetNoFollow() {
		return nil
	}
	<-stream.Context().Done()
	return nil
}

func (e endpointService) ReadEndpointLogs(req *deployv1.ReadEndpointLogsRequest, stream grpc.ServerStreamingServer[deployv1.ReadEndpointLogsResponse]) error {
	var lines []*deployv1.EndpointLogLine
	for _, version := range []string{"versiona", "versionb"} {
		if req.GetVersion() == "" || req.GetVersion() == version {
			lines = append(lines, &deployv1.EndpointLogLine{
				Time: timestamppb.New(Now()), Version: version, Replica: "r1", Text: "init() took 12 ms",
			})
		}
	}
	return stream.Send(&deployv1.ReadEndpointLogsResponse{Lines: lines[max(0, len(lines)-int(req.GetTailLines())):]})
}
