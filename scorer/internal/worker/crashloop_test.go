package worker

import (
	"errors"
	"testing"
	"time"
)

// deathsEvery gives deaths that are alike, so far apart.
func deathsEvery(pause time.Duration, count int, like death) []death {
	var out []death
	for i := range count {
		like.at = time.Unix(1_000_000, 0).Add(time.Duration(i) * pause)
		out = append(out, like)
	}
	return out
}

func TestCrashLoop(t *testing.T) {
	idle, fruitless := death{exit: "exit code 3", answered: 9}, death{serving: true, exit: "exit code 4"}
	poisoned := death{serving: true, answered: 1, exit: "exit code 5"}
	for name, test := range map[string]struct {
		deaths []death
		want   string // empty when the scorer goes on
	}{
		"none":                             {nil, ""},
		"four without a request":           {deathsEvery(time.Second, 4, idle), ""},
		"five without a request":           {deathsEvery(5*time.Second, 5, idle), "the script's Python process died 5 times within 20s, 5 times while it ran no request; the last time: exit code 3"},
		"five, too far apart":              {deathsEvery(15*time.Second, 5, idle), ""},
		"nine that answered nothing":       {deathsEvery(time.Second, 9, fruitless), ""},
		"ten that answered nothing":        {deathsEvery(time.Second, 10, fruitless), "the script's Python process died 10 times within 9s, 0 times while it ran no request; the last time: exit code 4"},
		"requests that kill now and then":  {deathsEvery(time.Second, 60, poisoned), ""},
		"both kinds":                       {append(deathsEvery(time.Second, 4, idle), deathsEvery(4*time.Second, 2, fruitless)...), "the script's Python process died 6 times within 4s, 4 times while it ran no request; the last time: exit code 4"},
		"the last one is a request's":      {append(deathsEvery(time.Second, 4, idle), deathsEvery(5*time.Second, 2, poisoned)...), ""},
		"long ago, then four in a row now": {deathsEvery(19*time.Second, 40, idle), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := judge(test.deaths)
			got := ""
			if loop, ok := errors.AsType[*CrashLoopError](err); ok {
				got = loop.Cause
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestOldDeathsAreForgotten(t *testing.T) {
	counted, err := judge(deathsEvery(19*time.Second, 40, death{}))
	if len(counted) != 4 || err != nil {
		t.Errorf("%d deaths count (%v), want 4", len(counted), err)
	}
}
