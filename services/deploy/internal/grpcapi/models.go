package grpcapi

import (
	"context"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/etag"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/model"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
)

// Models is the ModelService.
type Models struct {
	deployv1.UnsafeModelServiceServer
	*server
}

var _ deployv1.ModelServiceServer = (*Models)(nil)

// ListModels lists models, each as its newest version.
func (s *Models) ListModels(_ context.Context, req *deployv1.ListModelsRequest) (*deployv1.ListModelsResponse, error) {
	models, next, err := listing[model.Version, *deployv1.ModelVersion]{
		parent: workspacePattern, key: func(v model.Version) string { return v.Model }, proto: modelVersion,
		all: func(parent resourcename.Values) ([]model.Version, error) {
			return s.deps.State.NewestModels(parent.Get("workspace")), nil
		},
	}.page(req)
	if err != nil {
		return nil, err
	}
	return &deployv1.ListModelsResponse{Models: models, NextPageToken: next}, nil
}

// ListModelVersions lists the versions of a model, newest first.
func (s *Models) ListModelVersions(ctx context.Context, req *deployv1.ListModelVersionsRequest) (*deployv1.ListModelVersionsResponse, error) {
	versions, next, err := listing[model.Version, *deployv1.ModelVersion]{
		parent: modelPattern, key: func(v model.Version) string { return newestFirst(v.Number) }, proto: modelVersion,
		all: func(parent resourcename.Values) ([]model.Version, error) {
			workspace, name := parent.Get("workspace"), parent.Get("model")
			all := s.deps.State.ModelVersions(workspace, name)
			if len(all) > 0 {
				return all, nil
			}
			_, _, err := s.deps.State.ModelVersion(ctx, workspace, name, 0)
			return nil, err
		},
	}.page(req)
	if err != nil {
		return nil, err
	}
	return &deployv1.ListModelVersionsResponse{ModelVersions: versions, NextPageToken: next}, nil
}

// GetModelVersion gets one version; "latest" is the newest.
func (s *Models) GetModelVersion(ctx context.Context, req *deployv1.GetModelVersionRequest) (*deployv1.ModelVersion, error) {
	v, _, err := s.readModel(ctx, "name", req.GetName())
	if err != nil {
		return nil, err
	}
	return modelVersion(v), nil
}

// readModel reads the version that a field names.
func (s *server) readModel(ctx context.Context, field, name string) (model.Version, store.Revision, error) {
	values, err := modelVersionPattern.ParseField(field, name)
	if err != nil {
		return model.Version{}, 0, err
	}
	number, err := versionNumber(field, values, model.ParseNumber)
	if err != nil {
		return model.Version{}, 0, err
	}
	return s.deps.State.ModelVersion(ctx, values.Get("workspace"), values.Get("model"), number)
}

// RegisterModel registers the next version of a model.
func (s *Models) RegisterModel(ctx context.Context, req *deployv1.RegisterModelRequest) (*deployv1.ModelVersion, error) {
	parent, err := workspacePattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	workspace := parent.Get("workspace")
	requestKey := operation.RequestKey(workspace, "RegisterModel", req.GetRequestId())
	uid := newUID()
	for range attempts {
		name, ok, err := s.deps.State.Recorded(ctx, requestKey)
		if err != nil {
			return nil, err
		}
		if ok {
			v, _, err := s.readModel(ctx, "name", name)
			return modelVersion(v), err
		}
		var bad apierr.Violations
		files := filesFrom(req.GetFiles())
		if err := s.checkContents(ctx, workspace, listed{"files", files}, present{absent: req.GetValidateOnly()}, &bad); err != nil {
			return nil, err
		}
		m, at, err := s.deps.State.Model(ctx, workspace, req.GetModelId())
		if err != nil {
			return nil, err
		}
		given := req.GetModelVersion()
		m, added, fact, err := m.Register(model.Registration{
			Workspace: workspace, Name: req.GetModelId(), UID: uid, Description: given.GetDescription(),
			Tags: given.GetTags(), Properties: given.GetProperties(), Framework: given.GetFramework(), FrameworkVersion: given.GetFrameworkVersion(),
			Files: files, Principal: rpc.Principal(ctx),
		}, s.deps.Clock())
		if err := together(err, bad); err != nil {
			return nil, err
		}
		if req.GetValidateOnly() {
			return modelVersion(added), nil
		}
		err = s.deps.State.ApplyModel(ctx, state.ModelCommit{Model: m, ModelAt: at, Fact: fact, RequestKey: requestKey, Principal: rpc.Principal(ctx)})
		if state.IsConflict(err) {
			continue
		}
		return modelVersion(added), err
	}
	return nil, busy(req.GetModelId())
}

