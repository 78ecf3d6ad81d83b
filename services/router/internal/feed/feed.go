// Package feed keeps the state of the control plane in the router: it follows
// the watches of the deploy, compute and auth services for as long as it runs
// and hands every change on.
//
// Guarantees: a change is handed on at most coalesce after it arrived; while a
// service is away what it said last stays in force; after a reconnection what
// the service does not list any more is dropped, but only when its listing is
// complete. One goroutine owns the state; install is called by it alone.
package feed

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"
)

// coalesce is how long changes are collected before they are handed on.
const coalesce = 5 * time.Millisecond

// Deps are what a Feed works with.
type Deps struct {
	Logger                *slog.Logger
	Deploy, Compute, Auth grpc.ClientConnInterface
	// Install takes every new state. It may read it until it returns.
	Install func(*State)
}

// Feed follows the control plane.
type Feed struct {
	deps    Deps
	state   *State
	changes chan func() bool
	synced  chan struct{}
	fresh   [4]atomic.Bool
}

// New makes a feed that starts with the snapshot, if there is one, and installs
// that at once.
func New(deps Deps, snapshot *routerv1.Snapshot) *Feed {
	f := &Feed{deps: deps, state: newState(), changes: make(chan func() bool, 256), synced: make(chan struct{})}
	if snapshot != nil {
		f.state.restore(snapshot)
		deps.Install(f.state)
	}
	return f
}

// Synced is closed when all that exists has been heard of from the services
// themselves.
func (f *Feed) Synced() <-chan struct{} { return f.synced }

// Fresh says whether all watches are connected and caught up.
func (f *Feed) Fresh() bool {
	for i := range f.fresh {
		if !f.fresh[i].Load() {
			return false
		}
	}
	return true
}

// Run follows the watches until ctx ends.
func (f *Feed) Run(ctx context.Context) error {
	var watches sync.WaitGroup
	defer watches.Wait()
	for i, w := range []watch{f.watchRoutes(), f.watchWorkloads(), f.watchDigests(), f.watchTokenKeys()} {
		watches.Go(func() { f.follow(ctx, w, &f.fresh[i]) })
	}
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case change := <-f.changes:
			if change() && due == nil {
				due = time.After(coalesce)
			}
		case <-due:
			due = nil
			f.install()
		}
	}
}

func (f *Feed) install() {
	f.deps.Install(f.state)
	if !f.state.synced() {
		return
	}
	select {
	case <-f.synced:
	default:
		close(f.synced)
	}
}

// apply has the owner of the state make a change, which says whether anything
// is new.
func (f *Feed) apply(ctx context.Context, change func() bool) {
	select {
	case f.changes <- change:
	case <-ctx.Done():
	}
}
