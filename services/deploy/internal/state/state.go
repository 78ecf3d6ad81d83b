// Package state keeps the aggregates of the deploy service in its store.
//
// A change of an aggregate is one batch: the aggregate under compare-and-set,
// the operations that it begins, moves or ends, the record of the request that
// caused it, and its events. So an event exists if and only if its change does,
// and an operation ends together with what it waited for. Reads by the Get
// methods are never stale; the caches follow within milliseconds, and a commit
// returns only when the cache of its aggregate has it. Safe for concurrent use.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/environment"
	"github.com/fairlead/fairlead/services/deploy/internal/model"
)

const (
	endpointPrefix     = "endpoints"
	modelPrefix        = "models"
	modelVersionPrefix = "modelversions"
	reservationPrefix  = "reservations"
	modelUsePrefix     = "modeluse"
)

// Deps is what the state needs.
type Deps struct {
	Logger     *slog.Logger
	Store      store.Store
	Operations *operation.Registry
	Clock      func() time.Time
}

// State is the service's state. It is a component: Run keeps the caches.
type State struct {
	deps          Deps
	endpoints     *store.Cache[endpoint.Endpoint]
	models        *store.Cache[model.Model]
	modelVersions *store.Cache[model.Version]

	environments        *store.Cache[environment.Environment]
	environmentVersions *store.Cache[environment.Version]
}

// New makes the state over a store.
func New(deps Deps) *State {
	return &State{
		deps:          deps,
		endpoints:     cache[endpoint.Endpoint](deps, endpointPrefix),
		models:        cache[model.Model](deps, modelPrefix),
		modelVersions: cache[model.Version](deps, modelVersionPrefix),

		environments:        cache[environment.Environment](deps, environmentPrefix),
		environmentVersions: cache[environment.Version](deps, environmentVersionPrefix),
	}
}

func cache[T any](deps Deps, prefix string) *store.Cache[T] {
	return store.NewCache(deps.Store, store.CacheConfig[T]{Prefix: prefix, Decode: decode[T], Logger: deps.Logger})
}

func decode[T any](e store.Entry) (T, error) {
	var value T
	if err := json.Unmarshal(e.Value, &value); err != nil {
		return value, fmt.Errorf("read %s: %w", e.Key, err)
	}
	return value, nil
}

// encode gives the stored form, refused while it is still clear what is too large.
func encode(what string, value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", what, err)
	}
	if len(data) > store.MaxValue {
		return nil, apierr.New(apierr.ResourceExhausted, "TOO_LARGE",
			"%s takes %d bytes to describe, at most %d are possible: use fewer files (an archive that the script unpacks), or fewer versions", what, len(data), store.MaxValue)
	}
	return data, nil
}

// Run keeps the caches until ctx ends.
func (s *State) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.endpoints.Run(ctx) })
	group.Go(func() error { return s.models.Run(ctx) })
	group.Go(func() error { return s.modelVersions.Run(ctx) })
	group.Go(func() error { return s.environments.Run(ctx) })
	group.Go(func() error { return s.environmentVersions.Run(ctx) })
	group.Go(func() error { return s.deps.Operations.Run(ctx) })
	return group.Wait()
}

// WaitSynced blocks until the caches hold all there is.
func (s *State) WaitSynced(ctx context.Context) error {
	for _, wait := range []func(context.Context) error{
		s.endpoints.WaitSynced, s.models.WaitSynced, s.modelVersions.WaitSynced,
		s.environments.WaitSynced, s.environmentVersions.WaitSynced, s.deps.Operations.WaitSynced,
	} {
		if err := wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Endpoints is the cache of endpoints, by EndpointKey.
func (s *State) Endpoints() *store.Cache[endpoint.Endpoint] { return s.endpoints }

// EndpointKey gives the store key of an endpoint.
func EndpointKey(workspace, id string) string {
	return resourcename.Format(endpointPrefix, workspace, id)
}

// EndpointsKey gives the prefix of the store keys of a workspace's endpoints.
func EndpointsKey(workspace string) string {
	return resourcename.Format(endpointPrefix, workspace)
}

// Recorded gives the result of an earlier request with the same key.
func (s *State) Recorded(ctx context.Context, requestKey string) (string, bool, error) {
	return operation.Recorded(ctx, s.deps.Store, requestKey)
}

// Operation reads an operation.
func (s *State) Operation(ctx context.Context, name string) (operation.Operation, error) {
	return s.deps.Operations.Get(ctx, name)
}

// IsConflict tells whether a commit lost against another one; read again and repeat.
func IsConflict(err error) bool {
	_, ok := errors.AsType[*store.ConflictError](err)
	return ok
}

// get reads one aggregate; missing makes the error when there is none.
func get[T any](ctx context.Context, r store.Reader, key string, missing func() error) (T, store.Revision, error) {
	var none T
	entry, err := r.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return none, 0, missing()
	}
	if err != nil {
		return none, 0, err
	}
	value, err := decode[T](entry)
	if err != nil {
		return none, 0, err
	}
	return value, entry.Revision, nil
}

// write gives the op that creates or replaces a value.
func write(key string, value []byte, at store.Revision) store.Op {
	if at == 0 {
		return store.Create(key, value)
	}
	return store.Update(key, value, at)
}
