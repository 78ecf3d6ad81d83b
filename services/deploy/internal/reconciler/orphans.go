package reconciler

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

const (
	// orphanGrace is how long a workload must have belonged to nothing before it is
	// removed. It outlasts a lease, so that a reconciler whose time is over and who
	// does not see new endpoints any more never gets to remove theirs.
	orphanGrace = time.Minute
	// orphanPeriod is how often workloads are looked through.
	orphanPeriod = 10 * time.Second
)

// orphans remembers since when workloads have belonged to nothing, without a
// break. It belongs to one goroutine.
type orphans struct{ since map[string]time.Time }

func newOrphans() *orphans { return &orphans{since: map[string]time.Time{}} }

// due takes in which workloads belong to nothing now, and gives those for which
// that has been so for longer than the grace.
func (o *orphans) due(unknown map[string]bool, now time.Time) []string {
	maps.DeleteFunc(o.since, func(name string, _ time.Time) bool { return !unknown[name] })
	var all []string
	for name := range unknown {
		first, ok := o.since[name]
		if !ok {
			o.since[name] = now
			continue
		}
		if now.Sub(first) > orphanGrace {
			all = append(all, name)
		}
	}
	return all
}

// unknown gives the workloads that no endpoint knows. What is not named after an
// endpoint is not ours to judge, and what is on its way out needs no help.
func unknown(shown map[string]seen, endpoints []endpoint.Endpoint) map[string]bool {
	all := map[string]bool{}
	for name, s := range shown {
		if s.owner != "" && s.workload.State != endpoint.Deleting {
			all[name] = true
		}
	}
	for _, e := range endpoints {
		for name := range belonging(e) {
			delete(all, name)
		}
	}
	return all
}

// belonging gives the workloads of an endpoint, those on their way out included.
func belonging(e endpoint.Endpoint) map[string]bool {
	all := map[string]bool{}
	for _, v := range e.Versions {
		all[v.Workload] = true
	}
	for _, old := range e.Retired {
		all[old.Workload] = true
	}
	return all
}

// clean removes workloads that belong to nothing until ctx ends, for example those
// that were made after the backup from which the state was restored.
func (r *Reconciler) clean(ctx context.Context) error {
	ticker := time.NewTicker(orphanPeriod)
	defer ticker.Stop()
	lost := newOrphans()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			r.sweep(ctx, lost)
		}
	}
}

// sweep looks through all workloads once. A removal that fails is tried again with
// the next sweep.
func (r *Reconciler) sweep(ctx context.Context, lost *orphans) {
	shown, whole := r.view.all()
	if !whole {
		lost.due(nil, r.deps.Clock())
		return
	}
	var endpoints []endpoint.Endpoint
	for _, item := range r.deps.State.Endpoints().List("") {
		endpoints = append(endpoints, item.Value)
	}
	for _, name := range lost.due(unknown(shown, endpoints), r.deps.Clock()) {
		removed, err := r.removeOrphan(ctx, name, shown[name].endpoint)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.deps.Logger.Warn("a workload that belongs to no endpoint stays for now; trying again", "workload", name, "endpoint", shown[name].endpoint, "error", err)
		case removed:
			r.deps.Logger.Info("removing a workload that belongs to no endpoint", "workload", name, "endpoint", shown[name].endpoint)
		}
	}
}

// removeOrphan removes a workload, unless the store, which is never behind, knows
// what it belongs to.
func (r *Reconciler) removeOrphan(ctx context.Context, name, owner string) (removed bool, err error) {
	values, err := endpoint.Pattern().Parse(owner)
	if err != nil {
		return false, err
	}
	e, _, err := r.deps.State.Endpoint(ctx, values.Get("workspace"), values.Get("endpoint"))
	if err != nil && apierr.KindOf(err) != apierr.NotFound {
		return false, fmt.Errorf("read %s: %w", owner, err)
	}
	if err == nil && belonging(e)[name] {
		return false, nil
	}
	calling, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = r.deps.Workloads.DeleteWorkload(calling, &computev1.DeleteWorkloadRequest{Name: name})
	if err != nil && apierr.FromStatus(err).Kind != apierr.NotFound {
		return false, fmt.Errorf("delete %s: %w", name, err)
	}
	return true, nil
}
