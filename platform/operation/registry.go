package operation

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
)

// Registry is a service's view of its operations. It is a component.
type Registry struct {
	reader store.Reader
	cache  *store.Cache[Operation]
}

// Source is what a registry reads from.
type Source interface {
	store.Reader
	store.Watcher
}

// NewRegistry makes the view of the operations in a service's store.
func NewRegistry(source Source, log *slog.Logger) *Registry {
	return &Registry{
		reader: source,
		cache:  store.NewCache(source, store.CacheConfig[Operation]{Prefix: Prefix, Decode: decode, Logger: log}),
	}
}

// Run keeps the view fresh until ctx ends.
func (r *Registry) Run(ctx context.Context) error { return r.cache.Run(ctx) }

// WaitSynced blocks until the view is whole.
func (r *Registry) WaitSynced(ctx context.Context) error { return r.cache.WaitSynced(ctx) }

var names = resourcename.NewPattern("workspaces/{workspace}/operations/{operation}")

// Get reads an operation by its resource name, never stale.
func (r *Registry) Get(ctx context.Context, name string) (Operation, error) {
	v, err := names.Parse(name)
	if err != nil {
		return Operation{}, err
	}
	e, err := r.reader.Get(ctx, key(v.Get("workspace"), v.Get("operation")))
	if err != nil {
		return Operation{}, notFound(name, err)
	}
	return decode(e)
}

// List gives the operations of a workspace by name; those of one service are
// in order of their start.
func (r *Registry) List(workspace string) []Operation {
	items := r.cache.List(resourcename.Format(Prefix, workspace))
	out := make([]Operation, len(items))
	for i, it := range items {
		out[i] = it.Value
	}
	return out
}

// ForTarget gives the unfinished operations on a resource.
func (r *Registry) ForTarget(target string) []Operation {
	var out []Operation
	for _, o := range r.List(resourcename.Workspace(target)) {
		if o.Target == target && !o.Done {
			out = append(out, o)
		}
	}
	return out
}

// Wait blocks until the operation is done or ctx ends, and gives it as it then
// is.
func (r *Registry) Wait(ctx context.Context, name string) (Operation, error) {
	changes := r.cache.Subscribe()
	defer changes.Close()
	for {
		o, err := r.Get(ctx, name)
		if err != nil || o.Done {
			return o, err
		}
		// Of all that changes only this operation is worth asking the store again.
		own := key(o.Workspace, o.ID)
		for changed := false; !changed; {
			select {
			case <-changes.Ready():
				changed = slices.Contains(changes.Take(), own)
			case <-ctx.Done():
				return o, ctx.Err()
			}
		}
	}
}

func notFound(name string, err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return apierr.New(apierr.NotFound, "OPERATION_NOT_FOUND",
		"there is no operation %s; finished ones are kept for a week", name).Because(err)
}
