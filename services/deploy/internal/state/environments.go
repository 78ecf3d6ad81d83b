package state

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/environment"
)

const (
	environmentPrefix        = "environments"
	environmentVersionPrefix = "environmentversions"
	environmentUsePrefix     = "environmentuse"
)

func environmentKey(workspace, name string) string {
	return resourcename.Format(environmentPrefix, workspace, name)
}

func environmentVersionKey(workspace, name string, number int64) string {
	return resourcename.Format(environmentVersionPrefix, workspace, name, strconv.FormatInt(number, 10))
}

// Environment reads an environment's root; the zero Environment when there has
// never been one.
func (s *State) Environment(ctx context.Context, workspace, name string) (environment.Environment, store.Revision, error) {
	return get[environment.Environment](ctx, s.deps.Store, environmentKey(workspace, name), func() error { return nil })
}

// EnvironmentVersion reads a version of an environment; number 0 means the newest.
func (s *State) EnvironmentVersion(ctx context.Context, workspace, name string, number int64) (environment.Version, store.Revision, error) {
	missing := func() error {
		if number == 0 {
			return apierr.New(apierr.NotFound, "ENVIRONMENT_NOT_FOUND", "there is no environment %s in workspace %s", name, workspace)
		}
		return apierr.New(apierr.NotFound, "ENVIRONMENT_NOT_FOUND", "there is no environment %s in workspace %s", environment.ID(name, number), workspace)
	}
	wanted := number
	if wanted == 0 {
		e, _, err := s.Environment(ctx, workspace, name)
		if err != nil {
			return environment.Version{}, 0, err
		}
		newest, ok := e.Newest()
		if !ok {
			return environment.Version{}, 0, missing()
		}
		wanted = newest
	}
	return get[environment.Version](ctx, s.deps.Store, environmentVersionKey(workspace, name, wanted), missing)
}

// NewestEnvironments gives each environment of a workspace as its newest version, by name.
func (s *State) NewestEnvironments(workspace string) []environment.Version {
	var all []environment.Version
	for _, item := range s.environments.List(resourcename.Format(environmentPrefix, workspace)) {
		newest, ok := item.Value.Newest()
		if !ok {
			continue
		}
		if v, ok := s.environmentVersions.Get(environmentVersionKey(workspace, item.Value.Name, newest)); ok {
			all = append(all, v.Value)
		}
	}
	return all
}

// EnvironmentVersions gives the versions of an environment, newest first.
func (s *State) EnvironmentVersions(workspace, name string) []environment.Version {
	item, _ := s.environments.Get(environmentKey(workspace, name))
	var all []environment.Version
	for _, number := range slices.Backward(item.Value.Versions) {
		if v, ok := s.environmentVersions.Get(environmentVersionKey(workspace, name, number)); ok {
			all = append(all, v.Value)
		}
	}
	return all
}

// ResolveEnvironment reads the version of an environment that a user's reference
// means: environment:version, environment (its newest version) or a resource name.
func (s *State) ResolveEnvironment(ctx context.Context, workspace, ref string) (environment.Version, error) {
	parsed, err := environment.ParseRef(workspace, ref)
	if err != nil {
		return environment.Version{}, apierr.New(apierr.InvalidArgument, "ENVIRONMENT_REFERENCE", "%s", err.Error())
	}
	v, _, err := s.EnvironmentVersion(ctx, workspace, parsed.Name, parsed.Number)
	return v, err
}

// EnvironmentUsedBy gives the name of an endpoint version that uses a version of
// an environment; "" when there is none. It is never stale.
func (s *State) EnvironmentUsedBy(ctx context.Context, v environment.Version) (string, error) {
	return s.usedBy(ctx, v.Workspace, func(e endpoint.Endpoint) (string, bool) { return e.RunsIn(v.ResourceName()) })
}

// EnvironmentCommit is one change of an environment.
type EnvironmentCommit struct {
	Environment   environment.Environment
	EnvironmentAt store.Revision // 0 creates it
	// VersionAt is the revision of the fact's version; 0 creates it.
	VersionAt store.Revision
	// Remove removes the version instead of writing it.
	Remove     bool
	Fact       environment.Fact
	RequestKey string
	Principal  string
	Extra      []store.Op
}

// ApplyEnvironment applies a change of an environment; see Apply.
func (s *State) ApplyEnvironment(ctx context.Context, c EnvironmentCommit) error {
	e, v := c.Environment, c.Fact.Version
	e.EventSequence++
	event, err := environmentEvent(e, c.Fact, c.Principal, s.deps.Clock())
	if err != nil {
		return err
	}
	return s.applyRegistered(ctx, registered{
		root:    document{what: "environment " + e.Name, key: environmentKey(e.Workspace, e.Name), value: e, at: c.EnvironmentAt},
		version: document{what: "environment " + v.ID(), key: environmentVersionKey(e.Workspace, e.Name, v.Number), value: v, at: c.VersionAt},
		remove:  c.Remove, resource: v.ResourceName(), event: event, requestKey: c.RequestKey, extra: c.Extra,
	}, s.environments, s.environmentVersions)
}

// environmentEvent makes the event of a fact. Its sequence counts the events of
// the environment with all its versions.
func environmentEvent(e environment.Environment, f environment.Fact, principal string, now time.Time) (events.Event, error) {
	v := f.Version
	data := &eventsv1.ResourceEventData{Name: v.ResourceName(), Uid: v.UID, Generation: 1, Message: f.Message, Principal: principal}
	aggregate := resourcename.Format("workspaces", e.Workspace, "environments", e.Name)
	return event(e.Workspace, "environment", f.Verb, uint64(e.EventSequence), now, data,
		details(map[string]any{"environment": e.Name, "version": v.Number, "digest": v.Digest}, aggregate))
}
