// Package reconciler makes the machine run what the workloads want. It is
// level-based: whatever happened, a pass reads the workloads and the processes
// anew, decides with package plan, acts through the driver, stores what is
// worth keeping and shows the rest on the board.
//
// One Reconciler works on a data folder at a time, which the driver's lock
// ensures; writes are guarded by a lease besides. Without the lease, or while
// the store is away, replicas are still looked after; only writes wait.
package reconciler

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/lease"
	"github.com/fairlead/fairlead/services/compute/internal/board"
	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/fact"
	"github.com/fairlead/fairlead/services/compute/internal/inventory"
	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/plan"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/state"
	"github.com/fairlead/fairlead/services/compute/internal/target"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

const (
	leaseTTL   = 10 * time.Second
	resync     = 30 * time.Second // though nothing seems to happen
	sweepEvery = 5 * time.Minute
	retryWrite = time.Second
	writeLimit = 3 * time.Second
)

// runner is what of a driver is used here.
type runner interface {
	driver.Runner
	driver.Sweeper
	Accelerators() []placement.Device
	Ready() <-chan struct{}
}

// Deps is what a Reconciler works with.
type Deps struct {
	Logger *slog.Logger
	State  *state.State
	Driver runner
	Board  *board.Board
	Clock  func() time.Time
	// Holder names this data folder to the lease; the same after a restart.
	Holder string
}

// Reconciler is the control loop. Only its Run touches its fields.
type Reconciler struct {
	deps     Deps
	replicas map[string][]replica.Replica // by the uid of their workload
	away     bool                         // the store did not answer in this pass
	swept    time.Time                    // when files were last swept

	mu    sync.Mutex
	guard *store.Guard // nil while the lease is not held
	held  chan struct{}
}

// New makes a Reconciler.
func New(deps Deps) *Reconciler {
	return &Reconciler{deps: deps, replicas: map[string][]replica.Replica{}, held: make(chan struct{}, 1)}
}

// Run reconciles until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	select {
	case <-r.deps.Driver.Ready():
	case <-ctx.Done():
		return nil
	}
	if err := r.deps.State.WaitSynced(ctx); err != nil {
		return nil //nolint:nilerr // ctx ended first
	}
	ctx, stop := context.WithCancel(ctx)
	leased := make(chan error, 1)
	go func() { leased <- r.keepLease(ctx) }()
	r.loop(ctx)
	stop()
	return <-leased
}

func (r *Reconciler) keepLease(ctx context.Context) error {
	claim := lease.Claim{Name: "reconciler", Holder: r.deps.Holder, TTL: leaseTTL}
	return lease.Run(ctx, r.deps.State.Store(), claim, r.deps.Logger, func(ctx context.Context, g store.Guard) error {
		r.setGuard(&g)
		<-ctx.Done()
		r.setGuard(nil)
		return nil
	})
}

func (r *Reconciler) setGuard(g *store.Guard) {
	r.mu.Lock()
	r.guard = g
	r.mu.Unlock()
	select {
	case r.held <- struct{}{}:
	default:
	}
}

func (r *Reconciler) loop(ctx context.Context) {
	changed := r.deps.State.Subscribe()
	defer changed.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed.Targets.Ready():
		case <-changed.Workloads.Ready():
		case <-r.deps.Driver.Changes():
		case <-r.held:
		case <-timer.C:
		}
		changed.Take()
		wake := r.pass(ctx)
		pause := resync
		if !wake.IsZero() {
			pause = min(pause, max(0, wake.Sub(r.deps.Clock())))
		}
		timer.Reset(pause)
	}
}

// pass looks at everything once. It says when to look again at the latest.
func (r *Reconciler) pass(ctx context.Context) (wake time.Time) {
	now := r.deps.Clock().UTC()
	r.away = false
	workloads := r.deps.State.AllWorkloads()
	r.absorb(workloads, now)
	var entries []board.Entry
	for _, w := range workloads {
		entry, again, remains := r.reconcile(ctx, w, workloads, now)
		if remains {
			entries = append(entries, entry)
		}
		wake = earlier(wake, again)
	}
	r.deps.Board.Show(entries)
	if now.Sub(r.swept) >= sweepEvery {
		r.swept = now
		r.deps.Driver.Sweep(inUse(workloads))
	}
	return wake
}

