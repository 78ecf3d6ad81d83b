package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/plan"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func epoch() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

func spec(replicas int, script string, cpu float64) workload.Spec {
	return workload.Spec{
		Replicas: replicas, EntryScript: script, Request: resource.Of(cpu, 1<<30, 0),
		Source: []workload.File{{Path: script, SHA256: strings.Repeat("a", 64)}},
	}.WithDefaults()
}

// world is a machine on which decisions are carried out.
type world struct {
	w        workload.Workload
	replicas []replica.Replica
	nodes    int
	cpu      float64 // per node
	now      time.Time
	ids      int
	last     plan.Decision
}

func newWorld(s workload.Spec, nodes int) *world {
	w, _, err := workload.Create(workload.Identity{Workspace: "default", Target: "local", ID: "w"}, s, epoch())
	if err != nil {
		panic(err)
	}
	return &world{w: w, nodes: nodes, cpu: 4, now: epoch()}
}

func (s *world) placed() []placement.Node {
	var nodes []placement.Node
	for i := range s.nodes {
		nodes = append(nodes, placement.Node{Name: fmt.Sprintf("node-%d", i), Capacity: resource.Of(s.cpu, 14<<30, 0)})
	}
	for _, r := range s.replicas {
		if r.Node != "" {
			nodes = placement.Take(nodes, placement.Ask{Workload: s.w.Name(), Replica: r.ID, Amount: r.Demand}, placement.Choice{Node: r.Node})
		}
	}
	return nodes
}

// decide decides once and carries the decision out.
func (s *world) decide() plan.Decision {
	s.replicas = slices.DeleteFunc(s.replicas, func(r replica.Replica) bool { return r.State == replica.Gone })
	s.last = plan.Decide(plan.Input{
		Workload: s.w, Replicas: s.replicas, Nodes: s.placed(), Now: s.now,
		NewID: func() string { s.ids++; return fmt.Sprintf("r%03d", s.ids) },
	})
	s.replicas = s.last.Replicas
	s.w, _ = workload.Observe(s.w, s.last.View, s.now)
	return s.last
}

func (s *world) apply(next workload.Spec) {
	w, _, err := workload.Apply(s.w, next, s.now)
	if err != nil {
		panic(err)
	}
	s.w = w
}

// see tells the replicas with the given state how their process is.
func (s *world) see(state replica.State, o replica.Observation) {
	for i, r := range s.replicas {
		if r.State == state {
			o.Process = r.Restarts
			s.replicas[i] = r.Observe(o, s.now)
		}
	}
}

func (s *world) answers() {
	s.see(replica.Starting, replica.Observation{Phase: replica.Answering, ReadySince: s.now, Address: "127.0.0.1:1"})
}

func (s *world) drains() { s.see(replica.Draining, replica.Observation{Phase: replica.Ended}) }

// shape writes generations and states: "1:READY 1:READY 2:STARTING".
func (s *world) shape() string {
	var parts []string
	for _, r := range s.replicas {
		parts = append(parts, fmt.Sprintf("%d:%s", r.Generation, r.State))
	}
	return strings.Join(parts, " ")
}

func (s *world) expect(t *testing.T, when, want string, state workload.State) {
	t.Helper()
	if diff := cmp.Diff(want, s.shape()); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", when, diff)
	}
	if s.w.State != state {
		t.Fatalf("%s: state %s (%s), want %s", when, s.w.State, s.w.Cause.Message, state)
	}
}

func (s *world) healthy(t *testing.T) {
	t.Helper()
	for range 30 {
		s.decide()
		s.answers()
		s.drains()
	}
	s.decide()
	if s.w.State != workload.Healthy {
		t.Fatalf("not healthy: %s, %s", s.w.Cause.Message, s.shape())
	}
}

