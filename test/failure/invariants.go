package failure

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
	"github.com/fairlead/fairlead/test/ledger"
)

// state is what an installation says of itself, read at one time.
type state struct {
	endpoints []*deployv1.Endpoint
	workloads []*computev1.Workload
	processes []harness.Process
	unended   []string // operations
}

// readState reads everything by the control plane, and the processes of the system.
func readState(ctx context.Context, i *harness.Installation, l *ledger.Ledger) (state, error) {
	var s state
	endpoints := deployv1.NewEndpointServiceClient(i.Conn())
	list, err := endpoints.ListEndpoints(ctx, &deployv1.ListEndpointsRequest{Parent: ledger.Workspace})
	if err != nil {
		return s, err
	}
	for _, e := range list.GetEndpoints() {
		whole, err := endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: e.GetName()})
		if err != nil {
			return s, err
		}
		s.endpoints = append(s.endpoints, whole)
	}
	workloads, err := computev1.NewWorkloadServiceClient(i.Conn()).
		ListWorkloads(ctx, &computev1.ListWorkloadsRequest{Parent: ledger.Workspace + "/computeTargets/local"})
	if err != nil {
		return s, err
	}
	s.workloads = workloads.GetWorkloads()
	if s.unended, err = l.Unended(ctx); err != nil {
		return s, err
	}
	s.processes, err = i.Processes()
	return s, err
}

// check gives everything that is half-done, missing or left over.
func (s state) check(own []int) error {
	var problems []error
	for _, o := range s.unended {
		problems = append(problems, fmt.Errorf("operation %s has not ended", o))
	}
	versions := map[string]*deployv1.EndpointVersion{}
	for _, e := range s.endpoints {
		if e.GetState() != deployv1.State_STATE_HEALTHY || e.GetObservedGeneration() != e.GetGeneration() {
			problems = append(problems, fmt.Errorf("%s is %v, %q, generation %d of %d",
				e.GetName(), e.GetState(), e.GetStateMessage(), e.GetObservedGeneration(), e.GetGeneration()))
		}
		for _, v := range e.GetVersions() {
			versions[v.GetName()] = v
			if v.GetState() != deployv1.State_STATE_HEALTHY || v.GetReadyReplicas() != v.GetReplicas() {
				problems = append(problems, fmt.Errorf("%s is %v, %q, with %d of %d replicas ready",
					v.GetName(), v.GetState(), v.GetStateMessage(), v.GetReadyReplicas(), v.GetReplicas()))
			}
		}
		problems = append(problems, checkShares(e))
	}
	return errors.Join(append(problems, s.checkWorkloads(versions), s.checkProcesses(own))...)
}

// checkShares wants every version of a healthy endpoint to have what it was
// given, and the default version the rest.
func checkShares(e *deployv1.Endpoint) error {
	want, rest := map[string]float64{}, 100.0
	for _, v := range e.GetVersions() {
		want[v.GetName()] = v.GetTrafficPercentile()
		rest -= v.GetTrafficPercentile()
	}
	for _, v := range e.GetVersions() {
		share := want[v.GetName()]
		if v.GetIsDefault() {
			share += rest
		}
		if math.Abs(v.GetTrafficShare()-share) > 0.001 {
			return fmt.Errorf("%s has %v %% of the traffic, want %v %%", v.GetName(), v.GetTrafficShare(), share)
		}
	}
	return nil
}

// checkWorkloads wants one workload for each version, with its replicas, all ready.
func (s state) checkWorkloads(versions map[string]*deployv1.EndpointVersion) error {
	var problems []error
	seen := map[string]bool{}
	for _, w := range s.workloads {
		name := w.GetSpec().GetEndpoint() + "/versions/" + w.GetSpec().GetVersion()
		v := versions[name]
		switch {
		case v == nil:
			problems = append(problems, fmt.Errorf("workload %s runs %s, which does not exist", w.GetName(), name))
			continue
		case seen[name]:
			problems = append(problems, fmt.Errorf("%s has two workloads", name))
		}
		seen[name] = true
		ready := 0
		for _, r := range w.GetReplicas() {
			if r.GetState() == computev1.Replica_STATE_READY {
				ready++
			}
		}
		if int(v.GetReplicas()) != len(w.GetReplicas()) || ready != len(w.GetReplicas()) {
			problems = append(problems, fmt.Errorf("workload %s has %d replicas, %d ready, want %d", w.GetName(), len(w.GetReplicas()), ready, v.GetReplicas()))
		}
	}
	for name := range versions {
		if !seen[name] {
			problems = append(problems, fmt.Errorf("%s has no workload", name))
		}
	}
	return errors.Join(problems...)
}

// checkProcesses wants one scorer for each replica, and no process but own, the
// scorers, and what they have started.
func (s state) checkProcesses(own []int) error {
	var problems []error
	replicas := map[string]int{}
	for _, w := range s.workloads {
		for _, r := range w.GetReplicas() {
			replicas[r.GetId()] = 0
		}
	}
	known := map[int]bool{}
	for _, pid := range own {
		known[pid] = true
	}
	// Parents come before their children often, not always: until nothing is new.
	for more := true; more; {
		more = false
		for _, p := range s.processes {
			if !known[p.PID] && (p.Scorer() || known[p.Parent] && !slices.Contains(own, p.Parent)) {
				known[p.PID], more = true, true
			}
		}
	}
	for _, p := range s.processes {
		if !known[p.PID] {
			problems = append(problems, fmt.Errorf("a process is left over: %v", p))
		}
		if !p.Scorer() {
			continue
		}
		id := p.Variable("HOSTNAME")
		if _, ok := replicas[id]; !ok {
			problems = append(problems, fmt.Errorf("a scorer runs for replica %q, which does not exist: %v", id, p))
			continue
		}
		replicas[id]++
	}
	for _, id := range slices.Sorted(maps.Keys(replicas)) {
		if replicas[id] != 1 {
			problems = append(problems, fmt.Errorf("replica %s has %d processes", id, replicas[id]))
		}
	}
	return errors.Join(problems...)
}
