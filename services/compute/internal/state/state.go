// Package state keeps compute's aggregates in the store: each mutation is one
// batch of new values, guards and events. Reads by key are never stale; the
// views of all targets and workloads follow the store within moments.
//
// A State is safe for concurrent use.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/lifecycle"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/services/compute/internal/fact"
	"github.com/fairlead/fairlead/services/compute/internal/target"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

const (
	targetsPrefix   = "targets"
	workloadsPrefix = "workloads"
	clustersPrefix  = "clusters"
	// turnstiles are passed by each new workload of a target: whoever removes
	// the target guards on them, so that none slips in.
	turnstilesPrefix = "turnstiles"
)

// Config says how the local target is before its first change.
type Config struct {
	LocalNodes    int
	LocalNodeSize string
	// Since is the creation time that an unchanged local target shows.
	Since time.Time
}

// State is compute's part of the store.
type State struct {
	cfg       Config
	store     store.Store
	targets   *store.Cache[target.Target]
	workloads *store.Cache[workload.Workload]
}

// New makes the state over st.
func New(cfg Config, st store.Store, log *slog.Logger) *State {
	return &State{
		cfg: cfg, store: st,
		targets:   store.NewCache(st, store.CacheConfig[target.Target]{Prefix: targetsPrefix, Decode: decode[target.Target], Logger: log}),
		workloads: store.NewCache(st, store.CacheConfig[workload.Workload]{Prefix: workloadsPrefix, Decode: decode[workload.Workload], Logger: log}),
	}
}

func decode[T any](e store.Entry) (T, error) {
	var v T
	if err := json.Unmarshal(e.Value, &v); err != nil {
		return v, fmt.Errorf("read %s: %w", e.Key, err)
	}
	return v, nil
}

// Run keeps the views fresh until ctx ends.
func (s *State) Run(ctx context.Context) error {
	return lifecycle.NewGroup(
		lifecycle.Member{Name: "targets", Component: s.targets},
		lifecycle.Member{Name: "workloads", Component: s.workloads},
	).Run(ctx)
}

// WaitSynced blocks until the views are whole.
func (s *State) WaitSynced(ctx context.Context) error {
	return errors.Join(s.targets.WaitSynced(ctx), s.workloads.WaitSynced(ctx))
}

// Changed is signalled when a target or workload has changed. Close ends it.
type Changed struct{ Targets, Workloads *store.Subscription }

// Subscribe begins to signal changes.
func (s *State) Subscribe() Changed {
	return Changed{Targets: s.targets.Subscribe(), Workloads: s.workloads.Subscribe()}
}

// Take forgets the changes that were signalled.
func (c Changed) Take() { c.Targets.Take(); c.Workloads.Take() }

// Close ends the signals.
func (c Changed) Close() { c.Targets.Close(); c.Workloads.Close() }

// Versioned is a value with its revision; zero means it is not stored.
type Versioned[T any] struct {
	Value    T
	Revision store.Revision
}

// Target reads a target.
func (s *State) Target(ctx context.Context, workspace, id string) (Versioned[target.Target], error) {
	got, err := get[target.Target](ctx, s.store, targetKey(workspace, id))
	if errors.Is(err, store.ErrNotFound) {
		if id == target.LocalID {
			return Versioned[target.Target]{Value: s.local(workspace)}, nil
		}
		return got, apierr.New(apierr.NotFound, "COMPUTE_TARGET_NOT_FOUND",
			"there is no compute target %s", target.Name(workspace, id)).With("compute_target", target.Name(workspace, id))
	}
	return got, err
}

func (s *State) local(workspace string) target.Target {
	return target.Local(workspace, s.cfg.LocalNodes, s.cfg.LocalNodeSize, s.cfg.Since)
}

// Targets lists the targets of a workspace by id.
func (s *State) Targets(ctx context.Context, workspace string) ([]target.Target, error) {
	entries, _, err := s.store.List(ctx, resourcename.Format(targetsPrefix, workspace))
	if err != nil {
		return nil, err
	}
	var out []target.Target
	local := s.local(workspace)
	pending := true // the local one, if it is not stored
	for _, e := range entries {
		t, err := decode[target.Target](e)
		if err != nil {
			return nil, err
		}
		if pending && t.ID >= target.LocalID {
			if t.ID != target.LocalID {
				out = append(out, local)
			}
			pending = false
		}
		out = append(out, t)
	}
	if pending {
		out = append(out, local)
	}
	return out, nil
}

