package reconciler

import (
	"context"
	"fmt"
	"time"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
)

// watch keeps the view fresh until ctx ends; a watch that breaks off is begun again.
func (r *Reconciler) watch(ctx context.Context) error {
	for failures := 0; ; {
		synced, err := r.follow(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if synced {
			failures = 0
		}
		failures++
		wait := pause(failures)
		r.deps.Logger.Warn("the compute service does not show its workloads; trying again", "wait", wait, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// follow reads one watch until it ends; synced tells whether it has shown everything.
func (r *Reconciler) follow(ctx context.Context) (synced bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.view.begin()
	defer r.view.end()
	stream, err := r.deps.Workloads.WatchWorkloads(ctx, &computev1.WatchWorkloadsRequest{})
	if err != nil {
		return false, fmt.Errorf("watch workloads: %w", err)
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return synced, fmt.Errorf("watch workloads: %w", err)
		}
		switch event := answer.GetEvent().(type) {
		case *computev1.WatchWorkloadsResponse_Changed:
			r.view.show(event.Changed)
		case *computev1.WatchWorkloadsResponse_Deleted:
			r.view.gone(event.Deleted)
		case *computev1.WatchWorkloadsResponse_Synced:
			synced = true
			r.view.synced(r.endpointKeys())
		}
	}
}

func (r *Reconciler) endpointKeys() []string {
	items := r.deps.State.Endpoints().List("")
	keys := make([]string, len(items))
	for i, item := range items {
		keys[i] = item.Key
	}
	return keys
}
