// Package balancing picks a replica: filters leave out what may not get the
// request, scorers say how good each other one is, weights outside the scorers
// say how much each opinion counts, and the best one is picked.
//
// Everything is a pure function of the candidates given. Candidates with equal
// scores take turns, so that idle replicas share the work evenly.
package balancing

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
}

// Filter says whether the candidate may get the request.
type Filter func(Candidate) bool

// Scorer says how good a candidate is, from 0 (worst) to 1 (best).
type Scorer func(Candidate) float64

// WeightedScorer is a scorer and how much it counts.
type WeightedScorer struct {
	Score  Scorer
	Weight float64
}

// Policy is a way to choose.
type Policy struct {
	Filters []Filter
	Scorers []WeightedScorer
}

// LeastLoaded takes ready replicas with a free place, the least busy one first.
func LeastLoaded() Policy {
	return Policy{
		Filters: []Filter{IsReady, IsTrusted, HasPlace},
		Scorers: []WeightedScorer{{Score: Idleness, Weight: 1}},
	}
}

// IsReady passes replicas that are ready and not draining.
func IsReady(c Candidate) bool { return c.State == Ready }

// IsTrusted passes replicas to which no connection failed a moment ago.
func IsTrusted(c Candidate) bool { return !c.Suspect }

// HasPlace passes replicas below their concurrency.
func HasPlace(c Candidate) bool { return c.InFlight < c.Capacity }

// Idleness is the free part of the capacity.
func Idleness(c Candidate) float64 {
	if c.Capacity <= 0 {
		return 0
	}
	return max(0, 1-float64(c.InFlight)/float64(c.Capacity))
}

// Pick gives the index of the best candidate. Among equals it is the first at
// or after turn, so a caller that hands in one more than the last pick gives
// equals their turns.
func (p Policy) Pick(candidates []Candidate, turn int) (index int, ok bool) {
	n := len(candidates)
	if n == 0 {
		return 0, false
	}
	best, bestScore := -1, 0.0
	start := turn % n
	for step := range n {
		i := start + step
		if i >= n {
			i -= n
		}
		if !p.passes(candidates[i]) {
			continue
		}
		if score := p.score(candidates[i]); best < 0 || score > bestScore {
			best, bestScore = i, score
		}
	}
	return best, best >= 0
}

func (p Policy) passes(c Candidate) bool {
	for _, filter := range p.Filters {
		if !filter(c) {
			return false
		}
	}
	return true
}

func (p Policy) score(c Candidate) float64 {
	total := 0.0
	for _, s := range p.Scorers {
		total += s.Weight * s.Score(c)
	}
	return total
}