// UpdateModelVersion changes description and tags, and adds properties.
func (s *Models) UpdateModelVersion(ctx context.Context, req *deployv1.UpdateModelVersionRequest) (*deployv1.ModelVersion, error) {
	given := req.GetModelVersion()
	for range attempts {
		v, at, err := s.readModel(ctx, "model_version.name", given.GetName())
		if err != nil {
			return nil, err
		}
		if err := etag.Check(given.GetEtag(), modelTag(v)); err != nil {
			return nil, err
		}
		wanted := modelVersion(v)
		if _, err := merge(wanted, given, req.GetUpdateMask(), "description", "tags", "properties"); err != nil {
			return nil, err
		}
		updated, fact, err := v.Update(wanted.GetDescription(), wanted.GetTags(), wanted.GetProperties(), s.deps.Clock())
		if err != nil {
			return nil, err
		}
		if req.GetValidateOnly() {
			return modelVersion(updated), nil
		}
		m, rootAt, err := s.deps.State.Model(ctx, v.Workspace, v.Model)
		if err != nil {
			return nil, err
		}
		err = s.deps.State.ApplyModel(ctx, state.ModelCommit{Model: m, ModelAt: rootAt, VersionAt: at, Fact: fact, Principal: rpc.Principal(ctx)})
		if state.IsConflict(err) {
			continue
		}
		return modelVersion(updated), err
	}
	return nil, busy(given.GetName())
}

// DeleteModelVersion deletes a version that no endpoint uses.
func (s *Models) DeleteModelVersion(ctx context.Context, req *deployv1.DeleteModelVersionRequest) (*deployv1.DeleteModelVersionResponse, error) {
	if err := numbered(req.GetName()); err != nil {
		return nil, err
	}
	for range attempts {
		v, at, err := s.readModel(ctx, "name", req.GetName())
		if err != nil {
			return nil, err
		}
		if err := etag.Check(req.GetEtag(), modelTag(v)); err != nil {
			return nil, err
		}
		use, err := s.deps.State.ModelUse(ctx, v.Workspace)
		if err != nil {
			return nil, err
		}
		user, err := s.deps.State.UsedBy(ctx, v)
		if err != nil {
			return nil, err
		}
		if user != "" {
			return nil, apierr.New(apierr.FailedPrecondition, "MODEL_IN_USE", "model %s cannot be deleted: %s uses it; update or delete that first", v.ID(), user).With("user", user)
		}
		if req.GetValidateOnly() {
			return &deployv1.DeleteModelVersionResponse{}, nil
		}
		m, rootAt, err := s.deps.State.Model(ctx, v.Workspace, v.Model)
		if err != nil {
			return nil, err
		}
		m, fact := m.Delete(v)
		err = s.deps.State.ApplyModel(ctx, state.ModelCommit{
			Model: m, ModelAt: rootAt, VersionAt: at, Remove: true, Fact: fact, Principal: rpc.Principal(ctx), Extra: []store.Op{use.Take()},
		})
		if state.IsConflict(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &deployv1.DeleteModelVersionResponse{}, nil
	}
	return nil, busy(req.GetName())
}

func modelTag(v model.Version) string { return etag.Of(v.UID, v.Generation) }
