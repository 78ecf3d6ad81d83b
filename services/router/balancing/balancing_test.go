package balancing

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
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
			got, ok := LeastInFlight(Admitting).Pick(test.candidates, test.turn)
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
		i, _ := LeastInFlight(Admitting).Pick(candidates, turn)
		got[i]++
		turn = i + 1
	}
	if diff := cmp.Diff([]int{100, 0, 100, 100}, got); diff != "" {
		t.Errorf("picks (-want +got):\n%s", diff)
	}
}

func TestExpectedCompletion(t *testing.T) {
	ready := func(inFlight, capacity int, serviceMS, oldestMS int64) Candidate {
		ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
		return Candidate{State: Ready, InFlight: inFlight, Capacity: capacity, Service: ms(serviceMS), Oldest: ms(oldestMS)}
	}
	tests := []struct {
		name       string
		candidates []Candidate
		want       int
	}{
		{"the faster one", []Candidate{ready(0, 1, 20, 0), ready(0, 1, 10, 0)}, 1},
		{"an idle slow one loses to a busy fast one", []Candidate{ready(0, 1, 80, 0), ready(3, 1, 10, 0)}, 1},
		{"until the fast one is too busy", []Candidate{ready(0, 1, 80, 0), ready(8, 1, 10, 0)}, 0},
		{"within its capacity nothing waits", []Candidate{ready(0, 4, 20, 0), ready(3, 4, 10, 0)}, 1},
		{"nobody knows: the one with less to do", []Candidate{ready(2, 1, 0, 0), ready(1, 1, 0, 0)}, 1},
		{"an unknown one is like the best one", []Candidate{ready(1, 1, 10, 0), ready(0, 1, 30, 0), ready(0, 1, 0, 0)}, 2},
		{"a hair's breadth is nothing", []Candidate{ready(0, 1, 100, 0), ready(0, 1, 99, 0)}, 0},
		{"equals: the one with less to do", []Candidate{ready(2, 4, 10, 0), ready(1, 4, 10, 0), ready(3, 4, 10, 0)}, 1},
		{"overdue: it has become slow", []Candidate{ready(0, 1, 20, 0), ready(1, 2, 10, 100)}, 0},
		{"not overdue for the queue it is in", []Candidate{ready(0, 1, 70, 0), ready(5, 1, 10, 60)}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := ExpectedCompletion(Reachable).Pick(test.candidates, 0); got != test.want {
				t.Errorf("Pick = %d, want %d", got, test.want)
			}
		})
	}
}

func TestTwoDrawnByLot(t *testing.T) {
	candidates := []Candidate{
		{State: Ready, Capacity: 9, InFlight: 5}, {State: Unready}, {State: Ready, Capacity: 9, InFlight: 1}, {State: Ready, Capacity: 9, InFlight: 3},
	}
	for lots, want := range map[[2]int]int{{0, 0}: 2, {0, 1}: 3, {1, 0}: 2, {1, 1}: 2, {2, 0}: 3, {2, 1}: 2} {
		next := 0
		lot := func(n int) int {
			next++
			return lots[next-1] % n
		}
		if got, ok := PowerOfTwo(Admitting, lot).Pick(candidates, 0); !ok || got != want {
			t.Errorf("with lots %v Pick = %d, want %d", lots, got, want)
		}
	}
	if got, ok := PeakEWMA(Admitting, func(int) int { return 0 }).Pick(candidates[:2], 7); !ok || got != 0 {
		t.Errorf("of one Pick = %d, %v", got, ok)
	}
	if _, ok := PowerOfTwo(Admitting, func(int) int { return 0 }).Pick(candidates[1:2], 0); ok {
		t.Error("an unready replica was picked")
	}
}

// Whatever is known, a pick passes the filters, and there is one when any passes.
func TestPickPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		candidates := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Candidate {
			duration := func(name string) time.Duration { return time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, name)) }
			return Candidate{
				State: State(rapid.IntRange(0, 2).Draw(t, "state")), Suspect: rapid.Bool().Draw(t, "suspect"),
				InFlight: rapid.IntRange(0, 4).Draw(t, "inFlight"), Capacity: rapid.IntRange(0, 4).Draw(t, "capacity"),
				Service: duration("service"), Peak: duration("peak"), Oldest: duration("oldest"),
			}
		})).Draw(t, "candidates")
		lot := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "lot") }
		possible := slices.ContainsFunc(candidates, func(c Candidate) bool { return Admitting(&c) })
		turn := rapid.IntRange(0, 100).Draw(t, "turn")
		for name, policy := range map[string]Policy{
			"expected completion": ExpectedCompletion(Admitting), "least in flight": LeastInFlight(Admitting), "round robin": RoundRobin(Admitting),
			"two": PowerOfTwo(Admitting, lot), "peak": PeakEWMA(Admitting, lot),
		} {
			i, ok := policy.Pick(candidates, turn)
			if ok != possible {
				t.Fatalf("%s: Pick = %v, possible %v", name, ok, possible)
			}
			if ok && (candidates[i].State != Ready || candidates[i].Suspect || candidates[i].InFlight >= candidates[i].Capacity) {
				t.Fatalf("%s picked %+v", name, candidates[i])
			}
		}
	})
}

func TestEstimate(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	var e Estimate
	if e.Service(at(0)) != 0 || e.Peak(at(0)) != 0 {
		t.Error("something is known from the start")
	}
	e.Answered(at(0), time.Second, 1, 1)
	if e.Service(at(0)) != 0 || e.Peak(at(0)) != 0 {
		t.Error("the first answer counts")
	}
	e.Answered(at(0), 10*time.Millisecond, 1, 1)
	if got := e.Service(at(100)); got != 10*time.Millisecond {
		t.Errorf("after one answer of 10 ms it is %v", got)
	}
	if got := e.Service(at(5000)); got > time.Millisecond {
		t.Errorf("after one answer, 5 s ago, it is still %v", got)
	}
	e.Answered(at(1000), 40*time.Millisecond, 4, 1) // waited for three others
	if got := e.Service(at(1000)); got != 10*time.Millisecond {
		t.Errorf("waiting counts as service: %v", got)
	}
	if got := e.Peak(at(1000)); got != 40*time.Millisecond {
		t.Errorf("the peak is %v, want 40ms", got)
	}
	for i := range 50 {
		e.Answered(at(1000+i), 100*time.Millisecond, 1, 1)
	}
	slow := e.Service(at(1050))
	if slow < 99*time.Millisecond || slow > 100*time.Millisecond {
		t.Errorf("after 50 answers of 100 ms it is %v", slow)
	}
	if got := e.Service(at(60_000)); got <= 0 || got > slow/100 {
		t.Errorf("a minute later it is %v: it must be tried again", got)
	}
	if got := e.Service(at(1 << 40)); got <= 0 {
		t.Errorf("years later nothing is known: %v", got)
	}
}

func BenchmarkPick16(b *testing.B) {
	candidates := make([]Candidate, 16)
	for i := range candidates {
		candidates[i] = Candidate{State: Ready, Capacity: 8, InFlight: i % 8, Service: time.Duration(i+1) * time.Millisecond}
	}
	policy := ExpectedCompletion(Admitting)
	for i := 0; b.Loop(); i++ {
		policy.Pick(candidates, i)
	}
}
