// Package balancing picks a replica: a filter leaves out what may not get the
// request, a cost says how bad each other one would be, and the cheapest one is
// picked.
//
// Everything is a pure function of the candidates given and, where a rule draws
// lots, of the lots. Candidates with equal costs take turns, so that idle replicas
// share the work evenly. A Policy may be used by many goroutines; an Estimate
// belongs to one at a time.
package balancing

import "time"

// State says whether a replica takes requests.
type State int

const (
	// Unready replicas get nothing: they start, wait or do not answer.
	Unready State = iota
	// Ready replicas get requests.
	Ready
	// Draining replicas finish what they have.
	Draining
)

// Candidate is what is known of a replica at the moment of the choice.
type Candidate struct {
	State State
	// Suspect is set for a moment after a connection to the replica failed.
	Suspect bool
	// InFlight is how many requests it works on for this router.
	InFlight int
	// Capacity is how many it takes at the same time.
	Capacity int
	// Service is how long a request takes that need not wait there; 0 while that
	// is not known.
	Service time.Duration
	// Peak is how long requests took of late, the worst of them counting most; 0
	// while that is not known.
	Peak time.Duration
	// Oldest is how long the oldest request in flight has been there.
	Oldest time.Duration
}

// Filter says whether the candidate may get the request.
type Filter func(*Candidate) bool

// Cost says how bad it would be to give the request to a candidate: any number
// from 0. Best is the least Service of those for which it is known.
type Cost func(c *Candidate, best time.Duration) float64

// Policy is a way to choose.
type Policy struct {
	May  Filter
	Cost Cost
	// Near is the part by which costs may differ that count as equal, Slack the
	// amount.
	Near, Slack float64
	// Even gives, among equals, the one with the least to do for its capacity.
	Even bool
	// Two compares two candidates drawn by lot instead of all.
	Two bool
	// Lot gives a number from 0 to below n; only Two needs it.
	Lot func(n int) int
	// Peak says that the cost is made of Candidate.Peak, which takes time to know.
	Peak bool
}

// See fills in what an estimate says of a candidate, and how old its oldest
// request is, as far as the policy needs it.
func (p Policy) See(c *Candidate, e *Estimate, oldest time.Duration, now time.Time) {
	c.Service, c.Oldest = e.Service(now), oldest
	if p.Peak {
		c.Peak = e.Peak(now)
	}
}

// Reachable passes replicas that are ready and not draining, and to which no
// connection failed a moment ago.
func Reachable(c *Candidate) bool { return c.State == Ready && !c.Suspect }

// Admitting passes reachable replicas below their concurrency.
func Admitting(c *Candidate) bool { return Reachable(c) && c.InFlight < c.Capacity }

// Pick gives the index of the best candidate. Among equals it is the first at or
// after turn, so a caller that hands in one more than the last pick gives them
// their turns.
func (p Policy) Pick(candidates []Candidate, turn int) (index int, ok bool) {
	n := len(candidates)
	if n == 0 {
		return 0, false
	}
	if p.Two {
		return p.pickOfTwo(candidates)
	}
	service := bestService(candidates)
	best, least := -1, 0.0
	for i := range candidates {
		if !p.May(&candidates[i]) {
			continue
		}
		if cost := p.Cost(&candidates[i], service); best < 0 || cost < least {
			best, least = i, cost
		}
	}
	if best < 0 {
		return best, false
	}
	enough, fullest := max(least*(1+p.Near), least+p.Slack), 0.0
	best = -1
	for step := range n {
		i := (turn + step) % n
		c := &candidates[i]
		if !p.May(c) || p.Cost(c, service) > enough {
			continue
		}
		if !p.Even {
			return i, true
		}
		if full := fullness(c, 0); best < 0 || full < fullest {
			best, fullest = i, full
		}
	}
	return best, true
}

// pickOfTwo draws two of those that pass.
func (p Policy) pickOfTwo(candidates []Candidate) (index int, ok bool) {
	passing := 0
	for i := range candidates {
		if p.May(&candidates[i]) {
			passing++
		}
	}
	if passing == 0 {
		return -1, false
	}
	first := p.Lot(passing)
	second := first
	if passing > 1 {
		second = (first + 1 + p.Lot(passing-1)) % passing
	}
	a, b := p.nth(candidates, first), p.nth(candidates, second)
	service := bestService(candidates)
	if p.Cost(&candidates[b], service) < p.Cost(&candidates[a], service) {
		return b, true
	}
	return a, true
}

// nth is the index of the nth candidate that passes, from 0.
func (p Policy) nth(candidates []Candidate, n int) int {
	for i := range candidates {
		if !p.May(&candidates[i]) {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return -1
}

func bestService(candidates []Candidate) time.Duration {
	var best time.Duration
	for i := range candidates {
		if s := candidates[i].Service; s > 0 && (best == 0 || s < best) {
			best = s
		}
	}
	return best
}
