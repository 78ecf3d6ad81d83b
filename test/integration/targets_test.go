package integration

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// TestComputeTargets goes through the life of a cluster.
func TestComputeTargets(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		if out := i.Run("computetarget", "list", "-o", "name"); strings.TrimSpace(out) != "local" {
			t.Errorf("the first targets are %q, want local", out)
		}
		createTarget(t, i)
		useTarget(t, i)
		attachTarget(t, i)
	})
}

func createTarget(t *testing.T, i *harness.Installation) {
	r := i.Refused("computetarget", "create", "-n", "cluster", "-a", "2", "-s", "Standard_D3_v2", "--cluster-purpose", "FastProd")
	if !strings.Contains(r.Stderr, "12 vCPU") {
		t.Errorf("the refusal does not say what is needed: %v", r)
	}
	i.Run("computetarget", "create", "-n", "cluster", "-a", "2", "-s", "Standard_D3_v2", "--cluster-purpose", "DevTest")
	wantNodes(t, i, 2)
	i.Run("computetarget", "update", "-n", "cluster", "-a", "3")
	wantNodes(t, i, 3)
	target := showTarget(t, i)
	if target.GetState() != computev1.ComputeTarget_STATE_SUCCEEDED || target.GetCapacity().GetVcpu() != 12 || target.GetAttached() {
		t.Errorf("the target is %v", target)
	}
}

// useTarget runs an endpoint on the target: meanwhile it stays.
func useTarget(t *testing.T, i *harness.Installation) {
	i.Run("model", "deploy", "-n", "shop", "-m", modelID, "--ct", "cluster", "--ic", inferenceConfig(t, script), "--dc", deploymentConfig(t, nil))
	mustScore(t, i, "shop", keysOf(t, i, "shop").GetPrimaryKey(), nil)
	if got := showTarget(t, i).GetAllocated().GetVcpu(); got < 0.09 || got > 0.11 {
		t.Errorf("%v vCPU are allocated, want 0.1", got)
	}
	for _, verb := range []string{"delete", "detach"} {
		r := i.Refused("computetarget", verb, "-n", "cluster")
		if r.Code != 3 || !strings.Contains(r.Stderr, "shop") {
			t.Errorf("the refusal does not name what runs there, or its exit code is not 3: %v", r)
		}
	}
	i.Run("endpoint", "delete", "-n", "shop")
}

// attachTarget detaches the cluster, which stays, and attaches it again.
func attachTarget(t *testing.T, i *harness.Installation) {
	ctx := testContext(t)
	a := apiOf(i)
	cluster := showTarget(t, i).GetClusterId()
	attach := func(name string) error {
		o, err := a.targets.AttachComputeTarget(ctx, &computev1.AttachComputeTargetRequest{
			Parent: workspace, ComputeTargetId: name, ClusterId: cluster, Purpose: computev1.ComputeTarget_PURPOSE_DEV_TEST,
		})
		return a.finish(ctx, o, err)
	}
	if err := attach("twice"); err == nil || !strings.Contains(err.Error(), "cluster") {
		t.Errorf("attaching a cluster that is attached: %v; want an error that names its target", err)
	}
	i.Run("computetarget", "detach", "-n", "cluster")
	if out := i.Run("computetarget", "list", "-o", "name"); strings.TrimSpace(out) != "local" {
		t.Errorf("after the detach the targets are %q, want local", out)
	}
	if err := attach("again"); err != nil {
		t.Fatal(err)
	}
	if err := attach("twice"); err == nil || !strings.Contains(err.Error(), "again") {
		t.Errorf("attaching a cluster that is attached: %v; want an error that names its target", err)
	}
	o, err := a.targets.DeleteComputeTarget(ctx, &computev1.DeleteComputeTargetRequest{Name: workspace + "/computeTargets/again"})
	if err = a.finish(ctx, o, err); err == nil || !strings.Contains(err.Error(), "detach") {
		t.Errorf("deleting an attached target: %v; want an error that says to detach it", err)
	}
	_, err = a.targets.UpdateComputeTarget(ctx, &computev1.UpdateComputeTargetRequest{
		ComputeTarget: &computev1.ComputeTarget{Name: workspace + "/computeTargets/again", NodeSize: "Standard_D4_v2"},
		UpdateMask:    &fieldmaskpb.FieldMask{Paths: []string{"node_size"}},
	})
	wantCode(t, err, codes.InvalidArgument)
}

func showTarget(t *testing.T, i *harness.Installation) *computev1.ComputeTarget {
	t.Helper()
	target := &computev1.ComputeTarget{}
	unmarshal(t, i.Run("computetarget", "show", "-n", "cluster", "-o", "json"), target)
	return target
}

func wantNodes(t *testing.T, i *harness.Installation, n int) {
	t.Helper()
	list := must(apiOf(i).targets.ListNodes(testContext(t), &computev1.ListNodesRequest{Parent: workspace + "/computeTargets/cluster"}))(t)
	if len(list.GetNodes()) != n {
		t.Errorf("there are %d nodes, want %d", len(list.GetNodes()), n)
	}
	for _, node := range list.GetNodes() {
		if !node.GetReady() || node.GetSize() != "Standard_D3_v2" || node.GetCapacity().GetVcpu() != 4 {
			t.Errorf("the node %v is not a ready Standard_D3_v2", node)
		}
	}
}
