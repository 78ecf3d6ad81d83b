package histogram

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func durations() *rapid.Generator[time.Duration] {
	return rapid.Custom(func(t *rapid.T) time.Duration {
		// Even over the octaves, not over the durations.
		return time.Duration(math.Exp2(rapid.Float64Range(0, 44).Draw(t, "octave")))
	})
}

func of(all []time.Duration) *Histogram {
	h := &Histogram{}
	for _, d := range all {
		h.Add(d)
	}
	return h
}

func TestBucketHoldsItsDuration(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, d time.Duration) {
		i, seconds := bucket(d), float64(d)/float64(time.Second)
		low, high := math.Exp2(float64(i)/perOctave), math.Exp2(float64(i+1)/perOctave)
		const rounding = 1e-12
		if seconds <= low*(1-rounding) || seconds > high*(1+rounding) {
			t.Fatalf("%v is in bucket %d, which is above %v s and up to %v s", d, i, low, high)
		}
	}
	for _, d := range []time.Duration{1, 2, time.Microsecond, time.Second, 2 * time.Second, math.MaxInt64} {
		check(t, d)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, durations().Draw(t, "d")) })
}

func TestQuantilesAreNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(durations(), 1, 300).Draw(t, "durations")
		h := of(all)
		slices.Sort(all)
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.95, 0.99, 1} {
			rank := max(int(math.Ceil(q*float64(len(all)))), 1)
			want, got := all[rank-1], h.Quantile(q)
			if off := math.Abs(float64(got - want)); q > 0 && off > (math.Exp2(1.0/perOctave)-1)*float64(want)+1 {
				t.Fatalf("quantile %v of %v is %v, want %v", q, all, got, want)
			}
		}
		if h.Quantile(1) != all[len(all)-1] || h.Max() != all[len(all)-1] {
			t.Fatalf("the longest is %v, want %v", h.Max(), all[len(all)-1])
		}
	})
}

func TestQuantilesOfManyAreNearer(t *testing.T) {
	const n = 10_000
	h := &Histogram{}
	at := func(part float64) time.Duration { return time.Duration((20 + 40*part) * float64(time.Millisecond)) }
	for i := range n {
		h.Add(at(float64(i) / n))
	}
	for _, q := range []float64{0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999} {
		want, got := at(q), h.Quantile(q)
		if off := math.Abs(float64(got-want)) / float64(want); off > 0.001 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

func TestMergeIsAddition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOf(durations()).Draw(t, "durations")
		parts := make([]Histogram, rapid.IntRange(1, 4).Draw(t, "parts"))
		for _, d := range all {
			parts[rapid.IntRange(0, len(parts)-1).Draw(t, "part")].Add(d)
		}
		var merged Histogram
		for _, i := range rapid.Permutation([]int{0, 1, 2, 3}[:len(parts)]).Draw(t, "order") {
			part, err := FromSparse(parts[i].Sparse())
			if err != nil {
				t.Fatal(err)
			}
			merged.Merge(&part)
		}
		if diff := cmp.Diff(of(all).Sparse(), merged.Sparse()); diff != "" {
			t.Fatalf("merged differs from all at once (-want +got):\n%s", diff)
		}
		if merged.Count() != uint64(len(all)) {
			t.Fatalf("count is %d, want %d", merged.Count(), len(all))
		}
	})
}

func TestResetLeavesNothing(t *testing.T) {
	h := of([]time.Duration{0, time.Millisecond, time.Hour})
	h.Reset()
	h.Add(time.Second)
	if diff := cmp.Diff(of([]time.Duration{time.Second}).Sparse(), h.Sparse()); diff != "" {
		t.Errorf("after a reset (-want +got):\n%s", diff)
	}
}

func TestCountUpTo(t *testing.T) {
	h := of([]time.Duration{-1, 0, time.Second / 2, time.Second, time.Second + 1, 2 * time.Second, 3 * time.Second})
	for exponent, want := range map[int]uint64{-10: 2, -1: 3, 0: 4, 1: 6, 2: 7} {
		if got := h.CountUpTo(exponent); got != want {
			t.Errorf("up to 2^%d s there are %d, want %d", exponent, got, want)
		}
	}
}

func TestFromSparseRefuses(t *testing.T) {
	for name, s := range map[string]Sparse{
		"too low":    {Offset: minBucket - 1, Counts: []uint64{1}},
		"too high":   {Offset: maxBucket, Counts: []uint64{1}},
		"too many":   {Offset: minBucket, Counts: make([]uint64, 1<<16)},
		"below zero": {Sum: -1},
	} {
		if _, err := FromSparse(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	values := make([]time.Duration, 1024)
	for i := range values {
		values[i] = time.Duration(float64(5*time.Millisecond) * math.Exp(rand.NormFloat64()))
	}
	var h Histogram
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Add(values[i%len(values)])
	}
}
