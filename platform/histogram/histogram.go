// Package histogram counts durations in exponential buckets, as OpenTelemetry
// defines them at scale 6: 64 buckets an octave, each 1.1 % wide, so that a
// percentile is off by less than that; by far less where many durations share
// its bucket, which are taken to lie evenly in it. Prometheus calls the same
// schema 6.
//
// Only the span of buckets in use takes room. Merging is addition: it is exact,
// associative and commutative. A Histogram belongs to one goroutine at a time.
package histogram

import (
	"errors"
	"math"
	"slices"
	"time"
)

const (
	// Scale is OpenTelemetry's.
	Scale = 6
	// perOctave buckets double a duration.
	perOctave = 1 << Scale
	// What a time.Duration can be: 1 ns to 292 years.
	minBucket = -31 * perOctave
	maxBucket = 34 * perOctave
	// slack is how many buckets the span grows by beyond the one that is needed.
	slack = 16
)

// Histogram counts durations. The zero value is empty.
type Histogram struct {
	offset int // the bucket of counts[0]
	counts []uint64
	zero   uint64
	count  uint64
	sum    time.Duration
	max    time.Duration
}

// Add counts one duration; one below 0 counts as 0.
func (h *Histogram) Add(d time.Duration) {
	h.count++
	if d <= 0 {
		h.zero++
		return
	}
	h.sum += d
	h.max = max(h.max, d)
	i := bucket(d) - h.offset
	if uint(i) >= uint(len(h.counts)) {
		h.cover(i+h.offset-slack, i+h.offset+slack)
		i = bucket(d) - h.offset
	}
	h.counts[i]++
}

// cover makes the span hold the buckets from first to last.
func (h *Histogram) cover(first, last int) {
	if len(h.counts) == 0 {
		h.offset, h.counts = first, make([]uint64, last-first+1)
		return
	}
	first, last = min(first, h.offset), max(last, h.offset+len(h.counts)-1)
	if first == h.offset && last < h.offset+len(h.counts) {
		return
	}
	counts := make([]uint64, last-first+1)
	copy(counts[h.offset-first:], h.counts)
	h.offset, h.counts = first, counts
}

// Merge adds what other counts.
func (h *Histogram) Merge(other *Histogram) {
	h.zero += other.zero
	h.count += other.count
	h.sum += other.sum
	h.max = max(h.max, other.max)
	first, last := other.span()
	if first > last {
		return
	}
	h.cover(other.offset+first, other.offset+last)
	for i := first; i <= last; i++ {
		h.counts[other.offset+i-h.offset] += other.counts[i]
	}
}

// span gives the indexes of the first and the last bucket that counts.
func (h *Histogram) span() (first, last int) {
	last = len(h.counts) - 1
	for first <= last && h.counts[first] == 0 {
		first++
	}
	for last >= first && h.counts[last] == 0 {
		last--
	}
	return first, last
}

// Reset makes the histogram empty; it keeps its room.
func (h *Histogram) Reset() {
	clear(h.counts)
	h.zero, h.count, h.sum, h.max = 0, 0, 0, 0
}

// Clone gives a copy, without unused room.
func (h *Histogram) Clone() Histogram {
	var c Histogram
	c.Merge(h)
	return c
}

// Count is how many durations there are.
func (h *Histogram) Count() uint64 { return h.count }

// Sum is exact.
func (h *Histogram) Sum() time.Duration { return h.sum }

// Max is the longest, exact.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is exact, 0 when there is none.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return time.Duration(float64(h.sum) / float64(h.count))
}

// Quantile gives the duration that a part q, 0 to 1, of all durations does not
// exceed: the one of rank ⌈q·count⌉, as exact as its bucket. It is 0 when there
// is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(h.count)))
	if rank >= h.count {
		return h.max
	}
	if rank <= h.zero {
		return 0
	}
	seen := h.zero
	for i, n := range h.counts {
		if n == 0 || seen+n < rank {
			seen += n
			continue
		}
		within := (float64(rank-seen) - 0.5) / float64(n)
		seconds := math.Exp2((float64(h.offset+i) + within) / perOctave)
		return min(time.Duration(seconds*float64(time.Second)), h.max)
	}
	return h.max
}

// CountUpTo is how many durations are at most 2^exponent seconds; exact, since
// that is where a bucket ends.
func (h *Histogram) CountUpTo(exponent int) uint64 {
	n := h.zero
	for i, c := range h.counts {
		if h.offset+i >= exponent*perOctave {
			break
		}
		n += c
	}
	return n
}

// Sparse is a histogram as it is sent and stored.
type Sparse struct {
	// Offset is the bucket of the first count.
	Offset int32
	// Counts begin and end with a count above 0.
	Counts []uint64
	Zero   uint64
	Sum    time.Duration
	Max    time.Duration
}

// Sparse gives the histogram in its one form.
func (h *Histogram) Sparse() Sparse {
	s := Sparse{Zero: h.zero, Sum: h.sum, Max: h.max}
	if first, last := h.span(); first <= last {
		s.Offset, s.Counts = int32(h.offset+first), slices.Clone(h.counts[first:last+1])
	}
	return s
}

// errSparse is what FromSparse says of what cannot be.
var errSparse = errors.New("the histogram has buckets that no duration falls into")

// FromSparse is the reverse of Sparse. It keeps s.Counts.
func FromSparse(s Sparse) (Histogram, error) {
	if len(s.Counts) > maxBucket-minBucket || s.Offset < minBucket || int(s.Offset)+len(s.Counts) > maxBucket || s.Sum < 0 || s.Max < 0 {
		return Histogram{}, errSparse
	}
	h := Histogram{offset: int(s.Offset), counts: s.Counts, zero: s.Zero, count: s.Zero, sum: s.Sum, max: s.Max}
	for _, n := range s.Counts {
		h.count += n
	}
	return h, nil
}
