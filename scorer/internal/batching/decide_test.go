package batching

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDecide(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	limits := Limits{MaxSize: 4, MaxDelay: 10 * time.Millisecond}
	steady := pace{quickest: 2 * time.Millisecond, usual: 5 * time.Millisecond}
	for name, test := range map[string]struct {
		waiting []item
		now     int
		pace    pace
		want    decision
	}{
		"nothing": {},
		"one waits for others": {
			waiting: []item{{rows: 1, arrived: at(0)}}, now: 3,
			want: decision{wake: at(10)},
		},
		"the oldest has waited enough": {
			waiting: []item{{rows: 1, arrived: at(0)}, {rows: 1, arrived: at(9)}}, now: 10,
			want: decision{run: []int{0, 1}},
		},
		"full": {
			waiting: []item{{rows: 2, arrived: at(0)}, {rows: 2, arrived: at(1)}, {rows: 1, arrived: at(1)}}, now: 1,
			want: decision{run: []int{0, 1}},
		},
		"what does not fit makes full": {
			waiting: []item{{rows: 3, arrived: at(0)}, {rows: 2, arrived: at(1)}, {rows: 1, arrived: at(1)}}, now: 1,
			want: decision{run: []int{0}},
		},
		"greater than a batch": {
			waiting: []item{{rows: 9, arrived: at(0)}}, now: 0,
			want: decision{run: []int{0}},
		},
		"kinds apart": {
			waiting: []item{{rows: 3, arrived: at(0)}, {kind: "b", rows: 2, arrived: at(1)}}, now: 2,
			want: decision{wake: at(10)},
		},
		"the full one first": {
			waiting: []item{{rows: 3, arrived: at(0)}, {kind: "b", rows: 4, arrived: at(1)}}, now: 2,
			want: decision{run: []int{1}},
		},
		"not delayed beyond its deadline": {
			waiting: []item{{rows: 1, arrived: at(0)}, {rows: 1, arrived: at(1), deadline: at(7)}}, now: 2, pace: steady,
			want: decision{run: []int{0, 1}},
		},
		"a deadline closes sooner": {
			waiting: []item{{rows: 1, arrived: at(0), deadline: at(15)}}, now: 2, pace: steady,
			want: decision{wake: at(5)},
		},
		"too late even for the quickest": {
			waiting: []item{{rows: 1, arrived: at(0), deadline: at(4)}, {rows: 1, arrived: at(1)}}, now: 2, pace: steady,
			want: decision{late: []int{0}, wake: at(11)},
		},
		"late without experience": {
			waiting: []item{{rows: 1, arrived: at(0), deadline: at(4)}}, now: 4,
			want: decision{late: []int{0}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(test.waiting, at(test.now), test.pace, limits)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(decision{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Whatever waits, a batch is one that may be, and nobody waits longer than allowed.
func TestDecideHoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1_000_000, 0)
		limits := Limits{MaxSize: rapid.IntRange(1, 8).Draw(t, "size"), MaxDelay: time.Duration(rapid.IntRange(0, 20).Draw(t, "delay"))}
		p := pace{quickest: time.Duration(rapid.IntRange(0, 5).Draw(t, "quickest"))}
		p.usual = p.quickest + time.Duration(rapid.IntRange(0, 5).Draw(t, "more"))
		now := start.Add(40)
		waiting := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) item {
			w := item{
				kind: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "kind")), rows: rapid.IntRange(1, 10).Draw(t, "rows"),
				arrived: start.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "arrived"))),
			}
			if rapid.Bool().Draw(t, "hurry") {
				w.deadline = w.arrived.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "deadline")))
			}
			return w
		}), 0, 12).Draw(t, "waiting")
		slices.SortStableFunc(waiting, func(a, b item) int { return a.arrived.Compare(b.arrived) })

		d := decide(waiting, now, p, limits)
		rows := 0
		for n, i := range d.run {
			rows += waiting[i].rows
			switch {
			case waiting[i].kind != waiting[d.run[0]].kind:
				t.Fatalf("kinds mixed: %v", d)
			case n > 0 && d.run[n-1] >= i:
				t.Fatalf("out of order: %v", d)
			case slices.Contains(d.late, i):
				t.Fatalf("late and run: %v", d)
			}
		}
		if len(d.run) > 1 && rows > limits.MaxSize {
			t.Fatalf("%d rows", rows)
		}
		for i, w := range waiting {
			late := !w.deadline.IsZero() && now.Add(p.quickest).Compare(w.deadline) >= 0
			if late != slices.Contains(d.late, i) {
				t.Fatalf("request %d is late: %v", i, late)
			}
			if !late && len(d.run) == 0 && (!w.arrived.Add(limits.MaxDelay).After(now) || d.wake.After(w.arrived.Add(limits.MaxDelay))) && first(waiting, d, i) {
				t.Fatalf("request %d, the oldest of its kind, has to wait until %v", i, d.wake)
			}
		}
		if len(d.run) == 0 && len(d.late) < len(waiting) && !d.wake.After(now) {
			t.Fatalf("neither runs nor waits: %+v", d)
		}
	})
}

// first reports whether i is the oldest of its kind that is not late.
func first(waiting []item, d decision, i int) bool {
	for j := range i {
		if waiting[j].kind == waiting[i].kind && !slices.Contains(d.late, j) {
			return false
		}
	}
	return true
}

func TestPace(t *testing.T) {
	var p pace
	for _, took := range []time.Duration{80, 160, 40} {
		p = p.add(took)
	}
	if want := (pace{quickest: 40, usual: 84}); p != want { // 80, 90, 90 - 50/8
		t.Errorf("got %v, want %v", p, want)
	}
}
