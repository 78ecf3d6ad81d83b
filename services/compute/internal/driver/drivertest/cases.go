package drivertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func startedProcessAnswers(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	l := s.Launch("a", EchoScript)
	s.Driver.Start(l)
	p := s.AwaitPhase(t, "a", replica.Answering)
	if p.Address == "" || p.ReadySince.IsZero() || p.StartTime.IsZero() {
		t.Errorf("observed %+v", p.Observation)
	}
	if got, err := Score(p.Address, `{"x": 1}`); err != nil || got != `{"ok": true}` {
		t.Errorf("score = %q, %v", got, err)
	}
}

func startIsIdempotent(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	l := s.Launch("a", EchoScript)
	for range 3 {
		s.Driver.Start(l)
	}
	first := s.AwaitPhase(t, "a", replica.Answering)
	s.Driver.Start(l)
	if again := s.AwaitPhase(t, "a", replica.Answering); again.Address != first.Address || !again.StartTime.Equal(first.StartTime) {
		t.Errorf("another process: %+v, then %+v", first.Observation, again.Observation)
	}
	if n := len(s.Driver.Processes()); n != 1 {
		t.Errorf("%d processes", n)
	}
}

func endIsNoticed(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	l := s.Launch("a", EchoScript)
	s.Driver.Start(l)
	first := s.AwaitPhase(t, "a", replica.Answering)
	bed.Kill(t, first)
	ended := s.AwaitPhase(t, "a", replica.Ended)
	if !strings.Contains(ended.Cause.Message, "signal 9") || ended.Stopping {
		t.Errorf("ended: %+v", ended)
	}
	l.Process = 1
	s.Driver.Start(l)
	if second := s.AwaitPhase(t, "a", replica.Answering); second.Address == "" || second.Launch.Process != 1 {
		t.Errorf("second: %+v", second)
	}
	s.Driver.Stop("a", false)
	s.AwaitPhase(t, "a", replica.Ended)
	s.Driver.Forget("a")
	if left := s.Driver.Processes(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func drainLetsRequestsFinish(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	s.Driver.Start(s.Launch("a", slowScript))
	p := s.AwaitPhase(t, "a", replica.Answering)
	type answer struct {
		body string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		body, err := Score(p.Address, "1")
		got <- answer{body, err}
	}()
	<-time.After(200 * time.Millisecond) // the request is under way
	s.Driver.Stop("a", true)
	if a := <-got; a.err != nil || a.body != `"done"` {
		t.Errorf("the running request got %q, %v", a.body, a.err)
	}
	ended := s.AwaitPhase(t, "a", replica.Ended)
	if !ended.Stopping || ended.Cause.Reason != "Stopped" {
		t.Errorf("ended: %+v", ended)
	}
}

func killIsQuick(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	s.Driver.Start(s.Launch("a", slowScript))
	s.AwaitPhase(t, "a", replica.Answering)
	began := time.Now()
	s.Driver.Stop("a", false)
	s.AwaitPhase(t, "a", replica.Ended)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

func scriptErrorIsTold(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	s.Driver.Start(s.Launch("a", brokenScript))
	ended := s.AwaitPhase(t, "a", replica.Ended)
	lines := strings.Join(ended.Cause.LogLines, "\n")
	if !ended.CannotStart || !strings.Contains(ended.Cause.Message, "no weights") || !strings.Contains(lines, "Traceback") || !strings.Contains(lines, "about to fail") {
		t.Errorf("ended: %+v", ended.Observation)
	}
}

func missingFilesAreTold(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	l := s.Launch("a", EchoScript)
	l.Spec.Models = []workload.Model{{Name: "m", Version: 1, Files: []workload.File{{Path: "m.pkl", SHA256: strings.Repeat("0", 64), Size: 1}}}}
	s.Driver.Start(l)
	ended := s.AwaitPhase(t, "a", replica.Ended)
	if ended.CannotStart || !strings.Contains(ended.Cause.Message, "model m:1: fetch m.pkl") {
		t.Errorf("ended: %+v", ended.Observation)
	}
}

func endLeavesNothing(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	s.Driver.Start(s.Launch("a", parentScript))
	p := s.AwaitPhase(t, "a", replica.Answering)
	if n := bed.Running(t, s.Dir); n < 3 {
		t.Fatalf("scorer, Python and its child expected, %d processes found", n)
	}
	bed.Kill(t, p)
	s.AwaitPhase(t, "a", replica.Ended)
	awaitNone(t, bed, s.Dir)
}

func logsAreRead(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	l := s.Launch("a", EchoScript)
	s.Driver.Start(l)
	p := s.AwaitPhase(t, "a", replica.Answering)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sent := false
	var seen []string
	for lines, err := range s.Driver.ReadLogs(ctx, driver.LogQuery{WorkloadUID: l.WorkloadUID, Tail: 100, Follow: true}) {
		if err != nil {
			t.Fatalf("after %q: %v", seen, err)
		}
		for _, line := range lines {
			seen = append(seen, line.Text)
			if line.Replica != "a" || line.Time.Before(p.StartTime.Add(-time.Minute)) || line.Time.After(time.Now()) {
				t.Errorf("line %+v", line)
			}
		}
		text := strings.Join(seen, "\n")
		if strings.Contains(text, "init done") && !sent {
			sent = true
			if _, err := Score(p.Address, "7"); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(text, "scored 7") {
			break
		}
	}
	s.Driver.Stop("a", false)
	s.AwaitPhase(t, "a", replica.Ended)
	s.Driver.Forget("a")
	var last []driver.LogLine
	for lines, err := range s.Driver.ReadLogs(t.Context(), driver.LogQuery{WorkloadUID: l.WorkloadUID, Tail: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		last = append(last, lines...)
	}
	if len(last) != 1 {
		t.Errorf("the log outlives the replica: %+v", last)
	}
	if got := s.Driver.GoneWorkload(l.Workload); got != l.WorkloadUID {
		t.Errorf("the logs of %s are those of %q", l.Workload, got)
	}
	s.Driver.Sweep(driver.Keep{Workloads: map[string]bool{l.WorkloadUID: true}})
	if got := s.Driver.GoneWorkload(l.Workload); got != l.WorkloadUID {
		t.Errorf("what is kept was swept")
	}
}

func startsLogIsToldApart(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	l := s.Launch("a", EchoScript)
	s.Driver.Start(l)
	first := s.AwaitPhase(t, "a", replica.Answering)
	if _, err := Score(first.Address, "1"); err != nil {
		t.Fatal(err)
	}
	start := s.text(t, driver.LogQuery{WorkloadUID: l.WorkloadUID, Init: true})
	if !strings.Contains(start, "init done") || strings.Contains(start, "scored") {
		t.Errorf("the start:\n%s", start)
	}
	bed.Kill(t, first)
	s.AwaitPhase(t, "a", replica.Ended)
	l.Process = 1
	s.Driver.Start(l)
	second := s.AwaitPhase(t, "a", replica.Answering)
	if _, err := Score(second.Address, "2"); err != nil {
		t.Fatal(err)
	}
	previous := s.text(t, driver.LogQuery{WorkloadUID: l.WorkloadUID, Previous: true, Follow: true})
	if !strings.Contains(previous, "scored 1") || strings.Contains(previous, "scored 2") {
		t.Errorf("the process before:\n%s", previous)
	}
	if start := s.text(t, driver.LogQuery{WorkloadUID: l.WorkloadUID, Previous: true, Init: true}); !strings.Contains(start, "init done") || strings.Contains(start, "scored") {
		t.Errorf("the start of the process before:\n%s", start)
	}
}

// text gives the log that there is.
func (s *Stage) text(t *testing.T, q driver.LogQuery) string {
	t.Helper()
	var b strings.Builder
	for lines, err := range s.Driver.ReadLogs(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			b.WriteString(l.Text + "\n")
		}
	}
	return b.String()
}

func useIsMeasured(t *testing.T, bed Bed) {
	t.Helper()
	s := Begin(t, bed, t.TempDir(), &Artefacts{}, false)
	s.Driver.Start(s.Launch("a", EchoScript))
	s.AwaitPhase(t, "a", replica.Answering)
	used := s.Driver.Usage()["a"]
	if used.MemoryBytes < 1<<20 || used.MemoryPeakBytes < used.MemoryBytes || used.CPUTime <= 0 {
		t.Errorf("used: %+v", used)
	}
	s.Driver.Stop("a", false)
	s.AwaitPhase(t, "a", replica.Ended)
	if used, ok := s.Driver.Usage()["a"]; ok {
		t.Errorf("used after the end: %+v", used)
	}
}

func processesAreAdopted(t *testing.T, bed Bed) {
	t.Helper()
	dir, artefacts := t.TempDir(), &Artefacts{}
	first := Begin(t, bed, dir, artefacts, true)
	l := first.Launch("a", EchoScript)
	l.Devices = []string{"GPU-x"}
	l.LastFailure = replica.Failure{Reason: "OutOfMemory", Message: "used 2 GB", Time: l.CreateTime}
	first.Driver.Start(l)
	before := first.AwaitPhase(t, "a", replica.Answering)
	first.Stop(t)
	if _, err := Score(before.Address, "1"); err != nil {
		t.Fatalf("it must go on: %v", err)
	}
	second := Begin(t, bed, dir, artefacts, true)
	after := second.AwaitPhase(t, "a", replica.Answering)
	if after.Address != before.Address || after.Launch.Replica != "a" || len(after.Devices) != 1 || !after.CreateTime.Equal(l.CreateTime) ||
		after.LastFailure.Message != l.LastFailure.Message || !after.LastFailure.Time.Equal(l.CreateTime) {
		t.Errorf("adopted %+v, was %+v", after, before)
	}
	bed.Kill(t, after)
	second.AwaitPhase(t, "a", replica.Ended)
	awaitNone(t, bed, dir)
}

func endingWithDriverLeavesNothing(t *testing.T, bed Bed) {
	t.Helper()
	dir := t.TempDir()
	s := Begin(t, bed, dir, &Artefacts{}, false)
	s.Driver.Start(s.Launch("a", parentScript))
	p := s.AwaitPhase(t, "a", replica.Answering)
	s.Stop(t)
	awaitNone(t, bed, dir)
	if _, err := Score(p.Address, "1"); err == nil {
		t.Error("it still answers")
	}
	if again := Begin(t, bed, dir, s.Artefacts, false).Driver.Processes(); len(again) != 0 {
		t.Errorf("listed though nobody started it: %+v", again)
	}
}
