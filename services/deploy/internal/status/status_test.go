package status_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/status"
)

// Users know revisions, not the generations of workloads.
func TestWhatKeepsServingIsARevision(t *testing.T) {
	const said = "no module named x (generation 2 keeps serving)"
	for serving, want := range map[int64]string{4: "no module named x (revision 4 keeps serving)", 0: said} {
		v := endpoint.Version{ID: "aaa", Revision: 5, Serving: serving, Status: endpoint.Status{AppliedRevision: 5, AppliedGeneration: 3}}
		got := status.Observe(v, status.Seen{Whole: true, Workload: &status.Workload{Generation: 3, ObservedGeneration: 3, State: endpoint.Failed, Message: said, Ready: 1}})
		if got.State != endpoint.Failed || got.Message != want {
			t.Errorf("while %d serves: %s %q, want %q", serving, got.State, got.Message, want)
		}
	}
}

func TestObserve(t *testing.T) {
	applied := endpoint.Status{State: endpoint.Healthy, Ready: 1, AppliedRevision: 1, AppliedGeneration: 3}
	workload := func(s endpoint.State, message string, ready int) *status.Workload {
		return &status.Workload{Generation: 3, ObservedGeneration: 3, State: s, Message: message, Ready: ready}
	}
	tests := []struct {
		name     string
		revision int64
		before   endpoint.Status
		seen     status.Seen
		want     endpoint.State
		message  string
		ready    int
		apply    bool
	}{
		{"never applied", 1, endpoint.Status{State: endpoint.Transitioning}, status.Seen{Whole: true},
			endpoint.Transitioning, "waiting for the compute target", 0, true},
		{"compute does not answer", 1, endpoint.Status{}, status.Seen{Problem: &status.Problem{Message: "connection refused"}},
			endpoint.Transitioning, "waiting for the compute service, which does not answer: connection refused", 0, true},
		{"compute refuses it", 1, endpoint.Status{}, status.Seen{Whole: true, Problem: &status.Problem{Message: "no such target", Final: true}},
			endpoint.Failed, "the compute target refuses it: no such target", 0, true},
		{"just applied, nothing seen yet", 1, endpoint.Status{}, status.Seen{Applied: 3, Workload: &status.Workload{Generation: 3, ObservedGeneration: 0, State: endpoint.Transitioning}},
			endpoint.Transitioning, "the compute target is starting its replicas", 0, true},
		{"healthy", 1, applied, status.Seen{Whole: true, Workload: workload(endpoint.Healthy, "", 2)}, endpoint.Healthy, "", 2, false},
		{"the old replicas serve while the new ones start", 2, applied,
			status.Seen{Whole: true, Applied: 4, Workload: &status.Workload{Generation: 4, ObservedGeneration: 3, State: endpoint.Healthy, Ready: 1}},
			endpoint.Transitioning, "the compute target is starting its replicas", 1, true},
		{"an update cannot start, the old replicas serve", 1, applied, status.Seen{Whole: true, Workload: workload(endpoint.Failed, "no module named x", 1)},
			endpoint.Failed, "no module named x (1 of the replicas from before the change still answer)", 1, false},
		{"no room", 1, applied, status.Seen{Whole: true, Workload: workload(endpoint.Unschedulable, "asked 8 vCPU", 0)}, endpoint.Unschedulable, "asked 8 vCPU", 0, false},
		{"compute is away: the last state stays", 1, applied, status.Seen{}, endpoint.Healthy, "", 1, false},
		{"the list is not whole yet", 1, applied, status.Seen{Whole: false, Workload: nil}, endpoint.Healthy, "", 1, false},
		{"the workload is lost", 1, applied, status.Seen{Whole: true},
			endpoint.Transitioning, "its replicas are gone from the compute target and are started again", 0, true},
		{"somebody else changed the workload", 1, applied, status.Seen{Whole: true, Workload: &status.Workload{Generation: 9, ObservedGeneration: 9, State: endpoint.Healthy, Ready: 1}},
			endpoint.Healthy, "", 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := endpoint.Version{ID: "aaa", Revision: tt.revision, Status: tt.before}
			if got := status.NeedsApply(v, tt.seen); got != tt.apply {
				t.Errorf("needs to be applied: %v", got)
			}
			got := status.Observe(v, tt.seen)
			want := endpoint.Status{State: tt.want, Message: tt.message, Ready: tt.ready}
			if diff := cmp.Diff(want, endpoint.Status{State: got.State, Message: got.Message, Ready: got.Ready}); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			v.Status = got
			tt.seen.Applied = 0
			if diff := cmp.Diff(got, status.Observe(v, tt.seen)); diff != "" {
				t.Errorf("a second look changes it:\n%s", diff)
			}
		})
	}
}
