package reconciler

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/loadboard"
	"github.com/fairlead/fairlead/services/deploy/internal/scaling"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
)

// scalePeriod is how often the load is looked at.
const scalePeriod = time.Second

// load is what routers report.
type load interface {
	Sample(keys []loadboard.Key, now time.Time)
	History(key loadboard.Key) scaling.History
	// Urgent is signalled when requests wait somewhere.
	Urgent() <-chan struct{}
}

// scale looks at the load once a second, and at once when requests wait, and has
// every endpoint looked at that should have another number of replicas.
func (r *Reconciler) scale(ctx context.Context) error {
	ticker := time.NewTicker(scalePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		case <-r.deps.Load.Urgent():
		}
		items := r.deps.State.Endpoints().List("")
		var keys []loadboard.Key
		for _, item := range items {
			for _, v := range item.Value.Versions {
				if v.Spec.Autoscale != nil {
					keys = append(keys, loadKey(item.Value, v))
				}
			}
		}
		now := r.deps.Clock()
		r.deps.Load.Sample(keys, now)
		for _, item := range items {
			if _, changed := r.scaled(item.Value, now); changed {
				r.view.nudge(item.Key)
			}
		}
	}
}

// scaled asks the autoscaler about every version of an endpoint.
func (r *Reconciler) scaled(e endpoint.Endpoint, now time.Time) (endpoint.Change, bool) {
	decided := map[string]scaling.Decision{}
	for _, v := range e.Versions {
		if v.Spec.Autoscale == nil {
			continue
		}
		if d, ok := v.Decide(r.deps.Load.History(loadKey(e, v)), now); ok {
			decided[v.ID] = d
		}
	}
	return e.Scale(decided, now)
}

// rescale stores what the autoscaler decides; the second result tells whether
// that was a change.
func (r *Reconciler) rescale(ctx context.Context, guard store.Guard, item store.Item[endpoint.Endpoint]) (bool, error) {
	change, changed := r.scaled(item.Value, r.deps.Clock())
	if !changed {
		return false, nil
	}
	if err := r.deps.State.Apply(ctx, state.Commit{Change: change, At: item.Revision, Guards: []store.Guard{guard}}); err != nil {
		return false, fmt.Errorf("store the number of replicas: %w", err)
	}
	return true, nil
}

func loadKey(e endpoint.Endpoint, v endpoint.Version) loadboard.Key {
	return loadboard.Key{Endpoint: e.Name(), Version: v.ID}
}
