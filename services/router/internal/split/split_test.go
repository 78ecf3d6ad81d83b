package split

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// counts says how often each index is chosen in the first n steps.
func counts(s *Sequence, versions, n int) []int {
	got := make([]int, versions)
	for i := range n {
		got[s.At(uint64(i))]++
	}
	return got
}

func TestSequence(t *testing.T) {
	tests := []struct {
		name   string
		shares []int32
		n      int
		want   []int
	}{
		{"all to one", []int32{10_000}, 100, []int{100}},
		{"ninety to ten", []int32{9_000, 1_000}, 1_000, []int{900, 100}},
		{"twenty to eighty", []int32{2_000, 8_000}, 500, []int{100, 400}},
		{"a hundredth of a percent", []int32{9_999, 1}, 10_000, []int{9_999, 1}},
		{"one has nothing", []int32{0, 5_000, 5_000}, 10, []int{0, 5, 5}},
		{"six versions", []int32{5_000, 1_000, 1_000, 1_000, 1_000, 1_000}, 100, []int{50, 10, 10, 10, 10, 10}},
		{"nobody has anything", []int32{0, 0}, 10, []int{10, 0}},
		{"no entry at all", nil, 0, []int{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := counts(NewSequence(test.shares), len(test.shares), test.n)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPeriodIsReduced(t *testing.T) {
	if got := NewSequence([]int32{9_000, 1_000}).Period(); got != 10 {
		t.Errorf("period = %d, want 10", got)
	}
}

// Every prefix, over more than one period, is within one of the exact share.
func TestEveryPrefixIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shares := drawShares(t)
		var total int64
		for _, share := range shares {
			total += int64(share)
		}
		sequence := NewSequence(shares)
		chosen := make([]int64, len(shares))
		for n := int64(1); n <= int64(sequence.Period())+50; n++ {
			chosen[sequence.At(uint64(n-1))]++
			for i, share := range shares {
				if off := chosen[i]*total - n*int64(share); off >= total || off <= -total {
					t.Fatalf("shares %v: after %d requests version %d has %d, exact is %.2f",
						shares, n, i, chosen[i], float64(n)*float64(share)/float64(total))
				}
			}
		}
	})
}

// drawShares cuts 10,000 into one to six parts; parts may be empty.
func drawShares(t *rapid.T) []int32 {
	versions := rapid.IntRange(1, 6).Draw(t, "versions")
	shares := make([]int32, versions)
	rest := int32(10_000)
	for i := range versions - 1 {
		shares[i] = rapid.Int32Range(0, rest).Draw(t, "share")
		rest -= shares[i]
	}
	shares[versions-1] = rest
	return shares
}

func TestPickerIsExactAmongGoroutines(t *testing.T) {
	picker := NewPicker(NewSequence([]int32{9_000, 1_000}))
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := make([]int, 2)
	for range 8 {
		wg.Go(func() {
			mine := make([]int, 2)
			for range 125 {
				mine[picker.Next()]++
			}
			mu.Lock()
			defer mu.Unlock()
			got[0] += mine[0]
			got[1] += mine[1]
		})
	}
	wg.Wait()
	if diff := cmp.Diff([]int{900, 100}, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestCache(t *testing.T) {
	cache := NewCache()
	first := cache.Sequence([]int32{9_000, 1_000})
	if cache.Sequence([]int32{9_000, 1_000}) != first {
		t.Error("the same shares gave another sequence")
	}
	cache.Sweep()
	if cache.Sequence([]int32{9_000, 1_000}) != first {
		t.Error("a sequence that is in use was forgotten")
	}
	cache.Sweep()
	cache.Sweep()
	if cache.Sequence([]int32{9_000, 1_000}) == first {
		t.Error("a sequence that nobody uses was kept")
	}
}

func BenchmarkNewSequence(b *testing.B) {
	for b.Loop() {
		NewSequence([]int32{4_999, 2_001, 1_000, 1_000, 500, 500})
	}
}

func BenchmarkNext(b *testing.B) {
	picker := NewPicker(NewSequence([]int32{4_999, 2_001, 1_000, 1_000, 500, 500}))
	for b.Loop() {
		picker.Next()
	}
}
