package deploy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/apierr"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// secret is a content of the workspace "other", which has a model and an
// environment too.
const secret = "weights of the others"

func (b *bed) furnishOther() {
	b.t.Helper()
	ctx := b.t.Context()
	u, err := b.contents.CreateUpload(ctx, &deployv1.CreateUploadRequest{Parent: "workspaces/other", Sha256: digest(secret), SizeBytes: int64(len(secret))})
	b.check(err)
	_, err = b.contents.WriteUpload(ctx, &deployv1.WriteUploadRequest{Name: u.GetName(), Data: []byte(secret)})
	b.check(err)
	_, err = b.models.RegisterModel(ctx, &deployv1.RegisterModelRequest{Parent: "workspaces/other", ModelId: "hidden", Files: []*deployv1.ArtefactFile{file("m.pkl", secret)}})
	b.check(err)
	_, err = b.environments.RegisterEnvironment(ctx, &deployv1.RegisterEnvironmentRequest{
		Parent: "workspaces/other", EnvironmentId: "hidden",
		EnvironmentVersion: &deployv1.EnvironmentVersion{Python: &deployv1.EnvironmentPython{PipRequirements: []string{"numpy"}}},
	})
	b.check(err)
}

// What belongs to another workspace can be named nowhere, and the answer does not
// tell whether it exists: the same is said of what does not.
func TestNothingOfAnotherWorkspaceCanBeUsed(t *testing.T) {
	b := newBed(t, nil)
	b.furnishOther()
	b.create(nil)
	create := func(target string, validateOnly bool, change func(*deployv1.EndpointVersion)) error {
		_, err := b.endpoints.CreateEndpoint(t.Context(), &deployv1.CreateEndpointRequest{
			Parent: "workspaces/default", EndpointId: "thief", Endpoint: &deployv1.Endpoint{ComputeTarget: target}, Version: b.version(change), ValidateOnly: validateOnly,
		})
		return err
	}
	model := func(name string) func(*deployv1.EndpointVersion) {
		return func(v *deployv1.EndpointVersion) { v.Models = []string{name} }
	}
	environment := func(name string) func(*deployv1.EndpointVersion) {
		return func(v *deployv1.EndpointVersion) { v.Environment = name }
	}
	source := func(text string) func(*deployv1.EndpointVersion) {
		return func(v *deployv1.EndpointVersion) { v.SourceFiles = append(v.SourceFiles, file("m.txt", text)) }
	}
	absent := strings.Repeat("x", len(secret))
	for name, tt := range map[string]struct {
		field string
		// try uses what others have, or, for the comparison, what nobody has.
		try func(validateOnly, exists bool) error
	}{
		"compute target": {"endpoint.compute_target", func(only, exists bool) error {
			return create("workspaces/other/computeTargets/"+either(exists, "local", "nosuch"), only, nil)
		}},
		"model of a new endpoint": {"version.models[0]", func(only, exists bool) error {
			return create("", only, model("workspaces/other/models/"+either(exists, "hidden", "nosuch")+"/versions/1"))
		}},
		"environment of a new endpoint": {"version.environment", func(only, exists bool) error {
			return create("", only, environment("workspaces/other/environments/"+either(exists, "hidden", "nosuch")+"/versions/1"))
		}},
		"model by a path": {"version.models[0]", func(only, exists bool) error {
			return create("", only, model("../../other/models/"+either(exists, "hidden", "nosuch")))
		}},
		"model of a new version": {"version.models[0]", func(only, exists bool) error {
			_, err := b.endpoints.CreateEndpointVersion(t.Context(), &deployv1.CreateEndpointVersionRequest{
				Parent: endpointName, VersionId: "bbb", ValidateOnly: only,
				Version: b.version(model("workspaces/other/models/" + either(exists, "hidden", "nosuch"))),
			})
			return err
		}},
		"model of a changed version": {"version.models[0]", func(only, exists bool) error {
			v := &deployv1.EndpointVersion{Name: aaaName, Models: []string{"workspaces/other/models/" + either(exists, "hidden", "nosuch")}}
			_, err := b.endpoints.UpdateEndpointVersion(t.Context(), &deployv1.UpdateEndpointVersionRequest{Version: v, ValidateOnly: only})
			return err
		}},
		"content as a source file": {"version.source_files[1].sha256", func(only, exists bool) error {
			return create("", only, source(either(exists, secret, absent)))
		}},
		"content as a model": {"files[0].sha256", func(only, exists bool) error {
			_, err := b.models.RegisterModel(t.Context(), &deployv1.RegisterModelRequest{
				Parent: "workspaces/default", ModelId: "thief", ValidateOnly: only, Files: []*deployv1.ArtefactFile{file("m.pkl", either(exists, secret, absent))},
			})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := apierr.FromStatus(tt.try(false, true))
			if e == nil || e.Kind != apierr.InvalidArgument || !cmp.Equal(fields(e), []string{tt.field}) {
				t.Fatalf("got %v, want a violation of %s", e, tt.field)
			}
			for _, only := range []bool{false, true} {
				there, not := tt.try(only, true), tt.try(only, false)
				if diff := cmp.Diff(said(not), said(there)); diff != "" {
					t.Errorf("validate_only=%v tells what exists (-does not +does):\n%s", only, diff)
				}
			}
		})
	}
}

func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// said gives what an error says, without the names that the request itself gave.
func said(err error) string {
	if err == nil {
		return "accepted"
	}
	text := apierr.FromStatus(err).Error()
	for _, v := range apierr.FromStatus(err).Violations {
		text += "\n" + v.Field + ": " + v.Description
	}
	return strings.NewReplacer("hidden", "NAME", "nosuch", "NAME", "local", "NAME").Replace(text)
}

func TestAnUploadOfAContentOfOthersBeginsAnew(t *testing.T) {
	b := newBed(t, nil)
	b.furnishOther()
	u, err := b.contents.CreateUpload(t.Context(), &deployv1.CreateUploadRequest{Parent: "workspaces/default", Sha256: digest(secret), SizeBytes: int64(len(secret))})
	b.check(err)
	if u.GetComplete() || u.GetCommittedBytes() != 0 {
		t.Errorf("who knows the digest is told that the content is there: %v", u)
	}
}
