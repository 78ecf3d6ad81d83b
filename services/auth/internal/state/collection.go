// Package state keeps the auth service's aggregates in the store: one value per
// workspace, endpoint's keys, role binding and service principal, each change in
// one batch with the facts that it makes; and the entries of the audit log.
//
// Lists and lookups come from a cache that follows the store; a lookup that the
// cache cannot answer asks the store, so that what exists is always found.
// Commit returns when the cache shows the change. Everything is safe for
// concurrent use.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
)

// Stored is an aggregate with the revision to change it at; 0 when there is none.
type Stored[T any] struct {
	Value    T
	Revision store.Revision
}

// Exists says whether there is such an aggregate.
func (s Stored[T]) Exists() bool { return s.Revision != 0 }

// Collection holds the aggregates of one kind by name. Its Run is a component.
type Collection[T any] struct {
	store  store.Store
	cache  *store.Cache[T]
	prefix string
}

// NewCollection makes the collection of the keys below prefix.
func NewCollection[T any](st store.Store, prefix string, log *slog.Logger) *Collection[T] {
	return &Collection[T]{
		store:  st,
		prefix: prefix,
		cache:  store.NewCache(st, store.CacheConfig[T]{Prefix: prefix, Decode: decode[T], Logger: log}),
	}
}

// Run keeps the cache fresh until ctx ends.
func (c *Collection[T]) Run(ctx context.Context) error { return c.cache.Run(ctx) }

// WaitSynced blocks until the cache is whole.
func (c *Collection[T]) WaitSynced(ctx context.Context) error { return c.cache.WaitSynced(ctx) }

// Get looks an aggregate up, without guarding against a change a moment ago.
func (c *Collection[T]) Get(ctx context.Context, name string) (Stored[T], error) {
	if it, ok := c.cache.Get(c.key(name)); ok {
		return Stored[T]{Value: it.Value, Revision: it.Revision}, nil
	}
	return c.Read(ctx, name)
}

// Cached looks an aggregate up in the cache only.
func (c *Collection[T]) Cached(name string) (Stored[T], bool) {
	it, ok := c.cache.Get(c.key(name))
	return Stored[T]{Value: it.Value, Revision: it.Revision}, ok
}

// Read reads an aggregate as it is now, to change it.
func (c *Collection[T]) Read(ctx context.Context, name string) (Stored[T], error) {
	e, err := c.store.Get(ctx, c.key(name))
	_, impossible := errors.AsType[*store.InvalidError](err) // a name that no key can have
	if errors.Is(err, store.ErrNotFound) || impossible {
		return Stored[T]{}, nil
	}
	if err != nil {
		return Stored[T]{}, err
	}
	v, err := decode[T](e)
	return Stored[T]{Value: v, Revision: e.Revision}, err
}

// List gives all aggregates by name.
func (c *Collection[T]) List() []T { return c.list(c.prefix) }

// Below gives the aggregates whose names begin with name and a slash, by name.
func (c *Collection[T]) Below(name string) []T { return c.list(c.key(name)) }

func (c *Collection[T]) list(prefix string) []T {
	items := c.cache.List(prefix)
	out := make([]T, len(items))
	for i, it := range items {
		out[i] = it.Value
	}
	return out
}

// Write is one change of one aggregate, with what belongs to it.
type Write[T any] struct {
	Name   string
	Was    Stored[T] // as read
	Value  *T        // nil deletes
	Facts  []fact.Fact
	Caller string // who caused it; for the events
	// RequestKey records Name under a request id, unless it is empty.
	RequestKey string
}

// ErrChanged says that someone else changed the aggregate since it was read, or
// recorded the same request: read again.
var ErrChanged = errors.New("the aggregate has changed since it was read")

// Commit writes the change with its facts, or nothing. It returns when this
// process reads its own write.
func (c *Collection[T]) Commit(ctx context.Context, w Write[T]) error {
	batch, err := c.batch(w)
	if err != nil {
		return err
	}
	revision, err := c.store.Apply(ctx, batch)
	if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
		return ErrChanged
	}
	if err != nil {
		return err
	}
	return c.cache.WaitFor(ctx, revision-store.Revision(len(batch.Ops)-1)) // of the first op, which is the aggregate's
}

// Unchanged records a request that changed nothing, so that its repetition is
// known.
func (c *Collection[T]) Unchanged(ctx context.Context, name, requestKey string) error {
	if requestKey == "" {
		return nil
	}
	_, err := c.store.Apply(ctx, store.Batch{Ops: []store.Op{operation.Record(requestKey, name)}})
	if _, conflict := errors.AsType[*store.ConflictError](err); conflict {
		return nil // the repetition was faster
	}
	return err
}

func (c *Collection[T]) batch(w Write[T]) (store.Batch, error) {
	var b store.Batch
	switch {
	case w.Value == nil:
		b.Ops = append(b.Ops, store.Delete(c.key(w.Name), w.Was.Revision))
	default:
		value, err := json.Marshal(w.Value)
		if err != nil {
			return b, fmt.Errorf("encode %s: %w", w.Name, err)
		}
		if w.Was.Exists() {
			b.Ops = append(b.Ops, store.Update(c.key(w.Name), value, w.Was.Revision))
		} else {
			b.Ops = append(b.Ops, store.Create(c.key(w.Name), value))
		}
	}
	if w.RequestKey != "" {
		b.Ops = append(b.Ops, operation.Record(w.RequestKey, w.Name))
	}
	for _, f := range w.Facts {
		e, err := event(f, w.Caller)
		if err != nil {
			return b, err
		}
		b.Events = append(b.Events, e)
	}
	return b, nil
}

// Recorded says whether a request was recorded under requestKey, and for which
// aggregate.
func (c *Collection[T]) Recorded(ctx context.Context, requestKey string) (name string, ok bool, err error) {
	name, ok, err = operation.Recorded(ctx, c.store, requestKey)
	return name, ok, err
}

// Changes follows the names of changed aggregates; every name that exists when
// it is opened counts as changed.
type Changes struct {
	*store.Subscription
	prefix string
}

// Changes opens a Changes; close it.
func (c *Collection[T]) Changes() Changes {
	return Changes{Subscription: c.cache.Subscribe(), prefix: c.prefix}
}

// Take gives the names that changed since the last Take, each once.
func (c Changes) Take() []string {
	keys := c.Subscription.Take()
	for i, k := range keys {
		keys[i] = k[len(c.prefix)+1:]
	}
	return keys
}

func (c *Collection[T]) key(name string) string { return resourcename.Format(c.prefix, name) }

func decode[T any](e store.Entry) (T, error) {
	var v T
	if err := json.Unmarshal(e.Value, &v); err != nil {
		return v, fmt.Errorf("decode %s: %w", e.Key, err)
	}
	return v, nil
}
