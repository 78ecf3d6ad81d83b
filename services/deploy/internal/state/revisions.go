package state

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// revisionPrefix is where revisions are: below it by workspace, endpoint,
// version's uid and number.
const revisionPrefix = "revisions"

// Revisions gives what is kept of the revisions of a version, newest first. It
// is never stale.
func (s *State) Revisions(ctx context.Context, e endpoint.Endpoint, versionUID string) ([]endpoint.Revision, error) {
	entries, _, err := s.deps.Store.List(ctx, revisionsKey(e, versionUID))
	if err != nil {
		return nil, err
	}
	out := make([]endpoint.Revision, 0, len(entries))
	for _, entry := range slices.Backward(entries) {
		r, err := decode[endpoint.Revision](entry)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Revision gives one revision of a version.
func (s *State) Revision(ctx context.Context, e endpoint.Endpoint, versionUID string, number int64) (endpoint.Revision, error) {
	r, _, err := get[endpoint.Revision](ctx, s.deps.Store, revisionKey(e, versionUID, number), func() error {
		return apierr.New(apierr.NotFound, "REVISION_NOT_FOUND", "there is no revision %d; the last %d are kept", number, endpoint.KeptRevisions)
	})
	return r, err
}

// revisionOps gives the writes that keep revisions as a change says.
func (s *State) revisionOps(ctx context.Context, c Commit) ([]store.Op, error) {
	e, ops := c.Change.Endpoint, []store.Op(nil)
	written := map[string]endpoint.Revision{}
	at := map[string]store.Revision{}
	for _, r := range c.Change.Revisions {
		r.CreatedBy = c.Principal
		written[revisionKey(e, r.VersionUID, r.Number)] = r
		old := r.Number - endpoint.KeptRevisions
		if old < 1 {
			continue
		}
		gone, err := s.forget(ctx, revisionKey(e, r.VersionUID, old))
		if err != nil {
			return nil, err
		}
		ops = append(ops, gone...)
	}
	for _, m := range c.Change.Marks {
		key := revisionKey(e, m.VersionUID, m.Number)
		r, ok := written[key]
		if !ok {
			var err error
			if r, at[key], err = s.marked(ctx, e, m); err != nil {
				return nil, err
			}
		}
		written[key] = become(r, m)
	}
	for key, r := range written {
		value, err := encode(fmt.Sprintf("revision %d", r.Number), r)
		if err != nil {
			return nil, err
		}
		ops = append(ops, write(key, value, at[key]))
	}
	for _, uid := range c.Change.Forgotten {
		entries, _, err := s.deps.Store.List(ctx, revisionsKey(e, uid))
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			ops = append(ops, store.Delete(entry.Key, entry.Revision))
		}
	}
	return ops, nil
}

// become gives a revision as a mark says.
func become(r endpoint.Revision, m endpoint.Mark) endpoint.Revision {
	if m.Cancelled {
		r.Cancelled = true
		return r
	}
	r.Served, r.Failure = r.Served || m.Failure == "", m.Failure
	return r
}

// marked gives the revision that a mark is about. One that was made before
// revisions were kept is made up from the version.
func (s *State) marked(ctx context.Context, e endpoint.Endpoint, m endpoint.Mark) (endpoint.Revision, store.Revision, error) {
	key := revisionKey(e, m.VersionUID, m.Number)
	r, at, err := get[endpoint.Revision](ctx, s.deps.Store, key, func() error { return store.ErrNotFound })
	if !errors.Is(err, store.ErrNotFound) {
		return r, at, err
	}
	for _, v := range e.Versions {
		if v.UID == m.VersionUID {
			return endpoint.Revision{VersionUID: v.UID, Number: m.Number, Spec: v.Spec, CreateTime: v.UpdateTime}, 0, nil
		}
	}
	return endpoint.Revision{}, 0, err
}

func (s *State) forget(ctx context.Context, key string) ([]store.Op, error) {
	entry, err := s.deps.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []store.Op{store.Delete(key, entry.Revision)}, nil
}

func revisionsKey(e endpoint.Endpoint, versionUID string) string {
	return resourcename.Format(revisionPrefix, e.Workspace, e.ID, versionUID)
}

func revisionKey(e endpoint.Endpoint, versionUID string, number int64) string {
	return resourcename.Format(revisionsKey(e, versionUID), fmt.Sprintf("%010d", number))
}
