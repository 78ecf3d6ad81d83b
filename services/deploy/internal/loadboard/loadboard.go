// Package loadboard brings together what routers report of the load of versions.
//
// It keeps a minute of it in memory for each version that is asked for. While no
// router reports, nothing is added: the load is then unknown, not zero. A Board
// is safe for concurrent use.
package loadboard

import (
	"sync"
	"time"

	"github.com/fairlead/fairlead/services/deploy/internal/scaling"
)

// silence is after which a router that reports nothing is left out.
const silence = 3 * time.Second

// Key names a version.
type Key struct {
	// Endpoint is the endpoint's resource name.
	Endpoint string
	// Version is the last part of the version's name.
	Version string
}

// Report is the load of one version as one router sees it.
type Report struct {
	Key Key
	// Busy and Queued are averages over the time since the report before.
	Busy, Queued float64
	// Waiting is how many wait now.
	Waiting int
	// Arrivals is another number than in the report before when requests came.
	Arrivals int64
}

// Board is what all routers report.
type Board struct {
	urgent chan struct{}

	mu       sync.Mutex
	routers  map[string]*router
	versions map[Key]scaling.History
}

type router struct {
	at       time.Time
	loads    map[Key]Report
	arrivals map[Key]int64
	arrived  map[Key]bool // since the last sample
}

// New makes a board that knows nothing.
func New() *Board {
	return &Board{urgent: make(chan struct{}, 1), routers: map[string]*router{}, versions: map[Key]scaling.History{}}
}

// Report takes in everything that one router reports at one time.
func (b *Board) Report(name string, reports []Report, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.routers[name]
	if !ok {
		r = &router{arrivals: map[Key]int64{}, arrived: map[Key]bool{}}
		b.routers[name] = r
	}
	r.at, r.loads = now, make(map[Key]Report, len(reports))
	waiting := false
	for _, load := range reports {
		r.loads[load.Key] = load
		if load.Arrivals != r.arrivals[load.Key] {
			r.arrivals[load.Key], r.arrived[load.Key] = load.Arrivals, true
		}
		waiting = waiting || load.Waiting > 0
	}
	if waiting {
		select {
		case b.urgent <- struct{}{}:
		default:
		}
	}
}

// Left forgets a router.
func (b *Board) Left(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.routers, name)
}

// Urgent is signalled when requests wait somewhere.
func (b *Board) Urgent() <-chan struct{} { return b.urgent }

// Sample adds the load of now to the history of the given versions, and forgets
// all others.
func (b *Board) Sample(keys []Key, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.versions
	b.versions = make(map[Key]scaling.History, len(keys))
	heard := b.dropSilent(now)
	for _, key := range keys {
		h := known[key]
		if heard {
			h = h.Add(b.load(key), now)
		}
		b.versions[key] = h
	}
	for _, r := range b.routers {
		clear(r.arrived)
	}
}

// dropSilent forgets routers that are gone, and tells whether any is left.
func (b *Board) dropSilent(now time.Time) bool {
	for name, r := range b.routers {
		if now.Sub(r.at) > silence {
			delete(b.routers, name)
		}
	}
	return len(b.routers) > 0
}

func (b *Board) load(key Key) scaling.Load {
	var sum scaling.Load
	for _, r := range b.routers {
		l := r.loads[key]
		sum.Busy += l.Busy
		sum.Queued += l.Queued
		sum.Waiting += l.Waiting
		sum.Arrived = sum.Arrived || r.arrived[key]
	}
	return sum
}

// History gives what is known of a version's load.
func (b *Board) History(key Key) scaling.History {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.versions[key]
}
