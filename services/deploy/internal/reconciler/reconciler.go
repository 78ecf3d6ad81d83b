// Package reconciler makes the compute service run what endpoints want, and
// writes back how that goes.
//
// It is level-based: a change of an endpoint or of a workload only says which
// endpoint to look at; what is done follows from what is stored and what compute
// shows at that moment, and is safe to repeat, so it can be stopped at any point
// and goes on. One reconciler works at a time, by a lease; a late write of a
// former one is refused by the store. While compute is away, states and traffic
// stay as they were. A failed call is repeated with growing pauses. A workload that
// has belonged to no endpoint for a minute is removed.
package reconciler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/lease"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
)

// workloads is what the reconciler needs of the compute service.
type workloads interface {
	ApplyWorkload(ctx context.Context, in *computev1.ApplyWorkloadRequest, opts ...grpc.CallOption) (*computev1.Workload, error)
	DeleteWorkload(ctx context.Context, in *computev1.DeleteWorkloadRequest, opts ...grpc.CallOption) (*computev1.DeleteWorkloadResponse, error)
	WatchWorkloads(ctx context.Context, in *computev1.WatchWorkloadsRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[computev1.WatchWorkloadsResponse], error)
}

// keys is what the reconciler needs of the auth service.
type keys interface {
	EnsureEndpointKeys(ctx context.Context, in *authv1.EnsureEndpointKeysRequest, opts ...grpc.CallOption) (*authv1.EnsureEndpointKeysResponse, error)
	DeleteEndpointKeys(ctx context.Context, in *authv1.DeleteEndpointKeysRequest, opts ...grpc.CallOption) (*authv1.DeleteEndpointKeysResponse, error)
}

// Config says how long the reconciler waits for what.
type Config struct {
	// Holder identifies this process among several; the same after a restart.
	Holder string
	// RouteGrace is how long routers have to stop using a workload that is removed.
	RouteGrace time.Duration
	Limits     endpoint.Limits
}

// Deps is what the reconciler works with.
type Deps struct {
	Logger    *slog.Logger
	Store     store.Store
	State     *state.State
	Workloads workloads
	Keys      keys
	Load      load
	Clock     func() time.Time
}

const (
	leaseTTL = 15 * time.Second
	// callTimeout ends a call to a service that is away.
	callTimeout = 10 * time.Second
	workers     = 4
	maxPause    = 10 * time.Second
	firstPause  = 100 * time.Millisecond
	// lookAgain is when a refused or slow removal is tried again without a cause.
	lookAgain = 30 * time.Second
)

// Reconciler is a component.
type Reconciler struct {
	cfg  Config
	deps Deps
	view *view
	seen *sights
}

// New makes a reconciler; Run lets it work.
func New(cfg Config, deps Deps) *Reconciler {
	return &Reconciler{cfg: cfg, deps: deps, view: newView(), seen: newSights()}
}

// Run works until ctx ends, whenever it holds the lease.
func (r *Reconciler) Run(ctx context.Context) error {
	if r.deps.State.WaitSynced(ctx) == nil {
		claim := lease.Claim{Name: "reconciler", Holder: r.cfg.Holder, TTL: leaseTTL}
		return lease.Run(ctx, r.deps.Store, claim, r.deps.Logger, r.hold)
	}
	return nil // ctx has ended
}

// hold works while the lease is held.
func (r *Reconciler) hold(ctx context.Context, guard store.Guard) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.watch(ctx) })
	group.Go(func() error { return r.work(ctx, guard) })
	group.Go(func() error { return r.scale(ctx) })
	group.Go(func() error { return r.modes(ctx) })
	group.Go(func() error { return r.clean(ctx) })
	return group.Wait()
}

// looked is the outcome of one look at one endpoint.
type looked struct {
	key  string
	next time.Time // zero for not by itself
	err  error
}

// work looks at every endpoint that is due, each by one worker at a time.
func (r *Reconciler) work(ctx context.Context, guard store.Guard) error {
	changes := r.deps.State.Endpoints().Subscribe()
	defer changes.Close()
	due, failures := newSchedule(), map[string]int{}
	done := make(chan looked)
	active := map[string]bool{}
	defer func() {
		for range active {
			<-done
		}
	}()
	for {
		now := r.deps.Clock()
		for _, key := range changes.Take() {
			due.at(key, now)
		}
		for _, key := range r.view.take() {
			due.at(key, now)
		}
		for len(active) < workers {
			key, ok := due.next(now, active)
			if !ok {
				break
			}
			active[key] = true
			go func() {
				next, err := r.look(ctx, guard, key)
				done <- looked{key: key, next: next, err: err}
			}()
		}
		timer := due.timer(now, active)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-changes.Ready():
		case <-r.view.ready():
		case <-timer.C:
		case l := <-done:
			delete(active, l.key)
			r.settle(l, due, failures)
		}
		timer.Stop()
	}
}

// settle decides when to look at an endpoint again.
func (r *Reconciler) settle(l looked, due *schedule, failures map[string]int) {
	now := r.deps.Clock()
	if l.err == nil {
		delete(failures, l.key)
		if !l.next.IsZero() {
			due.at(l.key, l.next)
		}
		return
	}
	failures[l.key]++
	wait := pause(failures[l.key])
	if !state.IsConflict(l.err) {
		r.deps.Logger.Warn("an endpoint is not as wanted yet; trying again", "endpoint", l.key, "wait", wait, "error", l.err)
	}
	due.at(l.key, now.Add(wait))
}

// pause grows with the number of failures in a row, with some jitter.
func pause(failures int) time.Duration {
	d := min(firstPause<<min(failures-1, 10), maxPause)
	return d/2 + rand.N(d/2)
}