// KnownTarget gives a target as the view has it.
func (s *State) KnownTarget(workspace, id string) (target.Target, bool) {
	if item, ok := s.targets.Get(targetKey(workspace, id)); ok {
		return item.Value, true
	}
	if id == target.LocalID {
		return s.local(workspace), true
	}
	return target.Target{}, false
}

// Cluster reads a cluster. That of the local target is not stored.
func (s *State) Cluster(ctx context.Context, id string) (Versioned[target.Cluster], error) {
	got, err := get[target.Cluster](ctx, s.store, clusterKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return got, apierr.Invalid(apierr.Violation{
			Field: "cluster_id", Description: fmt.Sprintf("%q is no cluster that can be attached: give the cluster_id of a target that was detached", id),
		})
	}
	return got, err
}

// Workload reads a workload.
func (s *State) Workload(ctx context.Context, workspace, targetID, id string) (Versioned[workload.Workload], error) {
	got, err := get[workload.Workload](ctx, s.store, workloadKey(workspace, targetID, id))
	if errors.Is(err, store.ErrNotFound) {
		name := workload.Name(workspace, targetID, id)
		return got, apierr.New(apierr.NotFound, "WORKLOAD_NOT_FOUND", "there is no workload %s", name).With("workload", name)
	}
	return got, err
}

// Workloads lists the workloads of a target by id.
func (s *State) Workloads(ctx context.Context, workspace, targetID string) ([]workload.Workload, error) {
	entries, _, err := s.store.List(ctx, resourcename.Format(workloadsPrefix, workspace, targetID))
	if err != nil {
		return nil, err
	}
	out := make([]workload.Workload, 0, len(entries))
	for _, e := range entries {
		w, err := decode[workload.Workload](e)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// AllWorkloads gives every workload as the view has it, by key.
func (s *State) AllWorkloads() []Versioned[workload.Workload] {
	items := s.workloads.List(workloadsPrefix)
	out := make([]Versioned[workload.Workload], len(items))
	for i, item := range items {
		out[i] = Versioned[workload.Workload]{Value: item.Value, Revision: item.Revision}
	}
	return out
}

// Turnstile reads how many workloads have been made on a target, for a guard.
func (s *State) Turnstile(ctx context.Context, workspace, targetID string) (store.Guard, error) {
	key := resourcename.Format(turnstilesPrefix, workspace, targetID)
	e, err := s.store.Get(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Guard{}, err
	}
	return store.Guard{Key: key, Revision: e.Revision}, nil
}

// Store gives the store beneath, for operations and leases.
func (s *State) Store() store.Store { return s.store }

func get[T any](ctx context.Context, r store.Reader, key string) (Versioned[T], error) {
	e, err := r.Get(ctx, key)
	if err != nil {
		return Versioned[T]{}, err
	}
	v, err := decode[T](e)
	return Versioned[T]{Value: v, Revision: e.Revision}, err
}

// Commit applies a mutation with its events and waits until the views have it.
func (s *State) Commit(ctx context.Context, now time.Time, facts []fact.Fact, b store.Batch) error {
	for _, f := range facts {
		e, err := event(f, now)
		if err != nil {
			return err
		}
		b.Events = append(b.Events, e)
	}
	revision, err := s.store.Apply(ctx, b)
	if err != nil {
		return err
	}
	return errors.Join(s.targets.WaitFor(ctx, revision), s.workloads.WaitFor(ctx, revision))
}

func event(f fact.Fact, now time.Time) (events.Event, error) {
	details, err := structpb.NewStruct(plain(f.Details))
	if err != nil {
		return events.Event{}, fmt.Errorf("describe %s %s: %w", f.Subject, f.Verb, err)
	}
	data, err := protojson.Marshal(&eventsv1.ResourceEventData{
		Name: f.Subject, Uid: f.UID, Generation: f.Generation, State: f.State,
		Message: f.Message, Principal: f.Principal, Details: details,
	})
	if err != nil {
		return events.Event{}, fmt.Errorf("describe %s %s: %w", f.Subject, f.Verb, err)
	}
	return events.Event{
		ID: events.NewID(), Workspace: resourcename.Workspace(f.Subject), Service: "compute", Resource: f.Resource, Verb: f.Verb,
		Subject: f.Subject, Time: now, Sequence: uint64(f.Sequence), Data: data,
	}, nil
}

// plain turns whole numbers into what a structpb.Value can hold.
func plain(details map[string]any) map[string]any {
	out := make(map[string]any, len(details))
	for k, v := range details {
		switch v := v.(type) {
		case int64:
			out[k] = float64(v)
		case int:
			out[k] = float64(v)
		default:
			out[k] = v
		}
	}
	return out
}
