package deploy_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/platform/apierr"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/peertest"
)

func (b *bed) environment(requirements ...string) *deployv1.EnvironmentVersion {
	b.t.Helper()
	e, err := b.environments.RegisterEnvironment(b.t.Context(), &deployv1.RegisterEnvironmentRequest{
		Parent: "workspaces/default", EnvironmentId: "sk", EnvironmentVersion: &deployv1.EnvironmentVersion{
			EnvironmentVariables: map[string]string{"A": "environment", "B": "environment"},
			Python:               &deployv1.EnvironmentPython{PipRequirements: requirements, CondaDependencies: []string{"python=3.11"}},
		},
	})
	b.check(err)
	return e
}

func TestEnvironmentsReachTheWorkload(t *testing.T) {
	b := newBed(t, nil)
	first := b.environment("numpy")
	if again := b.environment("numpy"); again.GetName() != first.GetName() || again.GetUid() != first.GetUid() {
		t.Errorf("the same again is another version: %v", again)
	}
	second := b.environment("numpy>=1")
	if second.GetId() != "sk:2" || first.GetId() != "sk:1" {
		t.Errorf("ids %s and %s", first.GetId(), second.GetId())
	}
	specs := make(chan *computev1.WorkloadSpec, 10)
	b.compute.Behave(func(s *computev1.WorkloadSpec) peertest.Outcome {
		specs <- s
		return peertest.Outcome{State: computev1.Workload_STATE_HEALTHY}
	})
	o, err := b.endpoints.CreateEndpoint(t.Context(), &deployv1.CreateEndpointRequest{
		Parent: "workspaces/default", EndpointId: "eee", VersionId: "aaa",
		Version: b.version(func(v *deployv1.EndpointVersion) {
			v.Environment, v.EnvironmentVariables = "sk:1", map[string]string{"B": "own"}
		}),
	})
	b.check(err)
	b.wait(o)
	s := <-specs
	if p := s.GetPython(); p.GetEnvironment() != "sk:1" || p.GetPythonVersion() != "3.11" || len(p.GetPipRequirements()) != 1 || len(p.GetCondaPackages()) != 1 {
		t.Errorf("asked of compute: %v", p)
	}
	if v := s.GetEnvironmentVariables(); v["A"] != "environment" || v["B"] != "own" {
		t.Errorf("variables %v", v)
	}
	_, err = b.environments.DeleteEnvironmentVersion(t.Context(), &deployv1.DeleteEnvironmentVersionRequest{Name: first.GetName()})
	if status.Code(err) != codes.FailedPrecondition || apierr.FromStatus(err).Reason != "ENVIRONMENT_IN_USE" {
		t.Errorf("one in use: %v", err)
	}
	_, err = b.environments.DeleteEnvironmentVersion(t.Context(), &deployv1.DeleteEnvironmentVersionRequest{Name: second.GetName(), Etag: second.GetEtag()})
	b.check(err)
	latest, err := b.environments.GetEnvironmentVersion(t.Context(), &deployv1.GetEnvironmentVersionRequest{Name: "workspaces/default/environments/sk/versions/latest"})
	if err != nil || latest.GetId() != "sk:1" {
		t.Errorf("the latest is %v, %v", latest, err)
	}
	if third := b.environment("numpy>=1"); third.GetId() != "sk:3" {
		t.Errorf("a number was given twice: %s", third.GetId())
	}
	list, err := b.environments.ListEnvironmentVersions(t.Context(), &deployv1.ListEnvironmentVersionsRequest{Parent: "workspaces/default/environments/sk", PageSize: 1})
	if err != nil || len(list.GetEnvironmentVersions()) != 1 || list.GetEnvironmentVersions()[0].GetId() != "sk:3" || list.GetNextPageToken() == "" {
		t.Errorf("listed %v, %v", list, err)
	}
	all, err := b.environments.ListEnvironments(t.Context(), &deployv1.ListEnvironmentsRequest{Parent: "workspaces/default"})
	if err != nil || len(all.GetEnvironments()) != 1 || all.GetEnvironments()[0].GetId() != "sk:3" {
		t.Errorf("listed %v, %v", all, err)
	}
}

func TestUnknownEnvironmentIsAViolation(t *testing.T) {
	b := newBed(t, nil)
	for ref, want := range map[string]string{"sk": "there is no environment sk", "sk:x": "is no version"} {
		_, err := b.endpoints.CreateEndpoint(t.Context(), &deployv1.CreateEndpointRequest{
			Parent: "workspaces/default", EndpointId: "eee", Version: b.version(func(v *deployv1.EndpointVersion) { v.Environment = ref }),
		})
		violated(t, err, "version.environment", want)
	}
}

func TestAMismatchIsAViolation(t *testing.T) {
	b := newBed(t, nil)
	b.environment("nosuch>=1")
	b.compute.Refuse("spec.python", "environment sk:1 asks for nosuch>=1")
	_, err := b.endpoints.CreateEndpoint(t.Context(), &deployv1.CreateEndpointRequest{
		Parent: "workspaces/default", EndpointId: "eee", Version: b.version(func(v *deployv1.EndpointVersion) { v.Environment = "sk" }),
	})
	violated(t, err, "version.environment", "asks for nosuch>=1")
}

func TestAnEnvironmentIsCheckedAgainstATargetBeforeItIsRegistered(t *testing.T) {
	b := newBed(t, nil)
	b.compute.Refuse("spec.python", "environment sk:1 asks for nosuch>=1")
	request := func(target string) error {
		_, err := b.environments.RegisterEnvironment(t.Context(), &deployv1.RegisterEnvironmentRequest{
			Parent: "workspaces/default", EnvironmentId: "sk", ValidateOnly: true, ComputeTarget: target,
			EnvironmentVersion: &deployv1.EnvironmentVersion{Python: &deployv1.EnvironmentPython{PipRequirements: []string{"nosuch>=1"}}},
		})
		return err
	}
	violated(t, request("local"), "environment_version.python", "asks for nosuch>=1")
	would, err := b.environments.RegisterEnvironment(t.Context(), &deployv1.RegisterEnvironmentRequest{
		Parent: "workspaces/default", EnvironmentId: "sk", ValidateOnly: true, ComputeTarget: "local", AllowMismatch: true,
		EnvironmentVersion: &deployv1.EnvironmentVersion{
			Python: &deployv1.EnvironmentPython{PipRequirements: []string{"nosuch>=1"}}, Docker: &deployv1.EnvironmentDocker{ShmSize: "2g"},
		},
	})
	notices := strings.Join(would.GetNotices(), "; ")
	if err != nil || !strings.Contains(notices, "asks for nosuch>=1") || !strings.Contains(notices, "shared memory 2g has no effect") {
		t.Errorf("allowed: %v, notices %s", err, notices)
	}
	violated(t, request("workspaces/other/computeTargets/local"), "compute_target", "is not in the workspace default")
	if err := request(""); err != nil {
		t.Errorf("no target is asked: %v", err)
	}
	all, err := b.environments.ListEnvironments(t.Context(), &deployv1.ListEnvironmentsRequest{Parent: "workspaces/default"})
	if err != nil || len(all.GetEnvironments()) != 0 {
		t.Errorf("registered %v, %v", all, err)
	}
}

// violated checks that err says so of a field.
func violated(t *testing.T, err error, field, description string) {
	t.Helper()
	for _, v := range apierr.FromStatus(err).Violations {
		if v.Field == field && strings.Contains(v.Description, description) {
			return
		}
	}
	t.Errorf("no violation of %s says %q: %v", field, description, err)
}
