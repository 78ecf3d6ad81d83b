package plan_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/test/failure/plan"
)

func sites() *rapid.Generator[plan.Site] {
	names := []string{"nats", "auth", "compute", "deploy", "router", "gateway"}
	return rapid.Custom(func(t *rapid.T) plan.Site {
		processes := names[:rapid.IntRange(0, len(names)).Draw(t, "processes")]
		return plan.Site{
			Processes: processes,
			Clocks:    processes[:rapid.IntRange(0, len(processes)).Draw(t, "clocks")],
			Disk:      rapid.Bool().Draw(t, "disk"),
			Wire:      rapid.Bool().Draw(t, "wire"),
		}
	})
}

// A plan is a function of its seed, and a longer one begins with the shorter one.
func TestRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, site := rapid.Uint64().Draw(t, "seed"), sites().Draw(t, "site")
		length := time.Duration(rapid.Int64Range(0, int64(5*time.Minute)).Draw(t, "length"))
		longer := plan.Make(seed, site, length+time.Minute)
		short := plan.Make(seed, site, length)
		if begin := longer[:len(short)]; !slices.Equal(begin, short) {
			t.Errorf("the longer plan begins otherwise (-longer +shorter):\n%s", cmp.Diff(begin, short))
		}
		for _, f := range longer[len(short):] {
			if f.At < length {
				t.Errorf("%v is missing in the shorter plan", f)
			}
		}
	})
}

// Another seed gives another plan.
func TestSeedsDiffer(t *testing.T) {
	site := plan.Site{Processes: []string{"up"}}
	if cmp.Equal(plan.Make(1, site, time.Minute), plan.Make(2, site, time.Minute)) {
		t.Error("two seeds give the same plan")
	}
}

func TestRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		site := sites().Draw(t, "site")
		faults := plan.Make(rapid.Uint64().Draw(t, "seed"), site, 10*time.Minute)
		if !slices.IsSortedFunc(faults, func(a, b plan.Fault) int { return int(a.At - b.At) }) {
			t.Error("the faults are not in order")
		}
		for n, f := range faults {
			if f.At < 0 || f.For <= 0 || f.For > 5*time.Second {
				t.Errorf("%v has an impossible time", f)
			}
			if (f.Kind == plan.Skew) != (f.Offset != 0) && f.Offset != 0 {
				t.Errorf("%v has a clock", f)
			}
			wantRoomFor(t, faults[:n], f)
		}
	})
}

// wantRoomFor checks a fault against those that began before it.
func wantRoomFor(t *rapid.T, before []plan.Fault, f plan.Fault) {
	under := 0
	for _, b := range before {
		if b.At+b.For <= f.At {
			continue
		}
		under++
		if b.Kind == plan.FillDisk || f.Kind == plan.FillDisk {
			t.Errorf("%v happens during %v", f, b)
		}
		if b.Target == f.Target && b.Target != "" {
			t.Errorf("%v and %v break the same process", f, b)
		}
	}
	if under > 1 {
		t.Errorf("%v is the third fault at its time", f)
	}
}

// Every deal has every kind of fault on every target.
func TestDealsHaveEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		site := sites().Draw(t, "site")
		faults := plan.Make(rapid.Uint64().Draw(t, "seed"), site, 30*time.Minute)
		size := plan.Deal(site)
		var first map[string]int
		for deal := range slices.Chunk(faults, size) {
			if len(deal) < size {
				return
			}
			counts := map[string]int{}
			for _, f := range deal {
				counts[string(f.Kind)+" "+f.Target]++
			}
			if first == nil {
				first = counts
				wantEverything(t, site, counts)
			}
			if !maps.Equal(first, counts) {
				t.Errorf("the deals have other faults: %s", cmp.Diff(first, counts))
			}
		}
	})
}

func wantEverything(t *rapid.T, site plan.Site, counts map[string]int) {
	want := []string{"kill replica ", "freeze replica "}
	for _, p := range site.Processes {
		want = append(want, "kill "+p, "freeze "+p)
	}
	for _, p := range site.Clocks {
		want = append(want, "skew clock "+p)
	}
	if site.Disk {
		want = append(want, "fill disk ")
	}
	if site.Wire {
		want = append(want, "sever nats ", "silence nats ")
	}
	for _, w := range want {
		if counts[w] == 0 {
			t.Errorf("a deal has no fault %q", w)
		}
	}
}
