package bus

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const broken = "stream 'X' write error"

func TestRecovery(t *testing.T) {
	well := look{free: enoughFree}
	shut := look{free: enoughFree, problem: broken}
	full := look{full: true}
	low := look{free: enoughFree - 1}
	shutAndFull := look{full: true, problem: broken}
	shutAndLow := look{free: enoughFree - 1, problem: broken}
	for name, c := range map[string]struct {
		looks   []look
		trouble string // in the end
		want    action
	}{
		"all is well":                       {[]look{well, well}, "", leave},
		"little room is no trouble":         {[]look{low, low}, "", leave},
		"seen once":                         {[]look{well, shut}, "", leave},
		"gone when looked at again":         {[]look{shut, well, shut}, "", leave},
		"broken for good":                   {[]look{shut, shut}, broken, renew},
		"full, seen once":                   {[]look{well, full}, "", leave},
		"full":                              {[]look{full, full}, "the disk is full", leave},
		"full, and broken":                  {[]look{full, shutAndFull}, "the disk is full", leave},
		"still full":                        {[]look{full, full, shutAndFull, shutAndFull}, "the disk is full", leave},
		"not enough room to go on":          {[]look{shutAndFull, shutAndLow}, "the disk is full", leave},
		"room again":                        {[]look{shutAndFull, shutAndLow, shut}, broken, renew},
		"room again, and nothing is broken": {[]look{full, well}, "", leave},
		"full once more after a new start":  {[]look{full, full, shut, full}, "the disk is full", leave},
	} {
		var r recovery
		var trouble string
		var got action
		for n, l := range c.looks {
			l.at = time.Unix(1_000_000, 0).Add(time.Duration(n) * lookEvery)
			trouble, got = r.judge(l)
		}
		if got != c.want || !strings.Contains(trouble, c.trouble) || (trouble == "") != (c.trouble == "") {
			t.Errorf("%s: %q and %v, want %q and %v", name, trouble, got, c.trouble, c.want)
		}
	}
}

// TestRecoveryHalts checks that JetStream is ended once when the disk stays full, and
// is back when there is room.
func TestRecoveryHalts(t *testing.T) {
	var r recovery
	begin := time.Unix(1_000_000, 0)
	var halts []time.Duration
	problem := ""
	for after := time.Duration(0); after < 3*haltAfter; after += lookEvery {
		_, a := r.judge(look{at: begin.Add(after), full: true, problem: problem})
		if a == renew {
			t.Fatalf("started again after %v, though the disk is full", after)
		}
		if a == halt {
			halts = append(halts, after)
			problem = "not enabled"
		}
	}
	if len(halts) != 1 || halts[0] != haltAfter {
		t.Errorf("halted after %v, want once after %v", halts, haltAfter)
	}
	if _, a := r.judge(look{at: begin.Add(3 * haltAfter), free: enoughFree, problem: problem}); a != renew {
		t.Errorf("with room again: %v, want a new start", a)
	}
}

// TestRecoveryHasPatience checks that a server that stays broken is not started
// again all the time, and is not given up.
func TestRecoveryHasPatience(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r recovery
		now := time.Unix(1_000_000, 0)
		var starts []time.Time
		for range rapid.IntRange(1, 5000).Draw(t, "looks") {
			now = now.Add(lookEvery)
			if _, a := r.judge(look{at: now, problem: broken, free: enoughFree}); a == renew {
				starts = append(starts, now)
			}
		}
		pause := firstPause
		for n := 1; n < len(starts); n++ {
			if between := starts[n].Sub(starts[n-1]); between < pause || between > pause+lookEvery {
				t.Fatalf("start %d comes %v after the one before, want %v", n, between, pause)
			}
			pause = min(2*pause, lastPause)
		}
		if len(starts) > 0 && now.Sub(starts[len(starts)-1]) > lastPause {
			t.Fatalf("given up %v ago", now.Sub(starts[len(starts)-1]))
		}
	})
}
