package reconciler

import (
	"maps"
	"slices"
	"sync"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
	"github.com/fairlead/fairlead/services/deploy/internal/status"
)

// view is what compute has shown of its workloads. It is safe for concurrent use.
type view struct {
	mu    sync.Mutex
	known map[string]seen
	epoch int  // of the watch under way
	whole bool // everything there is has been shown in this epoch
	dirty map[string]bool
	wake  chan struct{}
}

type seen struct {
	workload status.Workload
	endpoint string // that it serves, as compute says
	owner    string // the store key of its endpoint
	epoch    int
}

func newView() *view {
	return &view{known: map[string]seen{}, dirty: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// begin starts a new watch: what it does not show does not exist, but only once
// it has shown everything.
func (v *view) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.epoch++
	v.whole = false
}

// end is for a watch that broke off.
func (v *view) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.whole = false
}

// show takes in a workload from the watch, unless a newer spec of it is known.
func (v *view) show(w *computev1.Workload) {
	v.keep(w, func(known int64) bool { return known > w.GetGeneration() })
}

// applied takes in the answer to an apply. It may be older than what the watch
// has shown of the same spec.
func (v *view) applied(w *computev1.Workload) {
	v.keep(w, func(known int64) bool { return known >= w.GetGeneration() })
}

func (v *view) keep(w *computev1.Workload, stale func(known int64) bool) {
	owner := ownerKey(w.GetSpec().GetEndpoint())
	v.mu.Lock()
	defer v.mu.Unlock()
	if old, ok := v.known[w.GetName()]; ok && old.epoch == v.epoch && stale(old.workload.Generation) {
		return
	}
	v.known[w.GetName()] = seen{workload: fromProto(w), endpoint: w.GetSpec().GetEndpoint(), owner: owner, epoch: v.epoch}
	v.touch(owner)
}

func (v *view) gone(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old, ok := v.known[name]; ok {
		delete(v.known, name)
		v.touch(old.owner)
	}
}

// synced forgets what the watch has not shown. Every endpoint is worth a look now.
func (v *view) synced(endpoints []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.known, func(_ string, s seen) bool { return s.epoch != v.epoch })
	v.whole = true
	for _, key := range endpoints {
		v.touch(key)
	}
}

// look gives what is known of one workload.
func (v *view) look(name string) status.Seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := status.Seen{Whole: v.whole}
	if s, ok := v.known[name]; ok {
		out.Workload = &s.workload
	}
	return out
}

// all gives everything that is known, and whether that is all there is.
func (v *view) all() (shown map[string]seen, whole bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.known), v.whole
}

// touch marks an endpoint; the caller holds the lock.
func (v *view) touch(owner string) {
	if owner == "" {
		return
	}
	v.dirty[owner] = true
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// nudge has an endpoint looked at.
func (v *view) nudge(owner string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.touch(owner)
}

// ready is signalled when take has something to give.
func (v *view) ready() <-chan struct{} { return v.wake }

// take gives the endpoints whose workloads have changed.
func (v *view) take() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := slices.Collect(maps.Keys(v.dirty))
	clear(v.dirty)
	return all
}

func ownerKey(name string) string {
	values, err := endpoint.Pattern().Parse(name)
	if err != nil {
		return ""
	}
	return state.EndpointKey(values.Get("workspace"), values.Get("endpoint"))
}

// maxLogLines bounds what is stored of a log with a status.
const maxLogLines = 50

func fromProto(w *computev1.Workload) status.Workload {
	lines := w.GetReady().GetLogLines()
	out := status.Workload{
		Generation: w.GetGeneration(), ObservedGeneration: w.GetObservedGeneration(),
		State: stateOf(w.GetState()), Reason: w.GetReady().GetReason(), Message: w.GetReady().GetMessage(), LogLines: lines[max(0, len(lines)-maxLogLines):],
	}
	for _, r := range w.GetReplicas() {
		if r.GetState() == computev1.Replica_STATE_READY {
			out.Ready++
		}
	}
	return out
}

func stateOf(s computev1.Workload_State) endpoint.State {
	switch s {
	case computev1.Workload_STATE_HEALTHY:
		return endpoint.Healthy
	case computev1.Workload_STATE_UNHEALTHY:
		return endpoint.Unhealthy
	case computev1.Workload_STATE_UNSCHEDULABLE:
		return endpoint.Unschedulable
	case computev1.Workload_STATE_FAILED:
		return endpoint.Failed
	case computev1.Workload_STATE_DELETING:
		return endpoint.Deleting
	case computev1.Workload_STATE_TRANSITIONING, computev1.Workload_STATE_UNSPECIFIED:
	}
	return endpoint.Transitioning
}
