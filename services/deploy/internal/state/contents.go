package state

import (
	"context"
	"errors"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
)

const contentPrefix = "contents"

// Contents says which contents each workspace has brought in. The artefact store
// keeps a content once for all of them, but only who had it may use it: a digest
// alone opens nothing.
type Contents struct{ store store.Store }

// Contents gives what is known of contents.
func (s *State) Contents() Contents { return Contents{store: s.deps.Store} }

// NewContents gives what a store knows of contents.
func NewContents(s store.Store) Contents { return Contents{store: s} }

// Held says whether the workspace has brought the content in.
func (c Contents) Held(ctx context.Context, workspace, digest string) (bool, error) {
	_, err := c.store.Get(ctx, contentKey(workspace, digest))
	_, impossible := errors.AsType[*store.InvalidError](err) // a name that no key can have
	if errors.Is(err, store.ErrNotFound) || impossible {
		return false, nil
	}
	return err == nil, err
}

// Hold notes that the workspace has brought the content in.
func (c Contents) Hold(ctx context.Context, workspace, digest string) error {
	_, err := c.store.Apply(ctx, store.Batch{Ops: []store.Op{store.Create(contentKey(workspace, digest), []byte("{}"))}})
	if IsConflict(err) {
		return nil // it had already
	}
	return err
}

func contentKey(workspace, digest string) string {
	return resourcename.Format(contentPrefix, workspace, digest)
}
