// Package signingkeys keeps the ring of signing keys in the store: makes it at
// the first start, replaces keys by age and on request, and signs tokens.
//
// Several instances may share a store: a ring is changed only as it was read.
// Keys is a component; its methods are safe for concurrent use.
package signingkeys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fairlead/fairlead/services/auth/internal/sealing"
	"github.com/fairlead/fairlead/services/auth/internal/signing"
	"github.com/fairlead/fairlead/services/auth/internal/state"
)

const (
	// Prefix is where the ring is in the store, under ringName.
	Prefix   = "signingkeys"
	ringName = "ring"
	// checkEvery is how often the age of the active key is looked at.
	checkEvery = time.Minute
	// maxAttempts bounds how often a change is tried against other instances.
	maxAttempts = 10
)

// Config is how long things last.
type Config struct {
	Lifetime time.Duration // of a token at most
	MaxAge   time.Duration // of a key that signs
}

// Deps is what Keys works with.
type Deps struct {
	Rings  *state.Collection[signing.Ring]
	Sealer *sealing.Sealer
	Logger *slog.Logger
	Now    func() time.Time
}

// Keys is the ring in the store.
type Keys struct {
	cfg Config
	Deps
}

// New makes Keys.
func New(cfg Config, deps Deps) *Keys { return &Keys{cfg: cfg, Deps: deps} }

// Run replaces the active key when it is too old, until ctx ends.
func (k *Keys) Run(ctx context.Context) error {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := k.RotateWhenDue(ctx); err != nil && ctx.Err() == nil {
			k.Logger.Error("the signing key was not replaced, tried again in a minute", "error", err)
		}
	}
}

// Ensure makes the ring when there is none.
func (k *Keys) Ensure(ctx context.Context) error {
	_, err := k.change(ctx, func(current state.Stored[signing.Ring]) (*signing.Ring, error) {
		if current.Exists() {
			return nil, nil
		}
		return k.fresh(ctx)
	})
	return err
}

// RotateWhenDue replaces the active key if it is too old.
func (k *Keys) RotateWhenDue(ctx context.Context) error {
	_, err := k.change(ctx, func(current state.Stored[signing.Ring]) (*signing.Ring, error) {
		if !current.Value.Due(k.cfg.MaxAge, k.Now()) {
			return nil, nil
		}
		return k.rotated(ctx, current.Value)
	})
	return err
}

// Rotate replaces the active key now; withdraw makes all that there were invalid.
func (k *Keys) Rotate(ctx context.Context, withdraw bool) (signing.Ring, error) {
	return k.change(ctx, func(current state.Stored[signing.Ring]) (*signing.Ring, error) {
		if withdraw {
			return k.fresh(ctx)
		}
		return k.rotated(ctx, current.Value)
	})
}

// Sign makes the token of g.
func (k *Keys) Sign(ctx context.Context, g signing.Grant) (string, error) {
	ring, err := k.Rings.Get(ctx, ringName)
	if err != nil {
		return "", err
	}
	if g.Lifetime > ring.Value.Longest { // the configuration has changed since the key began to sign
		longer, err := k.change(ctx, func(current state.Stored[signing.Ring]) (*signing.Ring, error) {
			next := current.Value
			next.Longest = max(next.Longest, g.Lifetime)
			return &next, nil
		})
		if err != nil {
			return "", err
		}
		ring.Value = longer
	}
	active := ring.Value.Active
	seed, err := k.Sealer.OpenFor(ctx, purpose(active.ID), active.Sealed)
	if err != nil {
		return "", err
	}
	return signing.Sign(g, active.ID, seed)
}

// Verifiers gives the keys that tokens are verified with, and when that changes
// by itself.
func (k *Keys) Verifiers(ctx context.Context) ([]signing.Verifier, time.Time, error) {
	ring, err := k.Rings.Get(ctx, ringName)
	if err != nil || !ring.Exists() {
		return nil, time.Time{}, err
	}
	return ring.Value.Verifiers(k.Now()), ring.Value.NextChange(), nil
}

// change writes what decide makes of the ring; nil leaves it as it is.
func (k *Keys) change(ctx context.Context, decide func(state.Stored[signing.Ring]) (*signing.Ring, error)) (signing.Ring, error) {
	for range maxAttempts {
		current, err := k.Rings.Read(ctx, ringName)
		if err != nil {
			return signing.Ring{}, err
		}
		next, err := decide(current)
		if err != nil || next == nil {
			return current.Value, err
		}
		err = k.Rings.Commit(ctx, state.Write[signing.Ring]{Name: ringName, Was: current, Value: next})
		if err == nil {
			k.Logger.Info("the signing key was replaced", "kid", next.Active.ID)
		}
		if !errors.Is(err, state.ErrChanged) {
			return *next, err
		}
	}
	return signing.Ring{}, errors.New("others keep changing the signing keys at the same time")
}

func (k *Keys) fresh(ctx context.Context) (*signing.Ring, error) {
	active, err := k.generate(ctx)
	if err != nil {
		return nil, err
	}
	next, err := k.generate(ctx)
	if err != nil {
		return nil, err
	}
	ring := signing.New(active, next, k.cfg.Lifetime, k.Now())
	return &ring, nil
}

func (k *Keys) rotated(ctx context.Context, ring signing.Ring) (*signing.Ring, error) {
	next, err := k.generate(ctx)
	if err != nil {
		return nil, err
	}
	ring = ring.Rotate(next, k.cfg.Lifetime, k.Now())
	return &ring, nil
}

func (k *Keys) generate(ctx context.Context) (signing.Key, error) {
	key, seed, err := signing.Generate(k.Now())
	if err != nil {
		return key, err
	}
	key.Sealed, err = k.Sealer.SealFor(ctx, purpose(key.ID), seed)
	return key, err
}

func purpose(id string) string { return fmt.Sprintf("signing key %s", id) }
