package compute_test

import (
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/compute/internal/driver/drivertest"
)

const parent = "workspaces/default"

func targetOf(t *testing.T, o *longrunningpb.Operation, err error) *computev1.ComputeTarget {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !o.GetDone() || o.GetError() != nil {
		t.Fatalf("operation %v", o)
	}
	got := &computev1.ComputeTarget{}
	if err := o.GetResponse().UnmarshalTo(got); err != nil {
		t.Fatal(err)
	}
	return got
}

func refused(t *testing.T, err error, code codes.Code, parts ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Fatalf("err = %v, want %s", err, code)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestLocalTargetIsThere(t *testing.T) {
	b := newBench(t)
	for _, workspace := range []string{"default", "other"} {
		list, err := b.targets.ListComputeTargets(t.Context(), &computev1.ListComputeTargetsRequest{Parent: "workspaces/" + workspace})
		if err != nil || len(list.GetComputeTargets()) != 1 {
			t.Fatalf("list: %v, %v", list, err)
		}
		got := list.GetComputeTargets()[0]
		if got.GetCapacity().GetVcpu() != 12 || got.GetNodeCount() != 3 || got.GetPurpose() != computev1.ComputeTarget_PURPOSE_FAST_PROD ||
			!strings.Contains(got.GetConditions()[0].GetMessage(), "declared on paper") {
			t.Errorf("local: %v", got)
		}
	}
	nodes, err := b.targets.ListNodes(t.Context(), &computev1.ListNodesRequest{Parent: local})
	if err != nil || len(nodes.GetNodes()) != 3 || nodes.GetNodes()[2].GetName() != local+"/nodes/node-2" || !nodes.GetNodes()[0].GetReady() {
		t.Fatalf("nodes: %v, %v", nodes, err)
	}
	five := &computev1.UpdateComputeTargetRequest{ComputeTarget: &computev1.ComputeTarget{Name: local, NodeCount: 5}}
	op, err := b.targets.UpdateComputeTarget(t.Context(), five)
	if got := targetOf(t, op, err); got.GetNodeCount() != 5 || got.GetGeneration() != 2 {
		t.Errorf("scaled: %v", got)
	}
	two := &computev1.UpdateComputeTargetRequest{ComputeTarget: &computev1.ComputeTarget{Name: local, NodeCount: 2}}
	_, err = b.targets.UpdateComputeTarget(t.Context(), two)
	refused(t, err, codes.InvalidArgument, "2 × Standard_D3_v2 is 8 vCPU")
	_, err = b.targets.DeleteComputeTarget(t.Context(), &computev1.DeleteComputeTargetRequest{Name: local})
	refused(t, err, codes.FailedPrecondition, "cannot be deleted")
	if got := b.events(local); !slices.Equal(got, []string{"computetarget.scaled"}) {
		t.Errorf("events %v", got)
	}
}

func TestLifeOfATarget(t *testing.T) {
	b := newBench(t)
	name := parent + "/computeTargets/myaks"
	create := &computev1.CreateComputeTargetRequest{Parent: parent, ComputeTargetId: "myaks", RequestId: "6f1c7f0a-6a0b-4a8f-9a55-0d2c9d5b8a11"}
	dry := &computev1.CreateComputeTargetRequest{Parent: parent, ComputeTargetId: "myaks", ValidateOnly: true}
	if op, err := b.targets.CreateComputeTarget(t.Context(), dry); err != nil || op.GetName() != "" {
		t.Fatalf("validation: %v, %v", op, err)
	}
	op, err := b.targets.CreateComputeTarget(t.Context(), create)
	made := targetOf(t, op, err)
	again, err := b.targets.CreateComputeTarget(t.Context(), create)
	if targetOf(t, again, err); again.GetName() != op.GetName() {
		t.Errorf("the same request made %s and %s", op.GetName(), again.GetName())
	}
	if got, err := b.operations.GetOperation(t.Context(), &longrunningpb.GetOperationRequest{Name: op.GetName()}); err != nil || !got.GetDone() {
		t.Errorf("operation: %v, %v", got, err)
	}
	_, err = b.targets.CreateComputeTarget(t.Context(), &computev1.CreateComputeTargetRequest{Parent: parent, ComputeTargetId: "myaks"})
	refused(t, err, codes.AlreadyExists, "myaks")
	_, err = b.targets.AttachComputeTarget(t.Context(), &computev1.AttachComputeTargetRequest{Parent: parent, ComputeTargetId: "twice", ClusterId: made.GetClusterId()})
	refused(t, err, codes.FailedPrecondition, "is attached as "+name, "once only")
	_, err = b.targets.DetachComputeTarget(t.Context(), &computev1.DetachComputeTargetRequest{Name: name, Etag: "stale"})
	refused(t, err, codes.Aborted)
	op, err = b.targets.DetachComputeTarget(t.Context(), &computev1.DetachComputeTargetRequest{Name: name, Etag: made.GetEtag()})
	if err != nil || op.GetResponse().UnmarshalTo(&emptypb.Empty{}) != nil {
		t.Fatalf("detach: %v, %v", op, err)
	}
	_, err = b.targets.GetComputeTarget(t.Context(), &computev1.GetComputeTargetRequest{Name: name})
	refused(t, err, codes.NotFound, name)
	op, err = b.targets.AttachComputeTarget(t.Context(), &computev1.AttachComputeTargetRequest{Parent: parent, ComputeTargetId: "again", ClusterId: made.GetClusterId()})
	if got := targetOf(t, op, err); !got.GetAttached() || got.GetClusterId() != made.GetClusterId() {
		t.Errorf("attached: %v", got)
	}
	_, err = b.targets.DeleteComputeTarget(t.Context(), &computev1.DeleteComputeTargetRequest{Name: parent + "/computeTargets/again"})
	refused(t, err, codes.FailedPrecondition, "detach it")
	_, err = b.targets.AttachComputeTarget(t.Context(), &computev1.AttachComputeTargetRequest{Parent: parent, ComputeTargetId: "xyz", ClusterId: "nothing"})
	refused(t, err, codes.InvalidArgument, "cluster_id")
	if got := b.events(name); !slices.Equal(got, []string{"computetarget.created", "computetarget.detached"}) {
		t.Errorf("events %v", got)
	}
}

func TestBusyTargetIsNotDeleted(t *testing.T) {
	b := newBench(t)
	name := parent + "/computeTargets/dev"
	op, err := b.targets.CreateComputeTarget(t.Context(), &computev1.CreateComputeTargetRequest{
		Parent: parent, ComputeTargetId: "dev",
		ComputeTarget: &computev1.ComputeTarget{Purpose: computev1.ComputeTarget_PURPOSE_DEV_TEST, NodeCount: 1, NodeSize: "Standard_NC6"},
	})
	targetOf(t, op, err)
	spec := b.spec(drivertest.EchoScript, 1)
	spec.Resources.Gpus = 1
	workload := name + "/workloads/w"
	if _, err := b.workloads.ApplyWorkload(t.Context(), &computev1.ApplyWorkloadRequest{Name: workload, Spec: spec}); err != nil {
		t.Fatal(err)
	}
	_, err = b.targets.DeleteComputeTarget(t.Context(), &computev1.DeleteComputeTargetRequest{Name: name})
	refused(t, err, codes.FailedPrecondition, workload)
	if _, err := b.workloads.DeleteWorkload(t.Context(), &computev1.DeleteWorkloadRequest{Name: workload}); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := b.workloads.GetWorkload(t.Context(), &computev1.GetWorkloadRequest{Name: workload})
		if status.Code(err) == codes.NotFound {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	op, err = b.targets.DeleteComputeTarget(t.Context(), &computev1.DeleteComputeTargetRequest{Name: name})
	if err != nil || !op.GetDone() {
		t.Fatalf("delete: %v, %v", op, err)
	}
	_, err = b.workloads.ApplyWorkload(t.Context(), &computev1.ApplyWorkloadRequest{Name: workload, Spec: spec})
	refused(t, err, codes.NotFound, name)
}

func TestNodeSizes(t *testing.T) {
	b := newBench(t)
	got, err := b.targets.ListNodeSizes(t.Context(), &computev1.ListNodeSizesRequest{})
	if err != nil || len(got.GetNodeSizes()) < 30 {
		t.Fatalf("%v, %v", got, err)
	}
}
