package grpcapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/environment"
	"github.com/fairlead/fairlead/services/deploy/internal/model"
)

// targetTimeout keeps a request from waiting long for a compute service that is away.
const targetTimeout = 10 * time.Second

// site is where a version is deployed to.
type site struct {
	workspace string
	target    string // resource name; empty when it is not known which
}

// references fills in the models and the environment of a version and checks
// that they and the contents of its files are there.
func (s *server) references(ctx context.Context, at site, v *deployv1.EndpointVersion, input *endpoint.VersionInput, expect present, bad *apierr.Violations) ([]store.Op, error) {
	environmentUse, err := s.environment(ctx, at, v.GetEnvironment(), input, bad)
	if err != nil {
		return nil, err
	}
	if err := s.checkImage(ctx, at.target, input.Spec.Runtime.Custom, bad); err != nil {
		return nil, err
	}
	if err := s.checkContents(ctx, at.workspace, sourceFiles(input.Spec.SourceFiles), expect, bad); err != nil {
		return nil, err
	}
	modelUse, err := s.models(ctx, at.workspace, v.GetModels(), input, bad)
	return append(environmentUse, modelUse...), err
}

// models fills in the models of a version. The op makes the commit fail when a
// model has been deleted since it was looked up.
func (s *server) models(ctx context.Context, workspace string, refs []string, input *endpoint.VersionInput, bad *apierr.Violations) ([]store.Op, error) {
	input.Spec.Models, input.Spec.Framework = nil, ""
	if len(refs) == 0 {
		return nil, nil
	}
	use, err := s.deps.State.ModelUse(ctx, workspace)
	if err != nil {
		return nil, err
	}
	for i, text := range refs {
		field := fmt.Sprintf("version.models[%d]", i)
		ref, err := model.ParseRef(workspace, text)
		if err != nil {
			bad.Add(field, "%s", err.Error())
			continue
		}
		m, _, err := s.deps.State.ModelVersion(ctx, workspace, ref.Model, ref.Number)
		switch {
		case err != nil && apierr.KindOf(err) == apierr.NotFound:
			bad.Add(field, "is not known: %s; register it first", err.Error())
		case err != nil:
			return nil, err
		default:
			input.Spec.Models = append(input.Spec.Models, endpoint.ModelRef{Model: m.Model, Version: m.Number})
			input.Spec.Framework = m.Framework
		}
	}
	input.Spec.ModelsUnknown = len(input.Spec.Models) < len(refs)
	return []store.Op{use.Take()}, nil
}

// environment fills in the environment of a version, which the compute target
// must have. The op makes the commit fail when an environment has been deleted
// since it was looked up.
func (s *server) environment(ctx context.Context, at site, ref string, input *endpoint.VersionInput, bad *apierr.Violations) ([]store.Op, error) {
	input.Spec.Packages = ""
	if ref == "" {
		return nil, nil
	}
	use, err := s.deps.State.EnvironmentUse(ctx, at.workspace)
	if err != nil {
		return nil, err
	}
	v, err := s.deps.State.ResolveEnvironment(ctx, at.workspace, ref)
	switch kind := apierr.KindOf(err); {
	case err == nil:
		input.Spec.Packages = v.ResourceName()
		if err := s.checkPython(ctx, at.target, pythonOf(v), bad); err != nil {
			return nil, err
		}
	case kind == apierr.NotFound || kind == apierr.InvalidArgument:
		bad.Add("version.environment", "is not known: %s; register it first", err.Error())
	default:
		return nil, err
	}
	return []store.Op{use.Take()}, nil
}

// notices tells what of a version has no effect where it runs.
func (s *server) notices(e endpoint.Endpoint, v endpoint.Version) []string {
	all := e.Notices(v)
	values, err := environmentVersionPattern.Parse(v.Spec.Packages)
	if err != nil {
		return all
	}
	for _, registered := range s.deps.State.EnvironmentVersions(values.Get("workspace"), values.Get("environment")) {
		if registered.ResourceName() == v.Spec.Packages {
			all = append(all, endpoint.EnvironmentNotices(e.ComputeTarget, registered.Content)...)
		}
	}
	return all
}

// checkPython has the compute service say whether a target has what an
// environment asks. What else it finds is told elsewhere.
func (s *server) checkPython(ctx context.Context, target string, ask *computev1.PythonEnvironment, bad *apierr.Violations) error {
	const script = "score.py"
	return s.askTarget(ctx, target, question{
		about: "spec.python", field: "version.environment", what: "environment",
		spec: &computev1.WorkloadSpec{
			EntryScript: script, Source: &computev1.Bundle{Files: []*computev1.File{{Path: script, Sha256: strings.Repeat("0", 64)}}}, Python: ask,
		},
	}, bad)
}

// checkImage has the compute service say whether a target runs the image of a
// server of the user's own.
func (s *server) checkImage(ctx context.Context, target string, given *endpoint.CustomRuntime, bad *apierr.Violations) error {
	if given == nil || given.Image == "" {
		return nil
	}
	return s.askTarget(ctx, target, question{
		about: "spec.runtime.custom.image", field: "version.runtime.custom.image", what: "image",
		spec: &computev1.WorkloadSpec{Runtime: &computev1.Runtime{Kind: &computev1.Runtime_Custom{Custom: &computev1.CustomRuntime{Image: given.Image}}}},
	}, bad)
}

