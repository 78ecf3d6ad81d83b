package integration

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

const (
	firstRequest  = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
	secondRequest = "6f9619ff-8b86-4d01-b42d-00cf4fc96400"
)

// TestRepetition sends requests again, as clients do that got no answer.
func TestRepetition(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		ctx := testContext(t)
		a := apiOf(i)
		registerModel(t, i)
		v := must(a.version(ctx, script))(t)
		create := func(id string) (string, error) {
			o, err := a.endpoints.CreateEndpoint(ctx, &deployv1.CreateEndpointRequest{Parent: workspace, EndpointId: "shop", Version: v, RequestId: id})
			return o.GetName(), err
		}
		first := must(create(firstRequest))(t)
		if again := must(create(firstRequest))(t); again != first {
			t.Errorf("the same request again gives operation %s, want %s", again, first)
		}
		_, err := create(secondRequest)
		wantCode(t, err, codes.AlreadyExists)

		file := must(a.upload(ctx, "m.txt", []byte("m")))(t)
		register := func(id string) int64 {
			r := &deployv1.RegisterModelRequest{Parent: workspace, ModelId: "m", Files: []*deployv1.ArtefactFile{file}, RequestId: id}
			return must(a.models.RegisterModel(ctx, r))(t).GetVersion()
		}
		if a, b, c := register(firstRequest), register(firstRequest), register(secondRequest); a != 1 || b != 1 || c != 2 {
			t.Errorf("the registered versions are %d, %d again, and %d for another request; want 1, 1, 2", a, b, c)
		}
		_, err = create("not-a-uuid")
		wantCode(t, err, codes.InvalidArgument)
	})
}

// TestValidateOnly makes every kind of change on trial: nothing changes.
func TestValidateOnly(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		ctx := testContext(t)
		a := apiOf(i)
		registerModel(t, i)
		v := must(a.version(ctx, script))(t)
		o := must(a.endpoints.CreateEndpoint(ctx, &deployv1.CreateEndpointRequest{Parent: workspace, EndpointId: "shop", Version: v, ValidateOnly: true}))(t)
		would := &deployv1.Endpoint{}
		if !o.GetDone() || o.GetResponse().UnmarshalTo(would) != nil || would.GetName() != endpointName("shop") {
			t.Errorf("the answer is not the endpoint as it would be: %v", o)
		}
		must(a.models.RegisterModel(ctx, &deployv1.RegisterModelRequest{
			Parent: workspace, ModelId: "trial", Files: v.GetSourceFiles(), ValidateOnly: true,
		}))(t)
		must(a.models.DeleteModelVersion(ctx, &deployv1.DeleteModelVersionRequest{Name: workspace + "/models/demo/versions/1", ValidateOnly: true}))(t)
		must(a.models.UpdateModelVersion(ctx, &deployv1.UpdateModelVersionRequest{
			ModelVersion: &deployv1.ModelVersion{Name: workspace + "/models/demo/versions/1", Description: "trial"},
			UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"description"}}, ValidateOnly: true,
		}))(t)
		must(a.workspaces.CreateWorkspace(ctx, &authv1.CreateWorkspaceRequest{WorkspaceId: "trial", ValidateOnly: true}))(t)
		must(a.targets.CreateComputeTarget(ctx, &computev1.CreateComputeTargetRequest{Parent: workspace, ComputeTargetId: "trial", ValidateOnly: true}))(t)

		wantNoEndpoint(t, i)
		models := must(a.models.ListModels(ctx, &deployv1.ListModelsRequest{Parent: workspace}))(t).GetModels()
		if len(models) != 1 || models[0].GetId() != modelID || models[0].GetDescription() != "" {
			t.Errorf("the models changed: %v", models)
		}
		if n := len(must(a.workspaces.ListWorkspaces(ctx, &authv1.ListWorkspacesRequest{}))(t).GetWorkspaces()); n != 1 {
			t.Errorf("there are %d workspaces, want 1", n)
		}
		if n := len(must(a.targets.ListComputeTargets(ctx, &computev1.ListComputeTargetsRequest{Parent: workspace}))(t).GetComputeTargets()); n != 1 {
			t.Errorf("there are %d compute targets, want 1", n)
		}
	})
}
