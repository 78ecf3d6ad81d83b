package admission

import "time"

// Usage is how busy a version was over a stretch of time, seen from this router.
type Usage struct {
	// Busy is how many requests were being worked on, on average.
	Busy float64
	// Queued is how many waited for a replica, on average.
	Queued float64
	// Waiting is how many wait now.
	Waiting int
	// Arrivals is how many have come since the gate was made.
	Arrivals int64
}

// Idle tells whether nothing was going on.
func (u Usage) Idle() bool { return u.Busy == 0 && u.Queued == 0 && u.Waiting == 0 }

// meter adds up requests over time. The gate's lock guards it.
type meter struct {
	since, last time.Time
	busy        int           // requests in flight now
	busyTime    time.Duration // requests in flight, each for as long as it was
	queuedTime  time.Duration
	arrivals    int64
}

// advance counts the time since the last change, in which so many waited.
func (m *meter) advance(now time.Time, queued int) {
	if d := now.Sub(m.last); d > 0 {
		m.busyTime += d * time.Duration(m.busy)
		m.queuedTime += d * time.Duration(queued)
		m.last = now
	}
}

// Measure gives the usage since it was called last.
func (g *Gate) Measure(now time.Time) Usage {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &g.meter
	m.advance(now, g.queue.len)
	u := Usage{Waiting: g.queue.len, Arrivals: m.arrivals}
	if span := now.Sub(m.since); span > 0 {
		u.Busy = float64(m.busyTime) / float64(span)
		u.Queued = float64(m.queuedTime) / float64(span)
	}
	m.since, m.busyTime, m.queuedTime = now, 0, 0
	return u
}
