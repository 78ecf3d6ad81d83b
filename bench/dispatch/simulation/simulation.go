// Package simulation plays routers that give requests to replicas, event by event.
//
// Requests come at random (Poisson) to a random router, which gives each to a
// replica at once, by what it knows itself. After the network's delay the request
// joins the replica's queue, first come, first served. Service times are lognormal
// and shorter on faster replicas. One replica at a time, another one every three
// seconds on average, is five times as slow as it should be: it has a noisy
// neighbour.
//
// Run is a function of its configuration: the same seed gives the same latencies,
// and the same arrivals and neighbours for every rule.
package simulation

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/fairlead/fairlead/services/router/balancing"
)

const (
	meanService = 20 * time.Millisecond // at speed 1
	sigma       = 0.6                   // of the lognormal service times
	network     = 250 * time.Microsecond
	slowBy      = 5
	neighbour   = 3 * time.Second
	// warmUp is the part of the requests that is not counted.
	warmUp = 8
)

// Config says what is simulated.
type Config struct {
	// Speeds of the replicas; 1 is the mean service time of 20 ms.
	Speeds []float64
	// Routers that know nothing of each other.
	Routers int
	// Slots is how many requests a replica serves at a time.
	Slots int
	// Load is the part of what all replicas can do together.
	Load float64
	// Requests in all.
	Requests int
	// Rule is one of Rules.
	Rule string
	// Seed of all chance.
	Seed uint64
}

// replica is what really is.
type replica struct {
	speed float64
	slow  bool
	busy  int
	queue []*request
	// recent are the newest service times, for probes.
	recent []time.Duration
}

func (p *replica) load() int { return p.busy + len(p.queue) }

type request struct {
	sent     time.Duration
	router   *router
	replica  int
	inFlight int // of its router at its replica when it was sent, it counted
}

// router is what one router knows.
type router struct {
	candidates []balancing.Candidate
	estimates  []balancing.Estimate
	sent       [][]*request // in flight, oldest first
	turn       int
	pick       func() int
	probes     probes
}

// world is one run.
type world struct {
	cfg      Config
	now      time.Duration
	events   events
	count    uint64
	chance   *rand.Rand
	replicas []replica
	routers  []*router
	took     []time.Duration
}

// Run gives the latencies of all requests but the first, in the order in which
// they ended.
func Run(cfg Config) ([]time.Duration, error) {
	w := &world{cfg: cfg, chance: rand.New(rand.NewPCG(cfg.Seed, 1)), replicas: make([]replica, len(cfg.Speeds))}
	capacity := 0.0 // requests a second
	for i, speed := range cfg.Speeds {
		w.replicas[i].speed = speed
		capacity += speed * float64(cfg.Slots) / meanService.Seconds()
	}
	capacity *= 1 - (1-1.0/slowBy)/float64(len(cfg.Speeds))
	for range cfg.Routers {
		r := &router{
			candidates: make([]balancing.Candidate, len(cfg.Speeds)), estimates: make([]balancing.Estimate, len(cfg.Speeds)),
			sent: make([][]*request, len(cfg.Speeds)), turn: w.chance.IntN(len(cfg.Speeds)),
		}
		for i := range r.candidates {
			r.candidates[i] = balancing.Candidate{State: balancing.Ready, Capacity: cfg.Slots}
		}
		var known bool
		if r.pick, known = w.rule(r); !known {
			return nil, fmt.Errorf("there is no rule %q", cfg.Rule)
		}
		w.routers = append(w.routers, r)
	}
	w.disturb(rand.New(rand.NewPCG(cfg.Seed, 2)), -1)
	w.arrive(rand.New(rand.NewPCG(cfg.Seed, 3)), capacity*cfg.Load, 1)
	for len(w.took) < cfg.Requests {
		next := heap.Pop(&w.events).(event) //nolint:forcetypeassert // nothing else is in it
		w.now = next.at
		next.happens()
	}
	return w.took[cfg.Requests/warmUp:], nil
}

// in makes something happen after a time.
func (w *world) in(delay time.Duration, happens func()) {
	w.count++
	heap.Push(&w.events, event{at: w.now + delay, order: w.count, happens: happens})
}

func exponential(chance *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(chance.ExpFloat64() * float64(mean))
}

// disturb moves the noisy neighbour to another replica.
func (w *world) disturb(chance *rand.Rand, from int) {
	if from >= 0 {
		w.replicas[from].slow = false
	}
	to := chance.IntN(len(w.replicas))
	w.replicas[to].slow = true
	w.in(exponential(chance, neighbour), func() { w.disturb(chance, to) })
}

// arrive brings the nth request and those after it.
func (w *world) arrive(chance *rand.Rand, perSecond float64, n int) {
	w.send(w.routers[chance.IntN(len(w.routers))])
	if n < w.cfg.Requests {
		w.in(exponential(chance, time.Duration(float64(time.Second)/perSecond)), func() { w.arrive(chance, perSecond, n+1) })
	}
}

func (w *world) send(r *router) {
	i := r.pick()
	r.turn = i + 1
	r.candidates[i].InFlight++
	q := &request{sent: w.now, router: r, replica: i, inFlight: r.candidates[i].InFlight}
	r.sent[i] = append(r.sent[i], q)
	w.in(network, func() {
		if p := &w.replicas[i]; p.busy >= w.cfg.Slots {
			p.queue = append(p.queue, q)
			return
		}
		w.serve(q)
	})
}

func (w *world) serve(q *request) {
	p := &w.replicas[q.replica]
	p.busy++
	service := time.Duration(float64(w.meanOf(p)) * math.Exp(sigma*w.chance.NormFloat64()-sigma*sigma/2))
	w.in(service, func() {
		p.busy--
		p.note(service)
		if len(p.queue) > 0 {
			next := p.queue[0]
			p.queue = p.queue[1:]
			w.serve(next)
		}
		w.in(network, func() { w.answered(q) })
	})
}

// meanOf is the mean service time of a replica now.
func (w *world) meanOf(p *replica) time.Duration {
	mean := float64(meanService) / p.speed
	if p.slow {
		mean *= slowBy
	}
	return time.Duration(mean)
}

func (w *world) answered(q *request) {
	r, i := q.router, q.replica
	r.candidates[i].InFlight--
	for k, other := range r.sent[i] {
		if other == q {
			r.sent[i] = append(r.sent[i][:k], r.sent[i][k+1:]...)
			break
		}
	}
	took := w.now - q.sent
	r.estimates[i].Answered(w.clock(), took, q.inFlight, w.cfg.Slots)
	w.took = append(w.took, took)
}

// clock is the time as the router's code takes it.
func (w *world) clock() time.Time { return time.Unix(0, int64(w.now)) }

type event struct {
	at      time.Duration
	order   uint64
	happens func()
}

// events is a heap, the next one first.
type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) } //nolint:forcetypeassert // the heap's own
func (q *events) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}
