package balancing

import (
	"math"
	"time"
)

const (
	// gain is how much one answer counts in the estimate.
	gain = 0.15
	// unusedFor is how long an estimate holds without a new answer.
	unusedFor = time.Second
	// forgetting is the time in which an unused estimate falls to 1/e: a replica
	// that was slow is tried again.
	forgetting = 10 * time.Second
	// enough answers make an estimate that is trusted for so long; one of fewer is
	// forgotten sooner.
	enough = 8
)

// Estimate learns from its answers how fast a replica is. Its zero value knows
// nothing.
type Estimate struct {
	service, peak float64 // nanoseconds
	seen          time.Time
	answers       int
}

// Answered takes in an answer: how long it took, and how many requests this router
// had there, this one counted, when it was sent. The first one says nothing of
// those that follow: it pays for the connection, and for what a model does once.
func (e *Estimate) Answered(now time.Time, took time.Duration, inFlight, capacity int) {
	if e.answers++; e.answers == 1 {
		return
	}
	sample := max(float64(took), 1)
	left := math.Exp(-float64(now.Sub(e.seen)) / float64(forgetting))
	if sample > e.peak*left {
		e.peak = sample
	} else {
		e.peak = e.peak*left + sample*(1-left)
	}
	sample /= turns(inFlight, capacity)
	if e.service == 0 {
		e.service = sample
	} else {
		e.service += gain * (sample - e.service)
	}
	e.seen = now
}

// Service is how long a request takes that need not wait; 0 while not known.
func (e *Estimate) Service(now time.Time) time.Duration {
	trust := min(1, float64(e.answers-1)/enough)
	return fade(e.service, now.Sub(e.seen)-time.Duration(trust*float64(unusedFor)), trust)
}

// Peak is how long requests took of late, the worst of them counting most.
func (e *Estimate) Peak(now time.Time) time.Duration { return fade(e.peak, now.Sub(e.seen), 1) }

// fade keeps what was known from becoming unknown.
func fade(value float64, unused time.Duration, trust float64) time.Duration {
	if value == 0 {
		return 0
	}
	if unused > 0 {
		value *= math.Exp(-float64(unused) / (trust * float64(forgetting)))
	}
	return max(time.Duration(value), 1)
}