// inUse gives what a sweep must leave to the workloads that there are.
func inUse(workloads []state.Versioned[workload.Workload]) driver.Keep {
	keep := driver.Keep{Workloads: map[string]bool{}, Files: map[string]bool{}}
	for _, w := range workloads {
		keep.Workloads[w.Value.UID] = true
		for _, revision := range w.Value.Revisions() {
			for _, digest := range revision.Spec.Digests() {
				keep.Files[digest] = true
			}
		}
	}
	return keep
}

// absorb takes in what the driver sees, ends what no workload explains, and
// forgets what has ended.
func (r *Reconciler) absorb(workloads []state.Versioned[workload.Workload], now time.Time) {
	known := map[string]bool{}
	for _, w := range workloads {
		known[w.Value.UID] = true
	}
	for uid := range r.replicas {
		if !known[uid] {
			delete(r.replicas, uid)
		}
	}
	listed := map[string]bool{}
	for _, p := range r.deps.Driver.Processes() {
		listed[p.Replica] = true
		if !known[p.WorkloadUID] {
			r.endUnknown(p)
			continue
		}
		r.observe(p, now)
	}
	for uid, replicas := range r.replicas {
		r.replicas[uid] = slices.DeleteFunc(replicas, func(one replica.Replica) bool {
			if one.State == replica.Gone {
				r.deps.Driver.Forget(one.ID)
				return true
			}
			return !listed[one.ID] && one.State != replica.Pending
		})
	}
}

// endUnknown ends a process whose workload is gone.
func (r *Reconciler) endUnknown(p driver.Process) {
	if p.Phase == replica.Ended {
		r.deps.Driver.Forget(p.Replica)
		return
	}
	if !p.Stopping {
		r.deps.Logger.Info("a replica without a workload is ended", "workload", p.Workload, "replica", p.Replica)
		r.deps.Driver.Stop(p.Replica, true)
	}
}

func (r *Reconciler) observe(p driver.Process, now time.Time) {
	for i, one := range r.replicas[p.WorkloadUID] {
		if one.ID == p.Replica {
			r.replicas[p.WorkloadUID][i] = one.Observe(p.Observation, now)
			return
		}
	}
	r.replicas[p.WorkloadUID] = append(r.replicas[p.WorkloadUID], adopt(p).Observe(p.Observation, now))
}

// adopt gives the replica of a process that an earlier run has started.
func adopt(p driver.Process) replica.Replica {
	one := replica.Replica{
		ID: p.Replica, Template: p.Spec.Template(), Generation: p.Generation, Node: p.Node, Devices: p.Devices,
		Demand: p.Spec.Request, MaxConcurrent: p.Spec.MaxConcurrent,
		State: replica.Starting, Restarts: p.Launch.Process, CreateTime: p.CreateTime, StartTime: p.StartTime,
		LastFailure: p.LastFailure,
	}
	if p.Stopping {
		one = one.Drained(replica.Cause{Message: "it was being ended"})
	}
	return one
}

// reconcile decides about one workload and acts. It gives what the board shows.
func (r *Reconciler) reconcile(ctx context.Context, w state.Versioned[workload.Workload], all []state.Versioned[workload.Workload], now time.Time) (entry board.Entry, wake time.Time, remains bool) {
	decision := plan.Decide(plan.Input{
		Workload: w.Value, Replicas: r.replicas[w.Value.UID], Nodes: r.nodes(w.Value, all),
		NewID: newID, Now: now,
	})
	r.replicas[w.Value.UID] = decision.Replicas
	for _, a := range decision.Actions {
		r.act(w.Value, a)
	}
	r.adjust(w.Value, decision.Replicas)
	next, facts := workload.Observe(w.Value, decision.View, now)
	wake = decision.Wake
	if next.State == workload.Deleting && len(decision.Replicas) == 0 {
		if err := r.remove(ctx, w, now); err != nil {
			r.report(w.Value, err)
			return board.Entry{Workload: next}, earlier(wake, now.Add(retryWrite)), true
		}
		return board.Entry{}, wake, false
	}
	if !reflect.DeepEqual(next, w.Value) {
		if err := r.commit(ctx, now, facts, store.Batch{Ops: []store.Op{state.PutWorkload(next, w.Revision)}}); err != nil {
			r.report(w.Value, err)
			wake = earlier(wake, now.Add(retryWrite))
		} else {
			wake = earlier(wake, r.afterTransition(w.Value, next, now))
		}
	}
	return board.Entry{Workload: next, Replicas: slices.Clone(decision.Replicas)}, wake, true
}

