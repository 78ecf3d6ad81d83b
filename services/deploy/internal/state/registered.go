package state

import (
	"context"
	"errors"
	"slices"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// registered is one change of something that is registered in versions: its
// root, one of its versions, and what goes with them.
type registered struct {
	root, version document
	// remove removes the version instead of writing it.
	remove     bool
	resource   string // the version's resource name
	event      events.Event
	requestKey string
	extra      []store.Op
}

// document is one value of a change; at is the revision that it replaces, 0 creates it.
type document struct {
	what, key string
	value     any
	at        store.Revision
}

// follower is a cache that follows the store.
type follower interface {
	WaitFor(context.Context, store.Revision) error
}

// applyRegistered applies a change and waits until the caches have it; see Apply.
func (s *State) applyRegistered(ctx context.Context, r registered, caches ...follower) error {
	root, err := encode(r.root.what, r.root.value)
	if err != nil {
		return err
	}
	ops := append(slices.Clone(r.extra), write(r.root.key, root, r.root.at))
	if r.remove {
		ops = append(ops, store.Delete(r.version.key, r.version.at))
	} else {
		value, err := encode(r.version.what, r.version.value)
		if err != nil {
			return err
		}
		ops = append(ops, write(r.version.key, value, r.version.at))
	}
	if r.requestKey != "" {
		ops = append(ops, operation.Record(r.requestKey, r.resource))
	}
	revision, err := s.deps.Store.Apply(ctx, store.Batch{ID: events.NewID(), Ops: ops, Events: []events.Event{r.event}})
	if err != nil {
		return err
	}
	for _, c := range caches {
		if err := c.WaitFor(ctx, revision); err != nil {
			return err
		}
	}
	return nil
}

// Use is the moment at which models, or environments, were looked up. A commit
// that adds uses of them, and the deletion of one, take turns by it: neither
// happens when the other has happened since.
type Use struct {
	key      string
	revision store.Revision
}

// ModelUse reads the moment; look models up after it.
func (s *State) ModelUse(ctx context.Context, workspace string) (Use, error) {
	return s.use(ctx, resourcename.Format(modelUsePrefix, workspace))
}

// EnvironmentUse reads the moment; look environments up after it.
func (s *State) EnvironmentUse(ctx context.Context, workspace string) (Use, error) {
	return s.use(ctx, resourcename.Format(environmentUsePrefix, workspace))
}

func (s *State) use(ctx context.Context, key string) (Use, error) {
	entry, err := s.deps.Store.Get(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Use{}, err
	}
	return Use{key: key, revision: entry.Revision}, nil
}

// Take gives the op for the commit.
func (u Use) Take() store.Op { return write(u.key, []byte("{}"), u.revision) }

// usedBy gives the name of an endpoint version of a workspace that uses
// something; "" when there is none. It is never stale.
func (s *State) usedBy(ctx context.Context, workspace string, uses func(endpoint.Endpoint) (version string, ok bool)) (string, error) {
	entries, _, err := s.deps.Store.List(ctx, resourcename.Format(endpointPrefix, workspace))
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		e, err := decode[endpoint.Endpoint](entry)
		if err != nil {
			return "", err
		}
		if id, ok := uses(e); ok {
			return e.VersionName(id), nil
		}
	}
	return "", nil
}
