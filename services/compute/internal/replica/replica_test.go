package replica_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/compute/internal/replica"
)

func at(seconds int) time.Time {
	return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

func TestPause(t *testing.T) {
	var got []int
	for n := 1; n <= 9; n++ {
		got = append(got, int(replica.Pause(n).Seconds()))
	}
	if diff := cmp.Diff([]int{1, 2, 4, 8, 16, 32, 60, 60, 60}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLife(t *testing.T) {
	r := replica.Replica{ID: "a", State: replica.Pending}
	r = r.Started(at(0))
	r = r.Observe(replica.Observation{Phase: replica.Launched, StartTime: at(0), Address: "127.0.0.1:1"}, at(1))
	if r.State != replica.Starting || r.Address == "" || r.Restarts != 0 {
		t.Fatalf("starting: %+v", r)
	}
	r = r.Observe(replica.Observation{Phase: replica.Answering, StartTime: at(0), ReadySince: at(2), Address: "127.0.0.1:1"}, at(2))
	if r.State != replica.Ready || !r.WasReady {
		t.Fatalf("ready: %+v", r)
	}
	end := replica.Observation{Phase: replica.Ended, ReadySince: at(2), Cause: replica.Cause{Message: "killed"}}
	r = r.Observe(end, at(10))
	if r.State != replica.BackingOff || r.Address != "" || !r.RetryAt.Equal(at(11)) || r.Cause.Message != "killed" {
		t.Fatalf("ended: %+v", r)
	}
	if again := r.Observe(end, at(10)); cmp.Diff(r, again) != "" {
		t.Fatalf("an end counts once: %+v", again)
	}
	r = r.Started(at(11))
	if r.Restarts != 1 || r.State != replica.Starting {
		t.Fatalf("restarted: %+v", r)
	}
	if again := r.Observe(end, at(11)); cmp.Diff(r, again) != "" {
		t.Fatalf("the end of an earlier process is over: %+v", again)
	}
	r = r.Observe(replica.Observation{Process: 1, Phase: replica.Ended}, at(12))
	if r.Failures != 2 || !r.RetryAt.Equal(at(14)) {
		t.Fatalf("second end: %+v", r)
	}
	r = r.Started(at(14)).Observe(replica.Observation{Process: 2, Phase: replica.Answering, ReadySince: at(15)}, at(80))
	r = r.Observe(replica.Observation{Process: 2, Phase: replica.Ended, ReadySince: at(15)}, at(81))
	if r.Failures != 1 || !r.RetryAt.Equal(at(82)) {
		t.Fatalf("a minute of health forgives: %+v", r)
	}
	r = r.Started(at(82)).Drained(replica.Cause{Message: "scaled down"}).Observe(replica.Observation{Process: 3, Phase: replica.Ended}, at(83))
	if r.State != replica.Gone {
		t.Fatalf("drained: %+v", r)
	}
}

func TestLastFailureIsRemembered(t *testing.T) {
	r := replica.Replica{State: replica.Ready}
	r = r.Observe(replica.Observation{Phase: replica.Ended, Cause: replica.Cause{Reason: "OutOfMemory", Message: "used 2 GB"}}, at(10)).Started(at(11))
	r = r.Observe(replica.Observation{Process: 1, Phase: replica.Answering, ReadySince: at(12)}, at(12))
	if want := (replica.Failure{Reason: "OutOfMemory", Message: "used 2 GB", Time: at(10)}); r.LastFailure != want || r.Cause.Message != "" || r.State != replica.Ready {
		t.Errorf("got %+v", r)
	}
}

func TestScriptThatCannotStartIsCounted(t *testing.T) {
	r := replica.Replica{State: replica.Starting}
	r = r.Observe(replica.Observation{Phase: replica.Ended, CannotStart: true}, at(0)).Started(at(1))
	r = r.Observe(replica.Observation{Process: 1, Phase: replica.Ended, CannotStart: true}, at(2))
	if r.StartFailures != 2 {
		t.Errorf("got %+v", r)
	}
	r = r.Started(at(4)).Observe(replica.Observation{Process: 2, Phase: replica.Ended}, at(5))
	if r.StartFailures != 0 {
		t.Errorf("another cause breaks the row: %+v", r)
	}
}

func TestDue(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	failed := replica.Replica{State: replica.BackingOff, Failures: 1}
	for name, test := range map[string]struct {
		state   replica.State
		retryAt time.Time
		want    bool
	}{
		"its pause is over":             {replica.BackingOff, now, true},
		"its pause goes on":             {replica.BackingOff, now.Add(replica.Pause(1)), false},
		"the clock was set back":        {replica.BackingOff, now.Add(2 * time.Hour), true},
		"it runs":                       {replica.Ready, now, false},
		"it runs, the clock was behind": {replica.Starting, now.Add(2 * time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := failed
			r.State, r.RetryAt = test.state, test.retryAt
			if got := r.Due(now); got != test.want {
				t.Errorf("Due is %v, want %v", got, test.want)
			}
		})
	}
}
