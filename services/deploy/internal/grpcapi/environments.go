package grpcapi

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/etag"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/environment"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
)

// Environments is the EnvironmentService.
type Environments struct {
	deployv1.UnsafeEnvironmentServiceServer
	*server
}

var _ deployv1.EnvironmentServiceServer = (*Environments)(nil)

// ListEnvironments lists environments, each as its newest version.
func (s *Environments) ListEnvironments(_ context.Context, req *deployv1.ListEnvironmentsRequest) (*deployv1.ListEnvironmentsResponse, error) {
	environments, next, err := listing[environment.Version, *deployv1.EnvironmentVersion]{
		parent: workspacePattern, key: func(v environment.Version) string { return v.Name }, proto: environmentVersion,
		all: func(parent resourcename.Values) ([]environment.Version, error) {
			return s.deps.State.NewestEnvironments(parent.Get("workspace")), nil
		},
	}.page(req)
	if err != nil {
		return nil, err
	}
	return &deployv1.ListEnvironmentsResponse{Environments: environments, NextPageToken: next}, nil
}

// ListEnvironmentVersions lists the versions of an environment, newest first.
func (s *Environments) ListEnvironmentVersions(ctx context.Context, req *deployv1.ListEnvironmentVersionsRequest) (*deployv1.ListEnvironmentVersionsResponse, error) {
	versions, next, err := listing[environment.Version, *deployv1.EnvironmentVersion]{
		parent: environmentPattern, key: func(v environment.Version) string { return newestFirst(v.Number) }, proto: environmentVersion,
		all: func(parent resourcename.Values) ([]environment.Version, error) {
			workspace, name := parent.Get("workspace"), parent.Get("environment")
			all := s.deps.State.EnvironmentVersions(workspace, name)
			if len(all) > 0 {
				return all, nil
			}
			_, _, err := s.deps.State.EnvironmentVersion(ctx, workspace, name, 0)
			return nil, err
		},
	}.page(req)
	if err != nil {
		return nil, err
	}
	return &deployv1.ListEnvironmentVersionsResponse{EnvironmentVersions: versions, NextPageToken: next}, nil
}

