package endpoint_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/scaling"
)

// autoscaled is an endpoint with one healthy version that follows its load.
func autoscaled(t *testing.T, least int) endpoint.Endpoint {
	t.Helper()
	return healthy(create(t, func(c *endpoint.Creation) {
		c.Version.Input.Spec.Autoscale = &endpoint.AutoscaleInput{Min: &least, Max: 8}
	}).Endpoint, "aaa")
}

func desired(e endpoint.Endpoint) int {
	v, _ := e.Version("aaa")
	return endpoint.DesiredReplicas(v)
}

func TestScale(t *testing.T) {
	e := autoscaled(t, 0)
	if desired(e) != 1 {
		t.Errorf("a new version that may have none starts with %d, which cannot show whether it works", desired(e))
	}
	e, generation := e, e.Generation
	for i, n := range []int{3, 3, 0} {
		c, changed := e.Scale(map[string]scaling.Decision{"aaa": {Desired: n, Explanation: "because"}}, start)
		if changed != (i != 1) {
			t.Errorf("to %d: changed is %v", n, changed)
		}
		e = c.Endpoint
		if desired(e) != n || e.Generation != generation {
			t.Errorf("to %d: %d replicas, generation %d", n, desired(e), e.Generation)
		}
	}
	v, _ := e.Version("aaa")
	want := []endpoint.ScalingDecision{
		{Time: start, From: 3, To: 0, Explanation: "because"}, {Time: start, From: 1, To: 3, Explanation: "because"},
	}
	if diff := cmp.Diff(want, v.Scaling.Decisions); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	for range 20 {
		c, _ := e.Scale(map[string]scaling.Decision{"aaa": {Desired: 8 - desired(e)}}, start)
		e = c.Endpoint
	}
	if v, _ := e.Version("aaa"); len(v.Scaling.Decisions) != 10 {
		t.Errorf("%d decisions are kept", len(v.Scaling.Decisions))
	}
}

func TestReplicasAcrossChangesOfTheSpecification(t *testing.T) {
	none, two := 0, 2
	tests := []struct {
		name   string
		scaled int // by the autoscaler before
		change func(*endpoint.SpecInput)
		want   int
	}{
		{"the number stays", 5, func(in *endpoint.SpecInput) { in.EntryScript = "other.py" }, 5},
		{"at least one shows whether it starts", 0, func(in *endpoint.SpecInput) { in.EntryScript = "other.py" }, 1},
		{"a higher minimum", 1, func(in *endpoint.SpecInput) { in.Autoscale.Min = &two }, 2},
		{"a lower maximum", 5, func(in *endpoint.SpecInput) { in.Autoscale.Max = 3 }, 3},
		{"a fixed number", 5, func(in *endpoint.SpecInput) { in.Autoscale, in.Replicas = nil, 4 }, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := autoscaled(t, none).Scale(map[string]scaling.Decision{"aaa": {Desired: tt.scaled}}, start)
			in := input(c.Endpoint, "aaa")
			in.Spec.Autoscale = &endpoint.AutoscaleInput{Min: &none, Max: 8}
			in.Spec.SourceFiles = append(in.Spec.SourceFiles, in.Spec.SourceFiles[0])
			in.Spec.SourceFiles[1].Path = "other.py"
			tt.change(&in.Spec)
			c, err := c.Endpoint.UpdateVersion("aaa", "op", in, start.Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if got := desired(c.Endpoint); got != tt.want {
				t.Errorf("%d replicas, want %d", got, tt.want)
			}
		})
	}
}

func TestAutoscalingGoesOnFromAFixedNumber(t *testing.T) {
	e := healthy(create(t, func(c *endpoint.Creation) { c.Version.Input.Spec.Replicas = 4 }).Endpoint, "aaa")
	in := input(e, "aaa")
	in.Spec.Autoscale = &endpoint.AutoscaleInput{}
	c, err := e.UpdateVersion("aaa", "op", in, start)
	if err != nil {
		t.Fatal(err)
	}
	if got := desired(c.Endpoint); got != 4 {
		t.Errorf("%d replicas: the change took some from those that serve", got)
	}
}
