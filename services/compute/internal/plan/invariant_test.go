package plan_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/services/compute/internal/plan"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func (s *world) ready() int {
	n := 0
	for _, r := range s.replicas {
		if r.State == replica.Ready {
			n++
		}
	}
	return n
}

// step decides and checks what must hold for every decision.
func (s *world) step(t *rapid.T) plan.Decision {
	before := s.ready()
	d := s.decide()
	after, wanted := s.ready(), s.w.Spec.Replicas
	if s.w.Failure == nil && after < min(before, wanted) {
		if after < min(before, wanted)-1 || after == 0 {
			t.Fatalf("%d ready of %d wanted became %d: %s", before, wanted, after, s.shape())
		}
	}
	if s.w.Failure != nil && after < before {
		t.Fatalf("a failed spec took %d of %d ready away: %s", before-after, before, s.shape())
	}
	current := 0
	for _, r := range s.replicas {
		if r.Live() && r.Template == s.w.Spec.Template() && (r.Node == "" || r.Node < fmt.Sprintf("node-%d", s.nodes)) {
			current++
		}
	}
	if current > wanted {
		t.Fatalf("%d replicas of %d wanted: %s", current, wanted, s.shape())
	}
	for _, n := range s.placed() {
		if !n.Used.Fits(n.Capacity) {
			t.Fatalf("%s is overfull: %s of %s", n.Name, n.Used, n.Capacity)
		}
	}
	if again := s.decide(); len(again.Actions) > 0 && s.w.Failure == nil {
		t.Fatalf("a second decision acts again: %+v\nfirst: %+v\n%s", again.Actions, d.Actions, s.shape())
	}
	return d
}

func TestInvariants(t *testing.T) {
	scripts := []string{"a.py", "b.py", "c.py"}
	rapid.Check(t, func(t *rapid.T) {
		s := newWorld(spec(rapid.IntRange(0, 5).Draw(t, "replicas"), "a.py", 1), 3)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { s.step(t) },
			"spec": func(t *rapid.T) {
				s.apply(spec(rapid.IntRange(0, 5).Draw(t, "n"), rapid.SampledFrom(scripts).Draw(t, "script"), float64(rapid.IntRange(1, 3).Draw(t, "cpu"))))
			},
			"process": func(t *rapid.T) {
				if len(s.replicas) == 0 {
					t.Skip("no replicas")
				}
				i := rapid.IntRange(0, len(s.replicas)-1).Draw(t, "i")
				o := replica.Observation{Process: s.replicas[i].Restarts, ReadySince: s.now}
				o.Phase = rapid.SampledFrom([]replica.Phase{replica.Answering, replica.Answering, replica.Silent, replica.Ended}).Draw(t, "phase")
				o.CannotStart = o.Phase == replica.Ended && rapid.Bool().Draw(t, "cannot start")
				if o.CannotStart {
					o.ReadySince = time.Time{}
				}
				s.replicas[i] = s.replicas[i].Observe(o, s.now)
			},
			"time":    func(t *rapid.T) { s.now = s.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "s")) * time.Second) },
			"nodes":   func(t *rapid.T) { s.nodes = rapid.IntRange(1, 4).Draw(t, "nodes") },
			"restart": func(*rapid.T) { s.replicas = nil },
		})
		s.nodes, s.cpu = 4, 16
		s.apply(spec(3, "last.py", 1))
		for range 40 {
			if s.step(t); s.w.State == workload.Healthy && len(s.replicas) == 3 && s.ready() == 3 {
				break
			}
			s.answers()
			s.drains()
			s.now = s.now.Add(time.Minute)
		}
		s.step(t)
		if s.w.State != workload.Healthy || len(s.replicas) != 3 || s.ready() != 3 {
			t.Fatalf("did not come to rest: %s, %s", s.w.State, s.shape())
		}
	})
}
