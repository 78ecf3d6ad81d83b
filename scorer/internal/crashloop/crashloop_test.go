package crashloop

import (
	"testing"
	"time"
)

// every gives deaths that are alike, so far apart.
func every(pause time.Duration, count int, like Death) []Death {
	var out []Death
	for i := range count {
		like.At = time.Unix(1_000_000, 0).Add(time.Duration(i) * pause)
		out = append(out, like)
	}
	return out
}

func TestJudge(t *testing.T) {
	idle, fruitless := Death{Exit: "exit code 3", Answered: 9}, Death{Serving: true, Exit: "exit code 4"}
	poisoned := Death{Serving: true, Answered: 1, Exit: "exit code 5"}
	for name, test := range map[string]struct {
		deaths []Death
		want   string // empty when the scorer goes on
	}{
		"none":                             {nil, ""},
		"four without a request":           {every(time.Second, 4, idle), ""},
		"five without a request":           {every(5*time.Second, 5, idle), "it died 5 times within 20s, 5 times while it ran no request; the last time: exit code 3"},
		"five, too far apart":              {every(15*time.Second, 5, idle), ""},
		"nine that answered nothing":       {every(time.Second, 9, fruitless), ""},
		"ten that answered nothing":        {every(time.Second, 10, fruitless), "it died 10 times within 9s, 0 times while it ran no request; the last time: exit code 4"},
		"requests that kill now and then":  {every(time.Second, 60, poisoned), ""},
		"killed before they answered":      {every(time.Second, 5, Death{Killed: true, Exit: "signal 9"}), "it died 5 times within 4s, 5 times while it ran no request; the last time: signal 9"},
		"killed until one answered":        {append(append(every(time.Second, 4, Death{Killed: true}), Death{At: time.Unix(1_000_004, 0), Killed: true, Answered: 1}), every(time.Second, 4, Death{Killed: true})...), ""},
		"killed by somebody":               {every(time.Second, 60, Death{Killed: true, Answered: 1}), ""},
		"both kinds":                       {append(every(time.Second, 4, idle), every(4*time.Second, 2, fruitless)...), "it died 6 times within 4s, 4 times while it ran no request; the last time: exit code 4"},
		"the last one is a request's":      {append(every(time.Second, 4, idle), every(5*time.Second, 2, poisoned)...), ""},
		"long ago, then four in a row now": {every(19*time.Second, 40, idle), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := Judge("it", test.deaths); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestOldDeathsAreForgotten(t *testing.T) {
	counted, verdict := Judge("it", every(19*time.Second, 40, Death{}))
	if len(counted) != 4 || verdict != "" {
		t.Errorf("%d deaths count (%s), want 4", len(counted), verdict)
	}
}

func TestPause(t *testing.T) {
	for fruitless, want := range map[int]time.Duration{-1: 0, 0: 0, 1: firstPause, 2: 2 * firstPause, 100: maxPause} {
		if got := Pause(fruitless, 0); got != want {
			t.Errorf("after %d: %v, want %v", fruitless, got, want)
		}
	}
	if got := Pause(1, 0.999); got < firstPause*4/5 || got >= firstPause {
		t.Errorf("with jitter: %v", got)
	}
}
