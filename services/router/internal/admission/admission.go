// Package admission lets requests through to the replicas of one version of an
// endpoint: each replica works on so many at a time, the others wait in one
// bounded queue, first come, first served.
//
// Guarantees: a replica never has more requests of this router than its
// capacity; nobody waits while a replica has a free place; nobody who waits is
// overtaken, except by a request that had been admitted before and whose replica
// could not be reached; a caller that leaves is out of the queue at once.
//
// A version that may have no replica holds requests longer: who comes while there
// is none, or before all of those have been let through, waits as long as it may
// be held, so that a start takes time and not answers.
//
// A Gate outlives route tables: Update gives it the replicas of a new table,
// and counts of requests in flight and the queue go on. All methods may be
// called by many goroutines.
package admission

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fairlead/fairlead/services/router/balancing"
)

// What Acquire answers when it cannot let a request through.
var (
	// ErrOverloaded: all places were taken for as long as the request may wait,
	// or the queue is full.
	ErrOverloaded = errors.New("all replicas are busy and the wait is over")
	// ErrNoReplicas: there was no ready replica that can be reached for as long as
	// the request may wait.
	ErrNoReplicas = errors.New("no replica is ready and the wait is over")
	// ErrMoved: the traffic went to another version while the request waited;
	// the choice is to be made again.
	ErrMoved = errors.New("the traffic has moved to another version")
	// ErrClosed: the version is gone; the choice is to be made again.
	ErrClosed = errors.New("the version is gone")
)

const (
	// The queue holds so many times the places of the ready replicas: at the
	// usual half second of waiting more could not be served in time unless
	// requests take less than 50 ms.
	queuePerPlace = 10
	// The queue holds at least so many, also while no replica is ready.
	minQueue = 100
	// While requests are held for a replica that starts, the queue holds so many:
	// what comes in a start of several seconds.
	heldQueue = 2000
	// A replica that could not be connected to gets nothing for so long, so that
	// a dead one, always idle, does not draw all requests.
	suspicion = 200 * time.Millisecond
)

// Replica is a replica as the route table has it.
type Replica struct {
	// Key tells it from every other one, now and in the past.
	Key string
	// Address is host:port.
	Address string
	State   balancing.State
	// Capacity is how many requests it takes at the same time.
	Capacity int
}

// slot is what the gate remembers of a replica. It lives as long as the replica
// is listed or has requests.
type slot struct {
	key     string
	address string
	// place is its index in candidates, -1 when it is not listed any more.
	place    int
	inFlight int
	// oldest and newest are the ends of the list of what is in flight.
	oldest, newest *Reservation
	estimate       balancing.Estimate
	// suspicions counts, so that only the newest one's end clears it.
	suspicions int
}

// Gate admits the requests of one version.
type Gate struct {
	policy balancing.Policy
	wake   func() // may be nil

	mu         sync.Mutex
	known      map[string]*slot
	slots      []*slot               // those listed
	candidates []balancing.Candidate // the same, as the policy sees them
	places     int                   // of ready replicas
	turn       int
	queue      queue
	holding    bool // somebody who waits is held
	closed     bool
	meter      meter
}

// NewGate has no replicas yet. It calls wake, which must not block nor use the
// gate, when the first request begins to wait for a replica that has to start;
// wake may be nil.
func NewGate(policy balancing.Policy, wake func()) *Gate {
	now := time.Now()
	return &Gate{policy: policy, wake: wake, known: map[string]*slot{}, meter: meter{since: now, last: now}}
}

// Patience is how long a request may wait.
type Patience struct {
	// Until is when it is to have a replica.
	Until time.Time
	// Held replaces Until while replicas are started because requests wait; zero
	// for versions that always have one.
	Held time.Time
}

// Acquire reserves a place on a replica, waiting for one as long as allowed or
// until the end of ctx. The reservation must be released.
func (g *Gate) Acquire(ctx context.Context, p Patience) (*Reservation, error) {
	return g.acquire(ctx, p, false)
}

// Reacquire is Acquire for a request that had a place on a replica that could
// not be reached. It keeps its rank: it waits before all others, also when the
// queue is full.
func (g *Gate) Reacquire(ctx context.Context, p Patience) (*Reservation, error) {
	return g.acquire(ctx, p, true)
}

func (g *Gate) acquire(ctx context.Context, p Patience, again bool) (*Reservation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil, ErrClosed
	}
	now := time.Now()
	g.meter.advance(now, g.queue.len)
	if !again {
		g.meter.arrivals++
	}
	// While somebody waits no place is free, so there is nobody to overtake here.
	if i, ok := g.pick(now); ok {
		r := g.reserve(i, now)
		g.mu.Unlock()
		return r, nil
	}
	wait, room, held := g.patience(p, now)
	if wait <= 0 || !again && g.queue.len >= room {
		err := g.refusal()
		g.mu.Unlock()
		return nil, err
	}
	w := &waiter{outcome: make(chan outcome, 1)}
	g.queue.add(w, again)
	first := held && !g.holding
	g.holding = g.holding || held
	g.mu.Unlock()
	if first && g.wake != nil {
		g.wake()
	}
	return g.wait(ctx, w, wait)
}

// patience tells how long a request may wait now, in how long a queue, and
// whether it is then held.
func (g *Gate) patience(p Patience, now time.Time) (wait time.Duration, room int, held bool) {
	room = max(minQueue, queuePerPlace*g.places)
	if p.Held.IsZero() || !g.holding && g.places > 0 {
		return p.Until.Sub(now), room, false
	}
	return p.Held.Sub(now), max(room, heldQueue), true
}

