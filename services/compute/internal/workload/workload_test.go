package workload_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/compute/internal/fact"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func now() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

func spec(change func(*workload.Spec)) workload.Spec {
	s := workload.Spec{
		Replicas: 1, EntryScript: "score.py", Request: resource.Of(0.1, 1<<29, 0),
		Source: []workload.File{{Path: "score.py", SHA256: strings.Repeat("a", 64), Size: 1}},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func create(t *testing.T, s workload.Spec) workload.Workload {
	t.Helper()
	w, facts, err := workload.Create(workload.Identity{Workspace: "default", Target: "local", ID: "w", UID: "u"}, s, now())
	if err != nil || len(facts) != 1 || facts[0].Verb != "applied" || facts[0].Sequence != 1 {
		t.Fatalf("create: %+v, %v", facts, err)
	}
	return w
}

func TestEveryViolationIsToldAtOnce(t *testing.T) {
	bad := spec(func(s *workload.Spec) {
		s.EntryScript = "other.py"
		s.Limit.MilliCPU = 50
		s.Limit.MemoryBytes = 1 << 28
		s.DrainTimeout = -time.Second
		s.Source = append(s.Source, workload.File{Path: "../up", SHA256: "zz"}, workload.File{Path: "score.py", SHA256: strings.Repeat("b", 64)})
		s.Environment = map[string]string{"A=B": ""}
		s.Models = []workload.Model{{Name: "m", Version: 0}}
	})
	_, _, err := workload.Create(workload.Identity{ID: "w"}, bad, now())
	if apierr.KindOf(err) != apierr.InvalidArgument {
		t.Fatalf("err = %v", err)
	}
	for _, part := range []string{
		`"other.py" must be one of the source files`, "0.05 is below 0.1", "0.25 GB is below 0.5 GB", "spec.drain_timeout", `"../up"`,
		"64 lower-case", `"score.py" is there twice`, `"A=B" is not a variable`, `"m" version 0`,
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestLocalPath(t *testing.T) {
	for path, want := range map[string]bool{
		"a": true, "a/b.py": true, "..a": true, "": false, ".": false, "..": false, "/a": false, "../a": false, "a/../b": false,
		"a//b": false, "a/": false, "./a": false, `a\b`: false, "a\x00": false,
	} {
		if got := workload.LocalPath(path); got != want {
			t.Errorf("LocalPath(%q) = %v", path, got)
		}
	}
}

func TestApply(t *testing.T) {
	w := create(t, spec(nil))
	w.Proven, w.State = true, workload.Healthy
	same, facts, err := workload.Apply(w, spec(nil), now())
	if err != nil || len(facts) != 0 || cmp.Diff(w, same) != "" {
		t.Errorf("the same spec again: %+v, %v", facts, err)
	}
	scaled, _, err := workload.Apply(w, spec(func(s *workload.Spec) { s.Replicas = 2 }), now())
	if err != nil || scaled.Generation != 2 || scaled.Stable != nil || !scaled.Proven {
		t.Errorf("scaling starts nothing anew: %+v, %v", scaled, err)
	}
	next, _, err := workload.Apply(w, spec(func(s *workload.Spec) { s.Environment = map[string]string{"A": "1"} }), now())
	if err != nil || next.Proven || next.Stable == nil || next.Stable.Generation != 1 {
		t.Errorf("what is proven goes on serving: %+v, %v", next, err)
	}
	third, _, err := workload.Apply(next, spec(func(s *workload.Spec) { s.Environment = map[string]string{"A": "2"} }), now())
	if err != nil || third.Stable == nil || third.Stable.Generation != 1 {
		t.Errorf("an unproven one replaces nothing: %+v, %v", third, err)
	}
	back, _, err := workload.Apply(third, spec(nil), now())
	if err != nil || back.Stable != nil {
		t.Errorf("back to what serves: %+v, %v", back, err)
	}
	gone, _ := workload.Delete(w, now())
	if _, _, err := workload.Apply(gone, spec(nil), now()); apierr.KindOf(err) != apierr.FailedPrecondition {
		t.Errorf("while it is deleted: %v", err)
	}
}

func verbs(facts []fact.Fact) []string {
	var out []string
	for _, f := range facts {
		out = append(out, f.Resource+"."+f.Verb)
	}
	return out
}

func TestProcessesAreAnnouncedOnce(t *testing.T) {
	w := create(t, spec(nil))
	r := replica.Replica{ID: "r", Template: w.Spec.Template(), State: replica.Ready}
	steps := []struct {
		name   string
		change func()
		want   []string
	}{
		{"ready", func() {}, []string{"replica.readied", "workload.state-changed"}},
		{"still", func() {}, nil},
		{"ended", func() { r.State = replica.BackingOff }, []string{"replica.failed", "workload.state-changed"}},
		{"starting", func() { r.State, r.Restarts = replica.Starting, 1 }, nil},
		{"ready again", func() { r.State = replica.Ready }, []string{"replica.readied", "workload.state-changed"}},
		{"draining", func() { r.State = replica.Draining }, []string{"workload.state-changed"}},
	}
	for _, step := range steps {
		step.change()
		var facts []fact.Fact
		w, facts = workload.Observe(w, workload.View{Replicas: []replica.Replica{r}}, now())
		if diff := cmp.Diff(step.want, verbs(facts)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}
