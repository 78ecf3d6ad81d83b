// Package lease elects one holder among several processes, on any store.
//
// A lease is two keys: leases/<name>, which vanishes when it is not renewed, and
// epochs/<name>, which every acquisition writes anew. The epoch's revision is the
// fencing token: a batch that carries Lease.Guard is refused as soon as somebody
// else has acquired the lease, however late it arrives and whatever its writer
// believes.
//
// A lease alone does not prove that only one process believes to hold it: the guard
// does. What happens outside the store needs to be safe to repeat.
//
// A Lease is not safe for concurrent use; the functions are.
package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/platform/store"
)

// ErrHeld says that somebody else holds the lease.
var ErrHeld = errors.New("the lease is held by another holder")

// ErrLost says that the lease ran out or was taken over.
var ErrLost = errors.New("the lease was lost")

// Store is what a lease needs of a store.
type Store interface {
	store.Reader
	store.Writer
}

// Claim says who wants what. The same holder takes over its own lease at once: give
// every process that may run at the same time a holder of its own, and the same one
// again after a restart.
type Claim struct {
	Name   string // one or more segments of a key
	Holder string
	TTL    time.Duration // whole seconds, at least one
}

func (c Claim) key() string   { return store.Join("leases", c.Name) }
func (c Claim) epoch() string { return store.Join("epochs", c.Name) }

// Lease is an acquired claim.
type Lease struct {
	store Store
	claim Claim
	held  store.Revision // of the lease's key
	epoch store.Revision
}

// Acquire takes the lease, or gives ErrHeld at once.
func Acquire(ctx context.Context, st Store, c Claim) (*Lease, error) {
	if c.Name == "" || c.Holder == "" {
		return nil, &store.InvalidError{Field: "lease", Reason: "needs a name and a holder"}
	}
	take := store.Create(c.key(), []byte(c.Holder))
	current, err := st.Get(ctx, c.key())
	switch {
	case err == nil && string(current.Value) != c.Holder:
		return nil, fmt.Errorf("%w: %s by %s", ErrHeld, c.Name, current.Value)
	case err == nil:
		take = store.Update(c.key(), []byte(c.Holder), current.Revision)
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	token := c.Holder + " " + rand.Text()
	_, err = st.Apply(ctx, store.Batch{Ops: []store.Op{take.WithTTL(c.TTL), store.Put(c.epoch(), []byte(token))}})
	if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
		return nil, fmt.Errorf("%w: %s was taken just now", ErrHeld, c.Name)
	}
	if err != nil {
		return nil, err
	}
	return confirm(ctx, st, c, token)
}

// confirm reads back the acquisition: a write whose answer was late may be overtaken.
func confirm(ctx context.Context, st Store, c Claim, token string) (*Lease, error) {
	epoch, err := st.Get(ctx, c.epoch())
	if err != nil {
		return nil, err
	}
	if string(epoch.Value) != token {
		return nil, fmt.Errorf("%w: %s was taken just now", ErrHeld, c.Name)
	}
	// Both keys were written by one batch, the lease's first.
	return &Lease{store: st, claim: c, held: epoch.Revision - 1, epoch: epoch.Revision}, nil
}

// Guard is the condition that nobody acquired the lease since.
func (l *Lease) Guard() store.Guard {
	return store.Guard{Key: l.claim.epoch(), Revision: l.epoch}
}

// Renew starts the TTL anew, or gives ErrLost.
func (l *Lease) Renew(ctx context.Context) error {
	// Who takes the lease over writes this key, so its revision is condition enough.
	renewal := store.Update(l.claim.key(), []byte(l.claim.Holder), l.held).WithTTL(l.claim.TTL)
	held, err := l.store.Apply(ctx, store.Batch{Ops: []store.Op{renewal}})
	if err != nil {
		return l.lost(err)
	}
	l.held = held
	return nil
}

// Release gives the lease up, so that another can acquire it at once.
func (l *Lease) Release(ctx context.Context) error {
	_, err := l.store.Apply(ctx, store.Batch{Ops: []store.Op{store.Delete(l.claim.key(), l.held)}})
	return l.lost(err)
}

func (l *Lease) lost(err error) error {
	if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
		return fmt.Errorf("%w: %s: %w", ErrLost, l.claim.Name, err)
	}
	return err
}