func (g *Gate) wait(ctx context.Context, w *waiter, wait time.Duration) (*Reservation, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case o := <-w.outcome:
		return o.reservation, o.err
	case <-timer.C:
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.leave(w) {
			return nil, g.refusal()
		}
		o := <-w.outcome // it was let through at the last moment
		return o.reservation, o.err
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.leave(w) {
			if o := <-w.outcome; o.reservation != nil {
				g.release(o.reservation)
			}
		}
		return nil, ctx.Err()
	}
}

// Update makes the replicas be those given. Who waits is let through where
// places have become free. A replica that is not listed any more finishes what
// it has; listed again, it has kept its count.
func (g *Gate) Update(replicas []Replica) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.meter.advance(time.Now(), g.queue.len)
	before := make(map[string]balancing.Candidate, len(g.slots))
	for i, s := range g.slots {
		before[s.key] = g.candidates[i]
		s.place = -1
	}
	g.slots, g.candidates = nil, nil
	g.places = 0
	for _, replica := range replicas {
		g.list(replica, before[replica.Key])
	}
	for key, s := range g.known {
		if s.place < 0 && s.inFlight == 0 {
			delete(g.known, key)
		}
	}
	g.admitWaiting()
}

// list adds one replica. before is how it was listed, if it was.
func (g *Gate) list(replica Replica, before balancing.Candidate) {
	s, ok := g.known[replica.Key]
	if !ok {
		s = &slot{key: replica.Key}
		g.known[replica.Key] = s
	}
	// A replica that has started anew has a right to be tried at once.
	suspect := before.Suspect && before.State == replica.State && s.address == replica.Address
	s.address = replica.Address
	s.place = len(g.slots)
	g.slots = append(g.slots, s)
	g.candidates = append(g.candidates, balancing.Candidate{
		State: replica.State, Suspect: suspect, InFlight: s.inFlight, Capacity: replica.Capacity,
	})
	if replica.State == balancing.Ready {
		g.places += replica.Capacity
	}
}

// Disperse sends everybody who waits away with ErrMoved.
func (g *Gate) Disperse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sendAway(ErrMoved)
}

// Close sends everybody who waits away with ErrClosed, and everybody who comes.
// Requests in flight go on.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.sendAway(ErrClosed)
}

// Load is how busy a version is, seen from this router.
type Load struct {
	// Queued is how many requests wait.
	Queued int
	// InFlight is how many requests each listed replica works on, by key.
	InFlight map[string]int
}

// Load gives the load now.
func (g *Gate) Load() Load {
	g.mu.Lock()
	defer g.mu.Unlock()
	load := Load{Queued: g.queue.len, InFlight: make(map[string]int, len(g.slots))}
	for _, s := range g.slots {
		load.InFlight[s.key] = s.inFlight
	}
	return load
}

// leave takes a request out of the queue and says whether it was in it.
func (g *Gate) leave(w *waiter) bool {
	g.meter.advance(time.Now(), g.queue.len)
	was := g.queue.remove(w)
	g.holding = g.holding && g.queue.len > 0
	return was
}

// pick chooses by what is known of the replicas now.
func (g *Gate) pick(now time.Time) (index int, ok bool) {
	for i, s := range g.slots {
		var oldest time.Duration
		if s.oldest != nil {
			oldest = now.Sub(s.oldest.sent)
		}
		g.policy.See(&g.candidates[i], &s.estimate, oldest, now)
	}
	return g.policy.Pick(g.candidates, g.turn)
}

func (g *Gate) reserve(i int, now time.Time) *Reservation {
	g.meter.busy++
	s := g.slots[i]
	s.inFlight++
	g.candidates[i].InFlight = s.inFlight
	g.turn = i + 1
	r := &Reservation{gate: g, slot: s, address: s.address, sent: now, rank: s.inFlight, capacity: g.candidates[i].Capacity}
	s.add(r)
	return r
}

// admitWaiting lets through whom there is a place for. The meter is up to date.
func (g *Gate) admitWaiting() {
	for g.queue.len > 0 {
		now := g.meter.last
		i, ok := g.pick(now)
		if !ok {
			return
		}
		g.queue.pop().outcome <- outcome{reservation: g.reserve(i, now)}
	}
	g.holding = false
}

func (g *Gate) sendAway(err error) {
	g.meter.advance(time.Now(), g.queue.len)
	for g.queue.len > 0 {
		g.queue.pop().outcome <- outcome{err: err}
	}
	g.holding = false
}

func (g *Gate) refusal() error {
	for i := range g.candidates {
		if balancing.Reachable(&g.candidates[i]) {
			return ErrOverloaded
		}
	}
	return ErrNoReplicas
}

func (g *Gate) release(r *Reservation) {
	if r.released {
		return
	}
	r.released = true
	g.meter.advance(time.Now(), g.queue.len)
	g.meter.busy--
	s := r.slot
	s.inFlight--
	s.remove(r)
	if r.answered {
		s.estimate.Answered(g.meter.last, g.meter.last.Sub(r.sent), r.rank, r.capacity)
	}
	if s.place >= 0 {
		g.candidates[s.place].InFlight = s.inFlight
	} else if s.inFlight == 0 && g.known[s.key] == s {
		delete(g.known, s.key)
	}
	g.admitWaiting()
}

func (g *Gate) suspect(s *slot) {
	if s.place < 0 {
		return
	}
	g.candidates[s.place].Suspect = true
	s.suspicions++
	mine := s.suspicions
	time.AfterFunc(suspicion, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if s.suspicions == mine && s.place >= 0 {
			g.candidates[s.place].Suspect = false
			g.meter.advance(time.Now(), g.queue.len)
			g.admitWaiting()
		}
	})
}
