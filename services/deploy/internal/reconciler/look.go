package reconciler

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/store"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
	"github.com/fairlead/fairlead/services/deploy/internal/status"
)

// look does what is to be done for one endpoint now, stores what has become of
// it, and tells when to look again by itself.
func (r *Reconciler) look(ctx context.Context, guard store.Guard, key string) (next time.Time, err error) {
	item, ok := r.deps.State.Endpoints().Get(key)
	if !ok {
		return time.Time{}, nil
	}
	e := item.Value
	if e.Deletion != nil {
		return r.remove(ctx, guard, item)
	}
	if rescaled, err := r.rescale(ctx, guard, item); rescaled || err != nil {
		return time.Time{}, err // what was stored has the endpoint looked at again
	}
	observed := endpoint.Observation{Statuses: map[string]endpoint.Status{}}
	var trouble error
	for _, v := range e.Versions {
		s := r.view.look(v.Workload)
		if status.NeedsApply(v, s) {
			s, err = r.apply(ctx, e, v)
			switch {
			case s.Problem != nil && s.Problem.Final:
				next = sooner(next, r.deps.Clock().Add(lookAgain))
			case err != nil:
				trouble = err
			}
		}
		observed.Statuses[v.ID] = status.Observe(v, s)
	}
	gone, wake, err := r.removeWorkloads(ctx, e.Retired)
	if err != nil {
		trouble = err
	}
	observed.Gone = gone
	next = sooner(next, wake)
	if ctx.Err() != nil {
		return time.Time{}, ctx.Err()
	}
	change, changed := e.Observe(observed, r.cfg.Limits, r.deps.Clock())
	if changed {
		commit := state.Commit{Change: change, At: item.Revision, Steps: steps(e, change.Endpoint), Guards: []store.Guard{guard}}
		if err := r.deps.State.Apply(ctx, commit); err != nil {
			return time.Time{}, fmt.Errorf("store what was observed: %w", err)
		}
	}
	return sooner(next, change.Endpoint.Wake(r.cfg.Limits)), trouble
}

// apply hands a version to compute and gives what is seen of it then.
func (r *Reconciler) apply(ctx context.Context, e endpoint.Endpoint, v endpoint.Version) (status.Seen, error) {
	spec, err := r.spec(ctx, e, v)
	var w *computev1.Workload
	if err == nil {
		calling, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		w, err = r.deps.Workloads.ApplyWorkload(calling, &computev1.ApplyWorkloadRequest{Name: v.Workload, Spec: spec})
	}
	if err == nil {
		r.view.applied(w)
		s := r.view.look(v.Workload)
		s.Applied = w.GetGeneration()
		return s, nil
	}
	s := r.view.look(v.Workload)
	failure := apierr.FromStatus(err)
	s.Problem = &status.Problem{Reason: "Rejected", Message: failure.Message, Final: final(failure.Kind)}
	return s, fmt.Errorf("apply %s: %w", v.Workload, err)
}

// final tells which failures do not go away by trying again.
func final(k apierr.Kind) bool {
	switch k {
	case apierr.InvalidArgument, apierr.NotFound, apierr.FailedPrecondition, apierr.PermissionDenied, apierr.OutOfRange:
		return true
	default:
		return false
	}
}

// removeWorkloads removes the workloads of versions that are gone, once the
// routers have had time to stop using them, and tells which do not exist any more.
func (r *Reconciler) removeWorkloads(ctx context.Context, retired []endpoint.Retired) (gone map[string]bool, next time.Time, err error) {
	gone = map[string]bool{}
	for _, old := range retired {
		now := r.deps.Clock()
		if free := r.seen.since(old.Workload, old.Since, now).Add(r.cfg.RouteGrace); now.Before(free) {
			next = sooner(next, free)
			continue
		}
		is, removeErr := r.removeWorkload(ctx, old.Workload)
		if removeErr != nil {
			err = removeErr
		}
		if is {
			gone[old.Workload] = true
			r.seen.forget(old.Workload)
			continue
		}
		next = sooner(next, r.deps.Clock().Add(lookAgain))
	}
	return gone, next, err
}

// removeWorkload drains and removes a workload; gone tells that it does not exist.
func (r *Reconciler) removeWorkload(ctx context.Context, name string) (gone bool, err error) {
	s := r.view.look(name)
	if s.Workload == nil || s.Workload.State != endpoint.Deleting {
		calling, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		_, err := r.deps.Workloads.DeleteWorkload(calling, &computev1.DeleteWorkloadRequest{Name: name})
		if err != nil && apierr.FromStatus(err).Kind != apierr.NotFound {
			return false, fmt.Errorf("delete %s: %w", name, err)
		}
		s = r.view.look(name)
	}
	return s.Whole && s.Workload == nil, nil
}

// remove deletes an endpoint: its workloads, then its keys, then itself.
func (r *Reconciler) remove(ctx context.Context, guard store.Guard, item store.Item[endpoint.Endpoint]) (time.Time, error) {
	e := item.Value
	all := e.Retired
	for _, v := range e.Versions {
		all = append(all[:len(all):len(all)], endpoint.Retired{Version: v.ID, Workload: v.Workload, Since: e.Deletion.Since})
	}
	gone, next, err := r.removeWorkloads(ctx, all)
	if err != nil || len(gone) < len(all) {
		return next, err
	}
	request := &authv1.DeleteEndpointKeysRequest{Name: e.Name(), EndpointUid: e.UID}
	calling, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := r.deps.Keys.DeleteEndpointKeys(calling, request); err != nil && apierr.FromStatus(err).Kind != apierr.NotFound {
		return time.Time{}, fmt.Errorf("delete the keys of %s: %w", e.Name(), err)
	}
	commit := state.Commit{Change: e.FinishDeletion(), At: item.Revision, Remove: true, Guards: []store.Guard{guard}}
	if err := r.deps.State.Apply(ctx, commit); err != nil {
		return time.Time{}, fmt.Errorf("remove %s: %w", e.Name(), err)
	}
	return time.Time{}, nil
}

// steps tells running operations what their versions have reached.
func steps(before, after endpoint.Endpoint) map[string]string {
	all := map[string]string{}
	for _, v := range before.Versions {
		now, ok := after.Version(v.ID)
		if v.Pending == nil || !ok || now.Status.State == v.Status.State && now.Status.Message == v.Status.Message {
			continue
		}
		all[v.Pending.Operation] = endpoint.Sentence(v.ID, now.Status)
	}
	return all
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
