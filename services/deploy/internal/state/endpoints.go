package state

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// Endpoint reads an endpoint.
func (s *State) Endpoint(ctx context.Context, workspace, id string) (endpoint.Endpoint, store.Revision, error) {
	return get[endpoint.Endpoint](ctx, s.deps.Store, EndpointKey(workspace, id), func() error {
		return apierr.New(apierr.NotFound, "ENDPOINT_NOT_FOUND", "there is no endpoint %s in workspace %s", id, workspace)
	})
}

// Commit is one change of an endpoint with all that belongs to it.
type Commit struct {
	Change endpoint.Change
	// At is the revision that the change was made from; 0 creates the endpoint.
	At store.Revision
	// Remove removes the endpoint instead of writing it.
	Remove bool
	// Operation is a new operation that the change begins; nil for none.
	Operation *operation.Operation
	// Steps are for running operations, by name.
	Steps map[string]string
	// RequestKey records the new operation as the answer to a request; "" for none.
	RequestKey string
	Principal  string
	Extra      []store.Op
	Guards     []store.Guard
}

// Apply applies a commit. Nothing is applied when the endpoint, the request's
// record or anything else has changed since; IsConflict tells.
func (s *State) Apply(ctx context.Context, c Commit) error {
	now := s.deps.Clock()
	e := c.Change.Endpoint
	log := make([]events.Event, 0, len(c.Change.Facts))
	for _, f := range c.Change.Facts {
		e.EventSequence++
		event, err := endpointEvent(e, f, c.Principal, now)
		if err != nil {
			return err
		}
		log = append(log, event)
	}
	key := EndpointKey(e.Workspace, e.ID)
	ops := slices.Clone(c.Extra)
	if c.Remove {
		ops = append(ops, store.Delete(key, c.At))
	} else {
		value, err := encode("endpoint "+e.ID, e)
		if err != nil {
			return err
		}
		ops = append(ops, write(key, value, c.At))
	}
	moved, err := s.moveOperations(ctx, c, now)
	if err != nil {
		return err
	}
	kept, err := s.revisionOps(ctx, c)
	if err != nil {
		return err
	}
	ops = append(append(ops, moved...), kept...)
	if c.RequestKey != "" && c.Operation != nil {
		ops = append(ops, operation.Record(c.RequestKey, c.Operation.Name()))
	}
	revision, err := s.deps.Store.Apply(ctx, store.Batch{ID: events.NewID(), Ops: ops, Guards: c.Guards, Events: log})
	if err != nil {
		return err
	}
	return s.endpoints.WaitFor(ctx, revision)
}

// moveOperations gives the writes of all operations that the commit begins, moves or ends.
func (s *State) moveOperations(ctx context.Context, c Commit, now time.Time) ([]store.Op, error) {
	var ops []store.Op
	if c.Operation != nil {
		ops = append(ops, operation.Put(*c.Operation))
	}
	ended := map[string]bool{}
	for _, end := range c.Change.Ended {
		ended[end.Operation] = true
		o, err := s.deps.Operations.Get(ctx, end.Operation)
		if apierr.KindOf(err) == apierr.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if step, ok := c.Steps[end.Operation]; ok {
			o = o.Step(now, "%s", step)
		}
		if end.Err != nil {
			o = o.Fail(now, end.Err)
		} else {
			o = o.Succeed(now)
		}
		ops = append(ops, operation.Put(o))
	}
	for name, step := range c.Steps {
		if ended[name] {
			continue
		}
		o, err := s.deps.Operations.Get(ctx, name)
		if err != nil {
			continue // a step is not worth failing for
		}
		ops = append(ops, operation.Put(o.Step(now, "%s", step)))
	}
	return ops, nil
}

// Reservation holds an endpoint's name while it is being created.
type Reservation struct {
	key      string
	revision store.Revision
}

// ReservedError says that another request is creating an endpoint of that name.
type ReservedError struct {
	// Same is true when it is the same request, sent again.
	Same bool
}

func (e *ReservedError) Error() string { return "the endpoint's name is reserved by another request" }

// Reserve reserves the name of an endpoint, so that only one of several requests
// goes on to make keys for it. It ends by itself after ttl. owner tells the
// requests apart.
func (s *State) Reserve(ctx context.Context, workspace, id, owner string, ttl time.Duration) (Reservation, error) {
	key := resourcename.Format(reservationPrefix, workspace, id)
	r, err := s.deps.Store.Apply(ctx, store.Batch{
		ID:     events.NewID(),
		Ops:    []store.Op{store.Create(key, []byte(owner)).WithTTL(ttl)},
		Guards: []store.Guard{{Key: EndpointKey(workspace, id)}},
	})
	if err == nil {
		return Reservation{key: key, revision: r}, nil
	}
	if !IsConflict(err) {
		return Reservation{}, err
	}
	held, getErr := s.deps.Store.Get(ctx, key)
	if getErr != nil && !errors.Is(getErr, store.ErrNotFound) {
		return Reservation{}, getErr
	}
	return Reservation{}, &ReservedError{Same: getErr == nil && string(held.Value) == owner}
}

// Spend gives the op that ends the reservation with the commit that creates the
// endpoint; the commit fails when the reservation has ended before.
func (r Reservation) Spend() store.Op { return store.Delete(r.key, r.revision) }

// Release ends a reservation that is not used.
func (s *State) Release(ctx context.Context, r Reservation) {
	if _, err := s.deps.Store.Apply(ctx, store.Batch{Ops: []store.Op{r.Spend()}}); err != nil && !IsConflict(err) {
		s.deps.Logger.Warn("a reservation is left to end by itself", "key", r.key, "error", err)
	}
}
