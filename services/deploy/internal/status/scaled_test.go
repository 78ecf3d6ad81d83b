package status_test

import (
	"testing"

	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/status"
)

func TestAutoscaledVersions(t *testing.T) {
	tests := []struct {
		name    string
		desired int
		serving int64
		state   endpoint.State
		ready   int
		behind  bool // compute has not looked at the newest number yet
		want    endpoint.State
		message string
	}{
		{"more are starting", 5, 1, endpoint.Transitioning, 2, false, endpoint.Healthy, "2 of 5 replicas are ready"},
		{"no room for more", 5, 1, endpoint.Unschedulable, 2, false, endpoint.Healthy, "2 of 5 replicas are ready; there is no room for more: asked 1 vCPU"},
		{"just told", 5, 1, endpoint.Transitioning, 2, true, endpoint.Healthy, ""},
		{"at zero", 0, 1, endpoint.Transitioning, 0, false, endpoint.Healthy, "it has no replica while no request comes; the next ones are held while one starts"},
		{"the first one starts", 1, 1, endpoint.Transitioning, 0, false, endpoint.Transitioning, "its first replica is starting; requests are held meanwhile"},
		{"no room for the first", 1, 1, endpoint.Unschedulable, 0, false, endpoint.Unschedulable, "asked 1 vCPU"},
		{"an update under way", 3, 0, endpoint.Transitioning, 2, false, endpoint.Transitioning, "asked 1 vCPU"},
		{"one is broken", 3, 1, endpoint.Unhealthy, 2, false, endpoint.Unhealthy, "asked 1 vCPU"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := endpoint.Version{
				ID: "aaa", Revision: 1, Serving: tt.serving, Scaling: &endpoint.Scaling{Desired: tt.desired},
				Spec:   endpoint.Spec{Autoscale: &endpoint.Autoscale{Min: 0, Max: 8}},
				Status: endpoint.Status{State: endpoint.Healthy, Ready: tt.ready, AppliedRevision: 1, AppliedGeneration: 3, AppliedReplicas: tt.desired},
			}
			w := &status.Workload{Generation: 3, ObservedGeneration: 3, State: tt.state, Message: "asked 1 vCPU", Ready: tt.ready}
			if tt.behind {
				w.ObservedGeneration = 2
			}
			got := status.Observe(v, status.Seen{Whole: true, Workload: w})
			if got.State != tt.want || got.Message != tt.message {
				t.Errorf("%s: %q, want %s: %q", got.State, got.Message, tt.want, tt.message)
			}
			v.Scaling.Desired++
			if !status.NeedsApply(v, status.Seen{Whole: true, Workload: w}) {
				t.Error("another number of replicas is not told to compute")
			}
		})
	}
}
