// Package split chooses a version for each request so that every version has
// its share exactly, over every prefix of the requests and not only on average.
//
// The order is Tijdeman's chairman assignment (earliest due date first): after
// n requests each of k versions has been chosen n·share times, give or take
// less than one (1 - 1/(2k-2)). It repeats after at most as many requests as
// the shares have units together, so it is computed once and then only read.
//
// A Sequence is immutable. A Picker may be used by many goroutines. A Cache
// belongs to one goroutine. New shares mean a new Picker that starts at the
// beginning of its sequence.
package split

import (
	"encoding/binary"
	"sync/atomic"
)

// Sequence is the periodic order in which versions are chosen.
type Sequence struct {
	order []uint16
}

// NewSequence computes the order for the shares, whole numbers in any common
// unit. Shares of zero or less are never chosen; with none above zero the first
// entry always is.
func NewSequence(shares []int32) *Sequence {
	states, total := reduce(shares)
	switch len(states) {
	case 0:
		return &Sequence{order: []uint16{0}}
	case 1:
		return &Sequence{order: []uint16{uint16(states[0].index)}}
	}
	slack := int64(2*len(states) - 2)
	order := make([]uint16, total)
	for n := int64(1); n <= total; n++ {
		best := -1
		var bestDue int64
		for i := range states {
			s := &states[i]
			behind := (n*s.share - s.chosen*total) * slack
			if behind < total {
				continue // chosen now, it would be ahead of its share by too much
			}
			due := total*(slack-1) - behind
			if best < 0 || due*states[best].share < bestDue*s.share {
				best, bestDue = i, due
			}
		}
		// The theorem says that best is never -1; index 0 keeps a slip harmless.
		best = max(best, 0)
		states[best].chosen++
		order[n-1] = uint16(states[best].index)
	}
	return &Sequence{order: order}
}

// Period is the number of requests after which the order repeats.
func (s *Sequence) Period() int { return len(s.order) }

// At is the index of the share whose turn it is at request n, from 0.
func (s *Sequence) At(n uint64) int { return int(s.order[n%uint64(len(s.order))]) }

type state struct {
	index         int
	share, chosen int64
}

// reduce leaves out what is never chosen and divides by the common divisor.
func reduce(shares []int32) ([]state, int64) {
	var divisor int64
	for _, share := range shares {
		if share > 0 {
			divisor = gcd(divisor, int64(share))
		}
	}
	var states []state
	var total int64
	for i, share := range shares {
		if share > 0 {
			states = append(states, state{index: i, share: int64(share) / divisor})
			total += int64(share) / divisor
		}
	}
	return states, total
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Picker walks a sequence, one step per request.
type Picker struct {
	sequence *Sequence
	next     atomic.Uint64
}

// NewPicker starts at the beginning of the sequence.
func NewPicker(sequence *Sequence) *Picker { return &Picker{sequence: sequence} }

// Next is the index of the share that the next request goes to.
func (p *Picker) Next() int { return p.sequence.At(p.next.Add(1) - 1) }

// Cache keeps sequences by their shares, since many endpoints have the same ones
// and most changes of a table leave them as they are.
type Cache struct {
	kept map[string]*Sequence
	used map[string]*Sequence
}

// NewCache is an empty cache.
func NewCache() *Cache {
	return &Cache{kept: map[string]*Sequence{}, used: map[string]*Sequence{}}
}

// Sequence gives the sequence for the shares.
func (c *Cache) Sequence(shares []int32) *Sequence {
	key := make([]byte, 0, 4*len(shares))
	for _, share := range shares {
		key = binary.LittleEndian.AppendUint32(key, uint32(share))
	}
	if s, ok := c.used[string(key)]; ok {
		return s
	}
	s, ok := c.kept[string(key)]
	if !ok {
		s = NewSequence(shares)
	}
	c.used[string(key)] = s
	return s
}

// Sweep forgets what was not asked for since the last Sweep.
func (c *Cache) Sweep() {
	c.kept, c.used = c.used, map[string]*Sequence{}
}
