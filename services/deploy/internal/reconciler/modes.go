package reconciler

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/services/deploy/internal/access"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

const (
	// modesAgain is how often all modes are told again: whatever made the auth
	// service know another one, it does not stay so.
	modesAgain = time.Minute
	// modesRetry is when a mode that could not be told is told again.
	modesRetry = 2 * time.Second
)

// mode is how callers of an endpoint show who they are.
type mode struct {
	uid  string
	auth endpoint.AuthMode
}

// modes keeps the auth service told of how callers of each endpoint show who they
// are, until ctx ends. A change of it is told before it is stored, so that tokens
// can be had when routers ask for them; when it is not stored after all, this
// takes it back. It has its own goroutine: with the auth service away, all else
// goes on.
func (r *Reconciler) modes(ctx context.Context) error {
	changes := r.deps.State.Endpoints().Subscribe()
	defer changes.Close()
	again := time.NewTicker(modesAgain)
	defer again.Stop()
	retry := time.NewTimer(modesAgain)
	defer retry.Stop()
	told, pending := map[string]mode{}, map[string]bool{}
	for {
		for _, key := range changes.Take() {
			pending[key] = true
		}
		if err := r.tellModes(ctx, told, pending); err != nil && ctx.Err() == nil {
			r.deps.Logger.Warn("the auth service was not told how endpoints are opened; trying again", "wait", modesRetry, "error", err)
			retry.Reset(modesRetry)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changes.Ready():
		case <-retry.C:
		case <-again.C:
			for key := range told {
				pending[key] = true
			}
			clear(told)
		}
	}
}

// tellModes tells what is pending and not told yet, and stops at the first failure.
func (r *Reconciler) tellModes(ctx context.Context, told map[string]mode, pending map[string]bool) error {
	for key := range pending {
		item, ok := r.deps.State.Endpoints().Get(key)
		if !ok || item.Value.Deletion != nil {
			delete(told, key)
			delete(pending, key)
			continue
		}
		e := item.Value
		if now := (mode{e.UID, e.Auth}); told[key] != now {
			if err := r.tellMode(ctx, e); err != nil {
				return err
			}
			told[key] = now
		}
		delete(pending, key)
	}
	return nil
}

// tellMode tells the mode of one endpoint.
func (r *Reconciler) tellMode(ctx context.Context, e endpoint.Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := access.Tell(ctx, r.deps.Keys, e); err != nil {
		return fmt.Errorf("tell how %s is opened: %w", e.Name(), err)
	}
	return nil
}
