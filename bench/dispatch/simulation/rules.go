package simulation

import (
	"slices"
	"time"

	"github.com/fairlead/fairlead/services/router/balancing"
)

// Rules are the names of the rules: those of the router, and others to compare
// them with. Weighted least in flight is told the true speeds; the oracle sees
// every queue and every speed.
func Rules() []string {
	return []string{"round-robin", "weighted-least-in-flight", "p2c", "peak-ewma", "prequal", "expected-completion", "oracle"}
}

// rule gives how r chooses.
func (w *world) rule(r *router) (pick func() int, known bool) {
	by := func(p balancing.Policy) func() int {
		return func() int {
			for i := range r.candidates {
				var oldest time.Duration
				if len(r.sent[i]) > 0 {
					oldest = w.now - r.sent[i][0].sent
				}
				p.See(&r.candidates[i], &r.estimates[i], oldest, w.clock())
			}
			i, _ := p.Pick(r.candidates, r.turn)
			return i
		}
	}
	switch w.cfg.Rule {
	case "round-robin":
		return by(balancing.RoundRobin(balancing.Reachable)), true
	case "p2c":
		return by(balancing.PowerOfTwo(balancing.Reachable, w.chance.IntN)), true
	case "peak-ewma":
		return by(balancing.PeakEWMA(balancing.Reachable, w.chance.IntN)), true
	case "expected-completion":
		return by(balancing.ExpectedCompletion(balancing.Reachable)), true
	case "weighted-least-in-flight":
		return func() int {
			return w.least(func(i int) float64 { return float64(r.candidates[i].InFlight+1) / w.replicas[i].speed })
		}, true
	case "oracle":
		return func() int {
			return w.least(func(i int) float64 {
				p := &w.replicas[i]
				return float64(w.meanOf(p)) * max(1, float64(p.load()+1)/float64(w.cfg.Slots))
			})
		}, true
	case "prequal":
		return func() int { return w.prequal(r) }, true
	}
	return nil, false
}

// least takes one of the cheapest replicas by lot.
func (w *world) least(cost func(i int) float64) int {
	best, least, equals := 0, cost(0), 1
	for i := 1; i < len(w.replicas); i++ {
		switch c := cost(i); {
		case c < least:
			best, least, equals = i, c, 1
		case c == least:
			equals++
			if w.chance.IntN(equals) == 0 {
				best = i
			}
		}
	}
	return best
}

// What follows is Prequal as its paper has it: three probes a request, a pool of
// 16 answers that are used twice and at most a second old, replicas above the 84th
// percentile of requests in flight taken only when all are, else the one with the
// least latency.
const (
	probesEach  = 3
	poolSize    = 16
	probeAge    = time.Second
	probeUses   = 2
	hotQuantile = 0.84
	loadsKept   = 128
	recentKept  = 16
)

type probe struct {
	replica, load, uses int
	latency, at         time.Duration
}

type probes struct {
	pool      []probe
	loads     []int
	dropWorst bool
}

// note keeps a service time for the probes' answers.
func (p *replica) note(service time.Duration) {
	p.recent = append(p.recent, service)
	if len(p.recent) > recentKept {
		p.recent = p.recent[1:]
	}
}

// latency is what a replica answers a probe: the median of what a request that
// came now would take.
func (p *replica) latency(slots int) time.Duration {
	if len(p.recent) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(p.recent))
	return time.Duration(float64(sorted[len(sorted)/2]) * max(1, float64(p.load()+1)/float64(slots)))
}

func (w *world) probe(r *router) {
	i := w.chance.IntN(len(w.replicas))
	w.in(2*network, func() {
		p := &w.replicas[i]
		answer := probe{replica: i, load: p.load(), latency: p.latency(w.cfg.Slots), at: w.now}
		k := &r.probes
		k.loads = append(k.loads, answer.load)
		if len(k.loads) > loadsKept {
			k.loads = k.loads[1:]
		}
		k.pool = slices.DeleteFunc(k.pool, func(p probe) bool { return p.replica == i })
		if len(k.pool) == poolSize {
			k.pool = k.pool[1:]
		}
		k.pool = append(k.pool, answer)
	})
}

func (w *world) prequal(r *router) int {
	for range probesEach {
		w.probe(r)
	}
	k := &r.probes
	k.pool = slices.DeleteFunc(k.pool, func(p probe) bool { return w.now-p.at > probeAge })
	if len(k.pool) < 2 {
		return w.chance.IntN(len(w.replicas))
	}
	loads := slices.Sorted(slices.Values(k.loads))
	hot := loads[int(hotQuantile*float64(len(loads)-1))]
	best := slices.Index(k.pool, slices.MinFunc(k.pool, func(a, b probe) int { return compare(a, b, hot) }))
	chosen := &k.pool[best]
	replica := chosen.replica
	chosen.load++
	if chosen.uses++; chosen.uses == probeUses {
		k.pool = slices.Delete(k.pool, best, best+1)
	}
	if len(k.pool) > 2 {
		drop := 0 // the oldest
		if k.dropWorst = !k.dropWorst; k.dropWorst {
			drop = slices.Index(k.pool, slices.MaxFunc(k.pool, func(a, b probe) int { return compare(a, b, hot) }))
		}
		k.pool = slices.Delete(k.pool, drop, drop+1)
	}
	return replica
}

// compare is below 0 when a is to be taken rather than b.
func compare(a, b probe, hot int) int {
	switch aHot, bHot := a.load > hot, b.load > hot; {
	case aHot && bHot:
		return a.load - b.load
	case aHot:
		return 1
	case bHot:
		return -1
	}
	return int(a.latency - b.latency)
}