func TestFirstStart(t *testing.T) {
	s := newWorld(spec(3, "score.py", 1), 3)
	d := s.decide()
	s.expect(t, "at once", "1:STARTING 1:STARTING 1:STARTING", workload.Transitioning)
	if len(d.Actions) != 3 {
		t.Errorf("%d actions", len(d.Actions))
	}
	if d := s.decide(); len(d.Actions) != 0 {
		t.Errorf("a second decision must add nothing: %+v", d.Actions)
	}
	s.answers()
	s.decide()
	s.expect(t, "when they answer", "1:READY 1:READY 1:READY", workload.Healthy)
}

func TestNewSpecTakesOverOneByOne(t *testing.T) {
	s := newWorld(spec(2, "score.py", 1), 3)
	s.healthy(t)
	s.apply(spec(2, "new.py", 1))
	s.decide()
	s.expect(t, "surge", "1:READY 1:READY 2:STARTING", workload.Transitioning)
	s.answers()
	s.decide()
	s.expect(t, "one for one", "1:DRAINING 1:READY 2:READY 2:STARTING", workload.Transitioning)
	s.answers()
	s.decide()
	s.expect(t, "the last", "1:DRAINING 1:DRAINING 2:READY 2:READY", workload.Healthy)
	s.drains()
	s.decide()
	s.expect(t, "end", "2:READY 2:READY", workload.Healthy)
}

func TestScalingStartsNothingAnew(t *testing.T) {
	s := newWorld(spec(1, "score.py", 1), 3)
	s.healthy(t)
	s.apply(spec(3, "score.py", 1))
	s.decide()
	s.expect(t, "up", "2:READY 2:STARTING 2:STARTING", workload.Transitioning)
	s.healthy(t)
	s.apply(spec(1, "score.py", 1))
	s.decide()
	s.expect(t, "down", "3:READY 3:DRAINING 3:DRAINING", workload.Healthy)
	s.apply(spec(0, "score.py", 1))
	s.drains()
	s.decide()
	s.expect(t, "to none", "4:DRAINING", workload.Healthy)
}

func TestWithoutRoomForBothOneOfSeveralGoesFirst(t *testing.T) {
	s := newWorld(spec(2, "score.py", 2), 1) // 2 × 2 of 4 vCPU
	s.healthy(t)
	s.apply(spec(2, "new.py", 2))
	s.decide()
	s.expect(t, "one makes room", "1:DRAINING 1:READY 2:PENDING", workload.Transitioning)
	s.decide()
	s.expect(t, "and only one", "1:DRAINING 1:READY 2:PENDING 2:PENDING", workload.Transitioning)
	s.drains()
	s.decide()
	s.expect(t, "its successor starts", "1:READY 2:STARTING 2:PENDING", workload.Transitioning)
	s.answers()
	s.decide()
	s.expect(t, "then the other", "1:DRAINING 2:READY 2:PENDING", workload.Transitioning)
	s.healthy(t)
	s.expect(t, "end", "2:READY 2:READY", workload.Healthy)
}

func TestTheOnlyReadyOneStays(t *testing.T) {
	s := newWorld(spec(1, "score.py", 3), 1)
	s.healthy(t)
	s.apply(spec(1, "new.py", 3))
	s.decide()
	s.expect(t, "no room beside it", "1:READY 2:PENDING", workload.Unschedulable)
	if want := "asked 3 vCPU, 1 GB; node-0 has 1 of 4 vCPU"; !strings.Contains(s.w.Cause.Message, want) {
		t.Errorf("%q does not say %q", s.w.Cause.Message, want)
	}
	s.nodes = 2
	s.healthy(t)
	s.expect(t, "with one more node", "2:READY", workload.Healthy)
}

