package state

import (
	"context"
	"strconv"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/model"
)

func modelKey(workspace, name string) string {
	return resourcename.Format(modelPrefix, workspace, name)
}

func modelVersionKey(workspace, name string, number int64) string {
	return resourcename.Format(modelVersionPrefix, workspace, name, strconv.FormatInt(number, 10))
}

// Model reads a model's root; the zero Model when there has never been one.
func (s *State) Model(ctx context.Context, workspace, name string) (model.Model, store.Revision, error) {
	return get[model.Model](ctx, s.deps.Store, modelKey(workspace, name), func() error { return nil })
}

// ModelVersion reads a version of a model; number 0 means the newest.
func (s *State) ModelVersion(ctx context.Context, workspace, name string, number int64) (model.Version, store.Revision, error) {
	missing := func() error {
		if number == 0 {
			return apierr.New(apierr.NotFound, "MODEL_NOT_FOUND", "there is no model %s in workspace %s", name, workspace)
		}
		return apierr.New(apierr.NotFound, "MODEL_NOT_FOUND", "there is no model %s in workspace %s", model.ID(name, number), workspace)
	}
	wanted := number
	if wanted == 0 {
		m, _, err := s.Model(ctx, workspace, name)
		if err != nil {
			return model.Version{}, 0, err
		}
		newest, ok := m.Newest()
		if !ok {
			return model.Version{}, 0, missing()
		}
		wanted = newest
	}
	return get[model.Version](ctx, s.deps.Store, modelVersionKey(workspace, name, wanted), missing)
}

// NewestModels gives each model of a workspace as its newest version, by name.
func (s *State) NewestModels(workspace string) []model.Version {
	var all []model.Version
	for _, item := range s.models.List(resourcename.Format(modelPrefix, workspace)) {
		newest, ok := item.Value.Newest()
		if !ok {
			continue
		}
		if v, ok := s.modelVersions.Get(modelVersionKey(workspace, item.Value.Name, newest)); ok {
			all = append(all, v.Value)
		}
	}
	return all
}

// ModelVersions gives the versions of a model, newest first.
func (s *State) ModelVersions(workspace, name string) []model.Version {
	item, _ := s.models.Get(modelKey(workspace, name))
	var all []model.Version
	for i := len(item.Value.Versions) - 1; i >= 0; i-- {
		if v, ok := s.modelVersions.Get(modelVersionKey(workspace, name, item.Value.Versions[i])); ok {
			all = append(all, v.Value)
		}
	}
	return all
}

// CachedModelVersion gives a version from the cache.
func (s *State) CachedModelVersion(workspace, name string, number int64) (model.Version, bool) {
	item, ok := s.modelVersions.Get(modelVersionKey(workspace, name, number))
	return item.Value, ok
}

// ModelCommit is one change of a model.
type ModelCommit struct {
	Model   model.Model
	ModelAt store.Revision // 0 creates it
	// VersionAt is the revision of the fact's version; 0 creates it.
	VersionAt store.Revision
	// Remove removes the version instead of writing it.
	Remove     bool
	Fact       model.Fact
	RequestKey string
	Principal  string
	Extra      []store.Op
}

// ApplyModel applies a change of a model; see Apply.
func (s *State) ApplyModel(ctx context.Context, c ModelCommit) error {
	m, v := c.Model, c.Fact.Version
	m.EventSequence++
	event, err := modelEvent(m, c.Fact, c.Principal, s.deps.Clock())
	if err != nil {
		return err
	}
	return s.applyRegistered(ctx, registered{
		root:    document{what: "model " + m.Name, key: modelKey(m.Workspace, m.Name), value: m, at: c.ModelAt},
		version: document{what: "model " + v.ID(), key: modelVersionKey(m.Workspace, m.Name, v.Number), value: v, at: c.VersionAt},
		remove:  c.Remove, resource: v.ResourceName(), event: event, requestKey: c.RequestKey, extra: c.Extra,
	}, s.models, s.modelVersions)
}

// UsedBy gives the name of an endpoint version that uses a version of a model;
// "" when there is none. It is never stale.
func (s *State) UsedBy(ctx context.Context, v model.Version) (string, error) {
	return s.usedBy(ctx, v.Workspace, func(e endpoint.Endpoint) (string, bool) {
		return e.Holds(endpoint.ModelRef{Model: v.Model, Version: v.Number})
	})
}