// GetEnvironmentVersion gets one version; "latest" is the newest.
func (s *Environments) GetEnvironmentVersion(ctx context.Context, req *deployv1.GetEnvironmentVersionRequest) (*deployv1.EnvironmentVersion, error) {
	v, _, err := s.readEnvironment(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return environmentVersion(v), nil
}

// readEnvironment reads the version that a name stands for.
func (s *server) readEnvironment(ctx context.Context, name string) (environment.Version, store.Revision, error) {
	values, err := environmentVersionPattern.ParseField("name", name)
	if err != nil {
		return environment.Version{}, 0, err
	}
	number, err := versionNumber("name", values, environment.ParseNumber)
	if err != nil {
		return environment.Version{}, 0, err
	}
	return s.deps.State.EnvironmentVersion(ctx, values.Get("workspace"), values.Get("environment"), number)
}

// RegisterEnvironment registers the next version of an environment, unless its
// newest version is the same already.
func (s *Environments) RegisterEnvironment(ctx context.Context, req *deployv1.RegisterEnvironmentRequest) (*deployv1.EnvironmentVersion, error) {
	parent, err := workspacePattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	workspace := parent.Get("workspace")
	requestKey := operation.RequestKey(workspace, "RegisterEnvironment", req.GetRequestId())
	given := registration(req)
	given.Workspace, given.UID, given.Principal = workspace, newUID(), rpc.Principal(ctx)
	for range attempts {
		name, ok, err := s.deps.State.Recorded(ctx, requestKey)
		if err != nil {
			return nil, err
		}
		if ok {
			v, _, err := s.readEnvironment(ctx, name)
			return environmentVersion(v), err
		}
		e, at, err := s.deps.State.Environment(ctx, workspace, req.GetEnvironmentId())
		if err != nil {
			return nil, err
		}
		newest, err := s.newestEnvironment(ctx, e)
		if err != nil {
			return nil, err
		}
		e, v, fact, err := e.Register(given, newest, s.deps.Clock())
		if err != nil {
			return nil, err
		}
		if req.GetValidateOnly() && req.GetComputeTarget() != "" {
			if v, err = s.fits(ctx, req, v, fact == nil); err != nil {
				return nil, err
			}
		}
		if fact == nil || req.GetValidateOnly() {
			return environmentVersion(v), nil
		}
		err = s.deps.State.ApplyEnvironment(ctx, state.EnvironmentCommit{
			Environment: e, EnvironmentAt: at, Fact: *fact, RequestKey: requestKey, Principal: given.Principal,
		})
		if state.IsConflict(err) {
			continue
		}
		return environmentVersion(v), err
	}
	return nil, busy(req.GetEnvironmentId())
}

// fits refuses an environment that a compute target does not have, or says so in
// its notices, and adds to them what has no effect there.
func (s *server) fits(ctx context.Context, req *deployv1.RegisterEnvironmentRequest, v environment.Version, registered bool) (environment.Version, error) {
	name, err := targetName(v.Workspace, req.GetComputeTarget())
	if err != nil {
		return v, apierr.Invalid(apierr.Violation{Field: "compute_target", Description: err.Error()})
	}
	ask := pythonOf(v)
	if !registered {
		ask.Environment = v.Name // it has no number yet
	}
	var bad apierr.Violations
	if err := s.checkPython(ctx, name, ask, &bad); err != nil {
		return v, err
	}
	var lacking []string
	for i := range bad {
		bad[i].Field = "environment_version.python"
		lacking = append(lacking, "as things are, it would be refused: "+bad[i].Description)
	}
	if req.GetAllowMismatch() {
		bad = nil
		v.Notices = slices.Concat(v.Notices, lacking)
	}
	v.Notices = slices.Concat(v.Notices, endpoint.EnvironmentNotices(name, v.Content))
	return v, bad.Err()
}

// newestEnvironment gives the newest version of an environment; nil when it has none.
func (s *server) newestEnvironment(ctx context.Context, e environment.Environment) (*environment.Version, error) {
	number, ok := e.Newest()
	if !ok {
		return nil, nil
	}
	v, _, err := s.deps.State.EnvironmentVersion(ctx, e.Workspace, e.Name, number)
	switch {
	case apierr.KindOf(err) == apierr.NotFound: // deleted since the root was read: the commit will not pass
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &v, nil
}

// DeleteEnvironmentVersion deletes a version that no endpoint uses.
func (s *Environments) DeleteEnvironmentVersion(ctx context.Context, req *deployv1.DeleteEnvironmentVersionRequest) (*deployv1.DeleteEnvironmentVersionResponse, error) {
	if err := numbered(req.GetName()); err != nil {
		return nil, err
	}
	for range attempts {
		v, at, err := s.readEnvironment(ctx, req.GetName())
		if err != nil {
			return nil, err
		}
		if err := etag.Check(req.GetEtag(), environmentTag(v)); err != nil {
			return nil, err
		}
		use, err := s.deps.State.EnvironmentUse(ctx, v.Workspace)
		if err != nil {
			return nil, err
		}
		user, err := s.deps.State.EnvironmentUsedBy(ctx, v)
		if err != nil {
			return nil, err
		}
		if user != "" {
			return nil, apierr.New(apierr.FailedPrecondition, "ENVIRONMENT_IN_USE",
				"environment %s cannot be deleted: %s uses it; update or delete that first", v.ID(), user).With("user", user)
		}
		if req.GetValidateOnly() {
			return &deployv1.DeleteEnvironmentVersionResponse{}, nil
		}
		e, rootAt, err := s.deps.State.Environment(ctx, v.Workspace, v.Name)
		if err != nil {
			return nil, err
		}
		e, fact := e.Delete(v)
		err = s.deps.State.ApplyEnvironment(ctx, state.EnvironmentCommit{
			Environment: e, EnvironmentAt: rootAt, VersionAt: at, Remove: true, Fact: fact, Principal: rpc.Principal(ctx), Extra: []store.Op{use.Take()},
		})
		if state.IsConflict(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &deployv1.DeleteEnvironmentVersionResponse{}, nil
	}
	return nil, busy(req.GetName())
}

func environmentTag(v environment.Version) string { return etag.Of(v.UID, 1) }

func registration(req *deployv1.RegisterEnvironmentRequest) environment.Registration {
	v := req.GetEnvironmentVersion()
	python, docker := v.GetPython(), v.GetDocker()
	return environment.Registration{
		Name: req.GetEnvironmentId(), Description: v.GetDescription(), Tags: v.GetTags(),
		Content: environment.Content{
			Variables: v.GetEnvironmentVariables(), InferencingStack: v.GetInferencingStackVersion(),
			Python: environment.Python{
				CondaChannels: python.GetCondaChannels(), CondaDependencies: python.GetCondaDependencies(),
				PipRequirements: python.GetPipRequirements(), InterpreterPath: python.GetInterpreterPath(), UserManaged: python.GetUserManaged(),
			},
			Docker: environment.Docker{
				BaseImage: docker.GetBaseImage(), BaseDockerfile: docker.GetBaseDockerfile(),
				Registry: docker.GetRegistry().GetAddress(), Username: docker.GetRegistry().GetUsername(),
				ShmSize: docker.GetShmSize(), Arguments: docker.GetArguments(),
			},
		},
		CondaFile: python.GetCondaFile(), RequirementsFile: python.GetRequirementsFile(),
		HasPassword: docker.GetRegistry().GetPassword() != "",
	}
}

func environmentVersion(v environment.Version) *deployv1.EnvironmentVersion {
	out := &deployv1.EnvironmentVersion{
		Name: v.ResourceName(), Id: v.ID(), Uid: v.UID, Environment: v.Name, Version: v.Number,
		Description: v.Description, Tags: v.Tags, EnvironmentVariables: v.Variables,
		Python: &deployv1.EnvironmentPython{
			CondaChannels: v.Python.CondaChannels, CondaDependencies: v.Python.CondaDependencies,
			PipRequirements: v.Python.PipRequirements, InterpreterPath: v.Python.InterpreterPath, UserManaged: v.Python.UserManaged,
		},
		InferencingStackVersion: v.InferencingStack, Notices: v.Notices,
		Digest: v.Digest, CreateTime: timestamppb.New(v.CreateTime), CreatedBy: v.CreatedBy, Etag: environmentTag(v),
	}
	d := v.Docker
	if d.BaseImage+d.BaseDockerfile+d.Registry+d.Username+d.ShmSize != "" || len(d.Arguments) > 0 {
		out.Docker = &deployv1.EnvironmentDocker{BaseImage: d.BaseImage, BaseDockerfile: d.BaseDockerfile, ShmSize: d.ShmSize, Arguments: d.Arguments}
		if d.Registry+d.Username != "" {
			out.Docker.Registry = &deployv1.ImageRegistry{Address: d.Registry, Username: d.Username}
		}
	}
	return out
}