// question is whether a target can run something.
type question struct {
	spec  *computev1.WorkloadSpec
	about string // the field of spec that is asked about
	field string // ours that it stands for
	what  string
}

func (s *server) askTarget(ctx context.Context, target string, q question, bad *apierr.Violations) error {
	if target == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, targetTimeout)
	defer cancel()
	_, err := s.deps.Checks.ApplyWorkload(ctx, &computev1.ApplyWorkloadRequest{
		Name: resourcename.Format(target, "workloads", "check"), ValidateOnly: true, Spec: q.spec,
	})
	if err == nil {
		return nil
	}
	failure := apierr.FromStatus(err)
	for _, violation := range failure.Violations {
		if violation.Field == q.about {
			bad.Add(q.field, "%s", violation.Description)
		}
	}
	if failure.Kind == apierr.InvalidArgument || failure.Kind == apierr.NotFound {
		return nil
	}
	return apierr.New(apierr.Unavailable, "COMPUTE_UNAVAILABLE", "the compute service does not answer, so the %s cannot be checked; try again", q.what).Because(err)
}

// pythonOf gives what an environment asks of the Python that runs a script.
func pythonOf(v environment.Version) *computev1.PythonEnvironment {
	return &computev1.PythonEnvironment{
		Environment: v.ID(), PythonVersion: v.PythonVersion(), PipRequirements: v.Python.PipRequirements,
		CondaPackages: v.Python.CondaDependencies, InterpreterPath: v.Python.InterpreterPath, UserManaged: v.Python.UserManaged,
	}
}

// present says which contents a request may take for granted.
type present struct {
	known  []bundle.File // there for certain
	absent bool          // nothing is going to use them: the request is validated only
	used   bool          // the workspace has used them before
}

// listed are files in a field of a request.
type listed struct {
	field string
	files []bundle.File
}

func sourceFiles(files []bundle.File) listed { return listed{"version.source_files", files} }

// checkContents checks that the workspace has the contents of files, and that they
// have the sizes given. What others have looks as if it was not there.
func (s *server) checkContents(ctx context.Context, workspace string, in listed, expect present, bad *apierr.Violations) error {
	sizes := map[string]int64{}
	for _, f := range expect.known {
		sizes[f.SHA256] = f.Size
	}
	for i, f := range in.files {
		size, ok := sizes[f.SHA256]
		if !ok {
			var err error
			size, err = s.contentSize(ctx, workspace, f.SHA256, expect.used)
			if err != nil && apierr.KindOf(err) == apierr.NotFound {
				if expect.absent {
					continue
				}
				bad.Add(fmt.Sprintf("%s[%d].sha256", in.field, i), "is the digest of a content that has not been uploaded (%s)", f.Path)
				continue
			}
			if err != nil {
				return fmt.Errorf("look up a content: %w", err)
			}
			sizes[f.SHA256] = size
		}
		if size != f.Size {
			bad.Add(fmt.Sprintf("%s[%d].size_bytes", in.field, i), "is %d, but the content has %d bytes (%s)", f.Size, size, f.Path)
		}
	}
	return nil
}

// contentSize gives the size of a content that the workspace has brought in, or
// used before; NotFound for any other.
func (s *server) contentSize(ctx context.Context, workspace, digest string, used bool) (int64, error) {
	if !used {
		held, err := s.deps.State.Contents().Held(ctx, workspace, digest)
		if err != nil {
			return 0, err
		}
		if !held {
			return 0, apierr.New(apierr.NotFound, "ARTEFACT_NOT_FOUND", "workspace %s has no content with SHA-256 %s: upload it first", workspace, digest)
		}
	}
	_, size, err := s.deps.Contents.ReadAt(ctx, digest, 0, 0)
	return size, err
}

// targetProblem tells why versions cannot be deployed to a compute target; "" when they can.
func (s *server) targetProblem(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, targetTimeout)
	defer cancel()
	t, err := s.deps.Targets.GetComputeTarget(ctx, &computev1.GetComputeTargetRequest{Name: name})
	if err != nil {
		switch failure := apierr.FromStatus(err); failure.Kind {
		case apierr.NotFound, apierr.InvalidArgument:
			return fmt.Sprintf("there is no compute target %s in workspace %s; create or attach it first", resourcename.Last(name), resourcename.Workspace(name)), nil
		default:
			return "", apierr.New(apierr.Unavailable, "COMPUTE_UNAVAILABLE", "the compute service does not answer, so the compute target cannot be checked; try again").Because(err)
		}
	}
	usable := []computev1.ComputeTarget_State{
		computev1.ComputeTarget_STATE_UNSPECIFIED, computev1.ComputeTarget_STATE_SUCCEEDED, computev1.ComputeTarget_STATE_UPDATING,
	}
	if slices.Contains(usable, t.GetState()) {
		return "", nil
	}
	return fmt.Sprintf("compute target %s is not ready for deployments, it is %s", resourcename.Last(name), strings.TrimPrefix(t.GetState().String(), "STATE_")), nil
}
