package balancing

import "time"

// ExpectedCompletion takes the replica that is expected to answer first: the time
// that a request takes there, times how often it has to wait for those before it.
// A replica whose oldest request is overdue is taken to have become that slow. One
// that nothing is known of is taken to be like the best one, so that it is tried.
// Estimates that hardly differ count as equal.
func ExpectedCompletion(may Filter) Policy {
	return Policy{May: may, Cost: completion, Near: near, Slack: float64(slack), Even: true}
}

// near is what estimates of equal replicas differ by: they take turns.
const (
	near  = 0.1
	slack = 500 * time.Microsecond
)

// overdue is how many times the expected time has to be over before a request in
// flight counts as a sign that its replica is slow.
const overdue = 2

func completion(c *Candidate, best time.Duration) float64 {
	service := float64(c.Service)
	if service == 0 {
		service = max(float64(best), 1)
	}
	if age := float64(c.Oldest); age > overdue*service {
		service = max(service, age/turns(c.InFlight, c.Capacity)/overdue)
	}
	return service * turns(c.InFlight+1, c.Capacity)
}

// turns is in how many turns so many requests are served.
func turns(requests, capacity int) float64 {
	if requests <= max(capacity, 1) {
		return 1
	}
	return float64(requests) / float64(max(capacity, 1))
}

// LeastInFlight takes the replica with the least requests for its capacity.
func LeastInFlight(may Filter) Policy {
	return Policy{May: may, Cost: fullness}
}

func fullness(c *Candidate, _ time.Duration) float64 {
	return float64(c.InFlight) / float64(max(c.Capacity, 1))
}

// PowerOfTwo takes the less busy of two replicas drawn by lot.
func PowerOfTwo(may Filter, lot func(n int) int) Policy {
	return Policy{May: may, Cost: fullness, Two: true, Lot: lot}
}

// PeakEWMA takes, of two replicas drawn by lot, the one where less latency is
// pending: its peak latency for each request in flight. One that nothing is known
// of is tried once.
func PeakEWMA(may Filter, lot func(n int) int) Policy {
	return Policy{May: may, Cost: pending, Two: true, Lot: lot, Peak: true}
}

func pending(c *Candidate, _ time.Duration) float64 {
	if c.Peak == 0 && c.InFlight > 0 {
		const untried = float64(time.Hour)
		return untried * float64(c.InFlight)
	}
	return float64(c.Peak) * float64(c.InFlight+1)
}

// RoundRobin gives each replica its turn.
func RoundRobin(may Filter) Policy {
	return Policy{May: may, Cost: func(*Candidate, time.Duration) float64 { return 0 }}
}
