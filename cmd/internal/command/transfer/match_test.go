package transfer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	for name, test := range map[string]struct {
		exported, present []numbered
		next              int64
		want              map[int64]place
	}{
		"nothing is there": {
			exported: []numbered{{1, "a"}, {2, "b"}}, next: 1,
			want: map[int64]place{1: {number: 1}, 2: {number: 2}},
		},
		"all is there": {
			exported: []numbered{{1, "a"}, {2, "a"}}, present: []numbered{{1, "a"}, {2, "a"}}, next: 3,
			want: map[int64]place{1: {1, true}, 2: {2, true}},
		},
		"numbers are taken": {
			exported: []numbered{{1, "a"}, {2, "b"}}, present: []numbered{{1, "c"}}, next: 2,
			want: map[int64]place{1: {number: 2}, 2: {number: 3}},
		},
		"and were given before": {
			exported: []numbered{{1, "a"}, {2, "b"}}, present: []numbered{{1, "c"}, {2, "a"}, {3, "b"}}, next: 4,
			want: map[int64]place{1: {2, true}, 2: {3, true}},
		},
		"its own number comes first": {
			exported: []numbered{{1, "a"}, {2, "a"}}, present: []numbered{{2, "a"}}, next: 3,
			want: map[int64]place{1: {number: 3}, 2: {2, true}},
		},
		"numbers that were deleted are skipped": {
			exported: []numbered{{2, "a"}, {5, "b"}}, next: 1,
			want: map[int64]place{2: {number: 2}, 5: {number: 5}},
		},
		"but not very many": {
			exported: []numbered{{1, "a"}, {500, "b"}}, next: 1,
			want: map[int64]place{1: {number: 1}, 500: {number: 2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := match(test.exported, test.present, test.next, mostSkipped)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(place{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What has gone in once is all there the second time, no version stands for two,
// and contents stay with their numbers.
func TestMatchSettles(t *testing.T) {
	contents := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (all []numbered, next int64) {
			next = 1
			for range rapid.IntRange(0, 4).Draw(t, label) {
				next += rapid.Int64Range(0, 2).Draw(t, label+" gap")
				all = append(all, numbered{number: next, content: contents.Draw(t, label+" content")})
				next++
			}
			return all, next
		}
		exported, _ := draw("exported")
		present, next := draw("present")
		skip := rapid.SampledFrom([]int64{0, mostSkipped}).Draw(t, "skip")
		first := match(exported, present, next, skip)
		if len(first) != len(exported) {
			t.Fatalf("%d versions go to %v", len(exported), first)
		}
		after, used := present, map[int64]bool{}
		for _, e := range exported {
			to := first[e.number]
			if used[to.number] {
				t.Fatalf("two versions go to %d: %v", to.number, first)
			}
			used[to.number] = true
			if !to.exists {
				if to.number < next {
					t.Fatalf("%d was given before: %v", to.number, first)
				}
				after = append(after, numbered{number: to.number, content: e.content})
			}
		}
		for number, to := range match(exported, after, next+1000, skip) {
			if !to.exists {
				t.Errorf("the second time, %d is not there: first %v", number, first)
			}
		}
	})
}
