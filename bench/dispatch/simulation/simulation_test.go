package simulation_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fairlead/fairlead/bench/dispatch/simulation"
)

func p99(t *testing.T, c simulation.Config) time.Duration {
	t.Helper()
	took, err := simulation.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

func TestSameSeedSameLatencies(t *testing.T) {
	for _, rule := range simulation.Rules() {
		c := simulation.Config{Speeds: []float64{8, 1, 1}, Routers: 2, Slots: 2, Load: 0.7, Requests: 2000, Rule: rule, Seed: 7}
		first, err := simulation.Run(c)
		if err != nil {
			t.Fatal(err)
		}
		if second, _ := simulation.Run(c); !slices.Equal(first, second) {
			t.Errorf("%s: two runs differ", rule)
		}
		if len(first) != 1750 || slices.Min(first) < 500*time.Microsecond {
			t.Errorf("%s: %d latencies, the shortest %v", rule, len(first), slices.Min(first))
		}
	}
}

// The rules are pure and the simulation is a function of its seed, so this is no
// measurement: it fails when a rule changes for the worse.
func TestExpectedCompletionLeads(t *testing.T) {
	mixed := []float64{8, 8, 8, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
	for _, routers := range []int{1, 10} {
		c := simulation.Config{Speeds: mixed, Routers: routers, Slots: 1, Load: 0.7, Requests: 20_000, Seed: 1}
		of := map[string]time.Duration{}
		for _, rule := range simulation.Rules() {
			c.Rule = rule
			of[rule] = p99(t, c)
		}
		ours := of["expected-completion"]
		for _, rule := range []string{"round-robin", "weighted-least-in-flight", "p2c", "peak-ewma", "prequal"} {
			if ours > of[rule] {
				t.Errorf("%d routers: p99 is %v, with %s it is %v", routers, ours, rule, of[rule])
			}
		}
		if ours > 2*of["oracle"] {
			t.Errorf("%d routers: p99 is %v, more than twice the oracle's %v", routers, ours, of["oracle"])
		}
	}
}

func TestUnknownRule(t *testing.T) {
	if _, err := simulation.Run(simulation.Config{Speeds: []float64{1}, Routers: 1, Slots: 1, Load: 0.5, Requests: 1, Rule: "best"}); err == nil {
		t.Error("no error")
	}
}
