package failure

import (
	"strings"
	"testing"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// healthy is an installation of one endpoint, one process and one scorer with a
// worker, without the environment of the scorer.
func healthy() state {
	return state{
		endpoints: []*deployv1.Endpoint{{
			Name: "shop", State: deployv1.State_STATE_HEALTHY, Generation: 3, ObservedGeneration: 3,
			Versions: []*deployv1.EndpointVersion{
				{Name: "shop/versions/blue", State: deployv1.State_STATE_HEALTHY, Replicas: 1, ReadyReplicas: 1, IsDefault: true, TrafficShare: 60},
				{Name: "shop/versions/green", State: deployv1.State_STATE_HEALTHY, Replicas: 0, TrafficPercentile: 40, TrafficShare: 40},
			},
		}},
		workloads: []*computev1.Workload{
			{Name: "w-blue", Spec: &computev1.WorkloadSpec{Endpoint: "shop", Version: "blue"}, Replicas: []*computev1.Replica{{Id: "", State: computev1.Replica_STATE_READY}}},
			{Name: "w-green", Spec: &computev1.WorkloadSpec{Endpoint: "shop", Version: "green"}},
		},
		processes: []harness.Process{
			{PID: -10, Parent: -1, Command: "fairlead up"},
			{PID: -11, Parent: -10, Command: "fairlead scorer"},
			{PID: -12, Parent: -11, Command: "python worker.py"},
		},
	}
}

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		harm func(*state)
		want string // a part of what is found; empty for nothing
	}{
		"all is well":         {func(*state) {}, ""},
		"an operation":        {func(s *state) { s.unended = []string{"o1"} }, "operation o1 has not ended"},
		"an endpoint":         {func(s *state) { s.endpoints[0].State = deployv1.State_STATE_TRANSITIONING }, "shop is STATE_TRANSITIONING"},
		"not acted on":        {func(s *state) { s.endpoints[0].ObservedGeneration = 2 }, "generation 2 of 3"},
		"a version":           {func(s *state) { s.endpoints[0].Versions[0].ReadyReplicas = 0 }, "0 of 1 replicas"},
		"shares":              {func(s *state) { s.endpoints[0].Versions[1].TrafficShare = 0 }, "shop/versions/green has 0 % of the traffic, want 40 %"},
		"share of default":    {func(s *state) { s.endpoints[0].Versions[0].TrafficShare = 100 }, "want 60 %"},
		"a workload too many": {func(s *state) { s.workloads[1].Spec.Version = "red" }, "which does not exist"},
		"a workload twice":    {func(s *state) { s.workloads = append(s.workloads, s.workloads[1]) }, "has two workloads"},
		"no workload":         {func(s *state) { s.workloads = s.workloads[:1] }, "shop/versions/green has no workload"},
		"a replica too many": {func(s *state) {
			s.workloads[1].Replicas = []*computev1.Replica{{Id: "x", State: computev1.Replica_STATE_STARTING}}
		}, "1 replicas, 0 ready, want 0"},
		"no scorer":      {func(s *state) { s.processes = s.processes[:1] }, "has 0 processes"},
		"a scorer twice": {func(s *state) { s.processes = append(s.processes, s.processes[1]) }, "has 2 processes"},
		"an orphan":      {func(s *state) { s.processes[2].Parent = -1 }, "a process is left over"},
		"a leftover server": {func(s *state) {
			s.processes = append(s.processes, harness.Process{PID: -20, Parent: -10, Command: "fairlead up"})
		}, "left over: -20"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			test.harm(&s)
			err := s.check([]int{-10})
			switch {
			case err == nil && test.want != "":
				t.Errorf("nothing is found, want %q", test.want)
			case err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("found %v, want %q", err, test.want)
			}
		})
	}
}
