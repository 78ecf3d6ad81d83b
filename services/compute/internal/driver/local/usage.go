package local

import (
	"context"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/proc"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
)

const (
	// samplePause is between two looks at what replicas use.
	samplePause = 5 * time.Second
	// showUsageEvery bounds how often a replica's figures alone make news.
	showUsageEvery = 10 * time.Second
	// newsShare is by how much, one in so many, a figure must differ to be news.
	newsShare = 20
)

// sample looks now and then at what all replicas use, with one pass over the
// process table, until ctx ends.
func (d *Driver) sample(ctx context.Context) {
	tick := time.NewTicker(samplePause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		news := false
		now := time.Now()
		for p, usage := range d.measure() {
			news = p.use(usage, now) || news
		}
		if news {
			d.changed()
		}
	}
}

// measure gives what running processes use now.
func (d *Driver) measure() map[*process]replica.Usage {
	sessions := proc.Sessions()
	out := map[*process]replica.Usage{}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.processes {
		p.mu.Lock()
		session, running := p.session, p.seen.Phase != replica.Ended
		p.mu.Unlock()
		if u, ok := sessions[session]; ok && running && session != 0 {
			out[p] = replica.Usage{MemoryBytes: u.RSSBytes, CPUTime: u.CPUTime}
		}
	}
	return out
}

// Usage gives what each replica uses now.
func (d *Driver) Usage() map[string]replica.Usage {
	out := map[string]replica.Usage{}
	for p, usage := range d.measure() {
		p.mu.Lock()
		p.peak = max(p.peak, usage.MemoryBytes)
		usage.MemoryPeakBytes = p.peak
		p.mu.Unlock()
		out[p.launch.Replica] = usage
	}
	return out
}

// use takes a look's figures in. It says whether they are shown: not oftener
// than worth a message to everybody who watches.
func (p *process) use(u replica.Usage, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peak = max(p.peak, u.MemoryBytes)
	u.MemoryPeakBytes = p.peak
	shown := p.seen.Usage
	if now.Sub(p.usageShown) < showUsageEvery || !(differs(shown.MemoryBytes, u.MemoryBytes) || differs(int64(shown.CPUTime), int64(u.CPUTime))) {
		return false
	}
	p.seen.Usage, p.usageShown = u, now
	return true
}

func differs(shown, now int64) bool {
	return max(shown-now, now-shown) > shown/newsShare
}
