package audit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/services/auth/internal/audit"
)

// log makes entries, the oldest first: "r" is a refused call, any other is none.
func log(calls string) []audit.Entry {
	out := make([]audit.Entry, len(calls))
	for i, c := range calls {
		out[i].Denied = c == 'r'
	}
	return out
}

func TestRefusedCallsDoNotPushOthersOut(t *testing.T) {
	limits := audit.Limits{Entries: 5, Refused: 2}
	for calls, want := range map[string][]int{
		"":           nil,
		"ccccc":      nil,
		"cccccc":     {0},
		"rr":         nil,
		"rrr":        {0},
		"crrrrrrrr":  {1, 2, 3, 4, 5, 6},
		"rcrcrcrc":   {0, 1, 2},
		"cccccrrrrr": {0, 1, 5, 6, 7},
	} {
		if diff := cmp.Diff(want, limits.Excess(log(calls))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", calls, diff)
		}
	}
}

func TestWhatIsKeptIsWithinTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := audit.Limits{Entries: rapid.IntRange(1, 20).Draw(t, "entries"), Refused: rapid.IntRange(0, 20).Draw(t, "refused")}
		calls := rapid.StringMatching(`[rc]{0,60}`).Draw(t, "calls")
		kept := []byte(calls)
		for _, i := range limits.Excess(log(calls)) {
			kept[i] = '.'
		}
		refused, others, done := 0, 0, 0
		for i := range kept {
			switch kept[i] {
			case 'r':
				refused++
			case 'c':
				others++
			}
			if calls[i] == 'c' {
				done++
			}
		}
		if refused > limits.Refused || refused+others > limits.Entries {
			t.Fatalf("of %s is kept %s", calls, kept)
		}
		if room := max(limits.Entries-limits.Refused, 0); others < min(done, room) {
			t.Fatalf("of %s is kept %s: refused calls took the room of others", calls, kept)
		}
	})
}