// afterTransition asks for another look at once when what is wanted has changed by it.
func (r *Reconciler) afterTransition(before, after workload.Workload, now time.Time) time.Time {
	if (before.Stable == nil) != (after.Stable == nil) || (before.Failure == nil) != (after.Failure == nil) {
		return now
	}
	return time.Time{}
}

// adjust tells the replicas of the newest revision what of it can change while
// they run.
func (r *Reconciler) adjust(w workload.Workload, replicas []replica.Replica) {
	template := w.Spec.Template()
	for _, one := range replicas {
		if one.Template == template && one.Live() && one.State != replica.Pending {
			r.deps.Driver.Adjust(one.ID, w.Spec.Settings())
		}
	}
}

func (r *Reconciler) act(w workload.Workload, a plan.Action) {
	log := r.deps.Logger.With("workload", w.Name(), "replica", a.Replica.ID, "node", a.Replica.Node)
	switch a.Verb {
	case plan.Start:
		log.Info("replica starts", "generation", a.Revision.Generation, "restarts", a.Replica.Restarts)
		r.deps.Driver.Start(driver.Launch{
			Replica: a.Replica.ID, Process: a.Replica.Restarts, Workload: w.Name(), WorkloadUID: w.UID,
			Generation: a.Replica.Generation, Node: a.Replica.Node, Devices: a.Replica.Devices,
			CreateTime: a.Replica.CreateTime, Spec: a.Revision.Spec, LastFailure: a.Replica.LastFailure,
		})
	case plan.Drain:
		log.Info("replica drains", "cause", a.Replica.Cause.Message)
		r.deps.Driver.Stop(a.Replica.ID, true)
	case plan.Kill:
		log.Info("replica ends", "cause", a.Replica.Cause.Message)
		r.deps.Driver.Stop(a.Replica.ID, false)
		r.deps.Driver.Forget(a.Replica.ID)
	}
}

// nodes gives those of the workload's target with what is taken of them now.
func (r *Reconciler) nodes(w workload.Workload, all []state.Versioned[workload.Workload]) []placement.Node {
	t, ok := r.deps.State.KnownTarget(w.Workspace, w.Target)
	if !ok {
		return nil
	}
	var occupants []inventory.Occupant
	for _, other := range all {
		for _, one := range r.replicas[other.Value.UID] {
			if one.State != replica.Gone {
				occupants = append(occupants, inventory.Occupant{
					Target: target.Name(other.Value.Workspace, other.Value.Target), Workload: other.Value.Name(), Replica: one,
				})
			}
		}
	}
	return inventory.Nodes(t, r.deps.Driver.Accelerators(), occupants)
}

func (r *Reconciler) remove(ctx context.Context, w state.Versioned[workload.Workload], now time.Time) error {
	err := r.commit(ctx, now, workload.Removed(w.Value), store.Batch{Ops: []store.Op{state.DropWorkload(w.Value, w.Revision)}})
	if err != nil {
		return err
	}
	delete(r.replicas, w.Value.UID)
	return nil
}

var (
	errNoLease = errors.New("the reconciler's lease is not held")
	errAway    = errors.New("the store did not answer a moment ago")
)

func (r *Reconciler) commit(ctx context.Context, now time.Time, facts []fact.Fact, b store.Batch) error {
	r.mu.Lock()
	guard := r.guard
	r.mu.Unlock()
	switch {
	case guard == nil:
		return errNoLease
	case r.away: // replicas must not wait for one write after the other to fail
		return errAway
	}
	b.Guards = append(b.Guards, *guard)
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	err := r.deps.State.Commit(ctx, now, facts, b)
	_, conflict := errors.AsType[*store.ConflictError](err)
	r.away = err != nil && !conflict
	return err
}

// report logs a write that has to be tried again. Conflicts are everyday: what
// is wanted has changed meanwhile.
func (r *Reconciler) report(w workload.Workload, err error) {
	if _, ok := errors.AsType[*store.ConflictError](err); ok || errors.Is(err, errNoLease) || errors.Is(err, errAway) || errors.Is(err, context.Canceled) {
		r.deps.Logger.Debug("a workload's state will be written later", "workload", w.Name(), "error", err)
		return
	}
	r.deps.Logger.Warn("a workload's state will be written later", "workload", w.Name(), "error", err)
}

// newID names a replica: short enough to read, long enough never to come again.
func newID() string {
	const length = 10
	return "r" + strings.ToLower(rand.Text())[:length]
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
