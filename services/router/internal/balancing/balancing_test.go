package balancing

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPick(t *testing.T) {
	tests := []struct {
		name       string
		candidates []Candidate
		turn       int
		want       int // -1: none
	}{
		{"none", nil, 3, -1},
		{"only unready and draining", []Candidate{{State: Unready, Capacity: 1}, {State: Draining, Capacity: 1}}, 0, -1},
		{"full", []Candidate{{State: Ready, InFlight: 1, Capacity: 1}}, 0, -1},
		{"suspect", []Candidate{{State: Ready, Capacity: 1, Suspect: true}}, 0, -1},
		{"no capacity", []Candidate{{State: Ready}}, 0, -1},
		{"least busy", []Candidate{{State: Ready, InFlight: 2, Capacity: 4}, {State: Ready, InFlight: 1, Capacity: 4}}, 0, 1},
		{"least busy per capacity", []Candidate{{State: Ready, InFlight: 1, Capacity: 2}, {State: Ready, InFlight: 2, Capacity: 8}}, 0, 1},
		{"equals: the one whose turn it is", []Candidate{{State: Ready, Capacity: 1}, {State: Ready, Capacity: 1}}, 1, 1},
		{"turn wraps", []Candidate{{State: Ready, Capacity: 1}, {State: Ready, Capacity: 1}}, 2, 0},
		{"better one before its turn", []Candidate{{State: Ready, InFlight: 1, Capacity: 2}, {State: Ready, Capacity: 2}}, 0, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := LeastLoaded().Pick(test.candidates, test.turn)
			if ok != (test.want >= 0) || ok && got != test.want {
				t.Errorf("Pick = %d, %v; want %d", got, ok, test.want)
			}
		})
	}
}

func TestIdleReplicasShareEvenly(t *testing.T) {
	candidates := []Candidate{
		{State: Ready, Capacity: 4}, {State: Draining, Capacity: 4}, {State: Ready, Capacity: 4}, {State: Ready, Capacity: 4},
	}
	got := make([]int, len(candidates))
	turn := 0
	for range 300 {
		i, _ := LeastLoaded().Pick(candidates, turn)
		got[i]++
		turn = i + 1
	}
	if diff := cmp.Diff([]int{100, 0, 100, 100}, got); diff != "" {
		t.Errorf("picks (-want +got):\n%s", diff)
	}
}

func TestWeights(t *testing.T) {
	favourFirst := func(c Candidate) float64 { return float64(c.InFlight) }
	policy := Policy{Scorers: []WeightedScorer{{Idleness, 1}, {favourFirst, 10}}}
	got, _ := policy.Pick([]Candidate{{InFlight: 1, Capacity: 2}, {Capacity: 2}}, 0)
	if got != 0 {
		t.Errorf("Pick = %d, want 0: the heavier opinion decides", got)
	}
}

func BenchmarkPick16(b *testing.B) {
	candidates := make([]Candidate, 16)
	for i := range candidates {
		candidates[i] = Candidate{State: Ready, Capacity: 8, InFlight: i % 8}
	}
	policy := LeastLoaded()
	for i := 0; b.Loop(); i++ {
		policy.Pick(candidates, i)
	}
}