func TestScriptThatCannotStartFailsAndTheOldOneServes(t *testing.T) {
	s := newWorld(spec(1, "score.py", 1), 3)
	s.healthy(t)
	s.apply(spec(1, "new.py", 1))
	end := replica.Observation{Phase: replica.Ended, CannotStart: true, Cause: replica.Cause{Reason: "ScriptError", Message: "init() raised ValueError: no", LogLines: []string{"Traceback"}}}
	s.decide()
	s.see(replica.Starting, end)
	d := s.decide()
	s.expect(t, "first time", "1:READY 2:BACKING_OFF", workload.Transitioning)
	if !d.Wake.Equal(s.now.Add(time.Second)) {
		t.Errorf("wake %s", d.Wake)
	}
	s.now = s.now.Add(time.Second)
	s.decide()
	s.expect(t, "again", "1:READY 2:STARTING", workload.Transitioning)
	s.see(replica.Starting, end)
	s.decide()
	s.expect(t, "given up", "1:READY", workload.Failed)
	if got := s.w.Cause; !strings.Contains(got.Message, "no (generation 1 keeps serving)") || len(got.LogLines) != 1 {
		t.Errorf("cause %+v", got)
	}
	s.see(replica.Ready, replica.Observation{Phase: replica.Ended})
	s.now = s.now.Add(time.Minute)
	s.decide()
	s.expect(t, "the old one is restarted", "1:STARTING", workload.Failed)
	s.replicas = nil
	s.decide()
	s.expect(t, "and made again when it is lost", "1:STARTING", workload.Failed)
	s.answers()
	s.apply(spec(1, "fixed.py", 1))
	s.healthy(t)
	s.expect(t, "until the spec changes", "3:READY", workload.Healthy)
}

func TestRepeatedEndsBeforeReadyFail(t *testing.T) {
	s := newWorld(spec(1, "score.py", 1), 1)
	for range 5 {
		s.decide()
		s.see(replica.Starting, replica.Observation{Phase: replica.Ended, Cause: replica.Cause{Message: "out of memory: limit 0.5 GB"}})
		s.now = s.now.Add(time.Minute)
	}
	s.decide()
	s.expect(t, "five times", "", workload.Failed)
	if want := "given up after 5 starts: out of memory: limit 0.5 GB"; s.w.Cause.Message != want {
		t.Errorf("cause %q", s.w.Cause.Message)
	}
}

func TestCrashOfAProvenOneIsTriedForEver(t *testing.T) {
	s := newWorld(spec(1, "score.py", 1), 1)
	s.healthy(t)
	for range 8 {
		s.see(replica.Ready, replica.Observation{Phase: replica.Ended, CannotStart: true, Cause: replica.Cause{Message: "killed by signal 9"}})
		s.decide()
		if s.w.State != workload.Unhealthy || !strings.Contains(s.w.Cause.Message, "0 of 1 replica is ready; killed by signal 9") {
			t.Fatalf("state %s: %s", s.w.State, s.w.Cause.Message)
		}
		s.now = s.now.Add(time.Minute)
		s.decide()
		s.answers()
		s.decide()
		s.expect(t, "back", "1:READY", workload.Healthy)
	}
}

func TestANodeThatIsTakenAwayIsLeftInOrder(t *testing.T) {
	s := newWorld(spec(3, "score.py", 1), 3)
	s.healthy(t)
	s.nodes = 2
	s.decide()
	s.expect(t, "its successor first", "1:READY 1:READY 1:READY 1:STARTING", workload.Healthy)
	s.healthy(t)
	s.expect(t, "end", "1:READY 1:READY 1:READY", workload.Healthy)
	for _, r := range s.replicas {
		if r.Node == "node-2" {
			t.Errorf("%s is still on node-2", r.ID)
		}
	}
}

func TestDelete(t *testing.T) {
	s := newWorld(spec(2, "score.py", 1), 3)
	s.decide()
	s.answers()
	s.replicas[1] = s.replicas[1].Observe(replica.Observation{Phase: replica.Ended}, s.now)
	s.w, _ = workload.Delete(s.w, s.now)
	d := s.decide()
	s.expect(t, "drains", "1:DRAINING", workload.Deleting)
	if len(d.Actions) != 2 || d.Actions[0].Verb != plan.Drain || d.Actions[1].Verb != plan.Kill {
		t.Errorf("actions %+v", d.Actions)
	}
	s.drains()
	s.decide()
	s.expect(t, "gone", "", workload.Deleting)
}
