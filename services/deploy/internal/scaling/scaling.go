// Package scaling decides how many replicas a version has, from the load that
// routers see.
//
// It is pure: a decision follows from the settings, the replicas there are, the
// loads of the last minute and the time. It goes up eagerly, on the load of the
// last two seconds, and down conservatively, to what the busiest stretch of the
// last minute needed, and only when that whole minute is known. A version whose
// minimum is 0 ends its last replica when no request has come for a while, and
// starts one as soon as a request waits. Values may be shared among goroutines.
package scaling

import (
	"fmt"
	"math"
	"time"
)

const (
	// upWindow is short, so that more replicas come within about a second.
	upWindow = 2 * time.Second
	// DownWindow is how long fewer replicas must have been enough.
	DownWindow = time.Minute
	// peakWindow smooths the load before its peak is taken, so that a moment's
	// coincidence of requests does not hold replicas for a minute.
	peakWindow = 6 * time.Second
	// slack keeps a load that is a whole number of replicas, give or take the
	// noise of measuring, from asking for one more.
	slack = 0.05
	// gap is the longest time between two samples that still count as connected.
	gap = 5 * time.Second
)

// Settings are those of one version.
type Settings struct {
	Min, Max int
	// Target is the wanted utilization, above 0; 1 is full.
	Target float64
	// Concurrency is how many requests one replica works on at the same time.
	Concurrency int
	// Refresh is the time between two changes, except from zero.
	Refresh time.Duration
	// Idle is how long there must be no request before the last replica ends.
	Idle time.Duration
}

// Load is what all routers together have seen.
type Load struct {
	// Busy and Queued are averages over the time since the sample before.
	Busy, Queued float64
	// Waiting is how many wait now.
	Waiting int
	// Arrived tells whether a request has come since the sample before.
	Arrived bool
}

// Replicas are those of one version.
type Replicas struct {
	// Desired is what was decided last.
	Desired int
	// Ready answer now.
	Ready int
	// Changed is when Desired last changed.
	Changed time.Time
	// Began is when the version began to run what it runs.
	Began time.Time
}

// Decision is how many replicas there are to be.
type Decision struct {
	Desired int
	// Explanation says why, with the figures.
	Explanation string
}

// Decide decides.
func Decide(s Settings, r Replicas, h History, now time.Time) Decision {
	switch {
	case r.Desired < s.Min:
		return s.bounded(r.Desired, s.Min, fmt.Sprintf("the minimum is %d", s.Min))
	case r.Desired > s.Max:
		return s.bounded(r.Desired, s.Max, fmt.Sprintf("the maximum is %d", s.Max))
	case !h.fresh(now):
		return Decision{Desired: r.Desired, Explanation: fmt.Sprintf("%s: no router tells the load", count(r.Desired))}
	}
	load := h.average(upWindow)
	if r.Desired == 0 {
		if load.Waiting == 0 {
			return Decision{Explanation: "0 replicas: no request waits"}
		}
		return s.bounded(0, max(1, s.need(load)), waiting(load.Waiting)+" and there is no replica")
	}
	if need := max(s.need(load), min(s.Min, 1)); need > r.Desired {
		if r.Desired == s.Max || s.tooSoon(r, now) {
			return Decision{Desired: r.Desired, Explanation: s.describe(r.Desired, load)}
		}
		return s.bounded(r.Desired, need, s.over(r.Desired, load))
	}
	return s.down(r, h, load, now)
}

// down decides whether fewer are enough.
func (s Settings) down(r Replicas, h History, load Load, now time.Time) Decision {
	same := Decision{Desired: r.Desired, Explanation: s.describe(r.Desired, load)}
	if s.Min == 0 && now.Sub(h.idleSince(now)) >= s.Idle && !within(s.Idle, r.Began, now) {
		return Decision{Explanation: fmt.Sprintf("%d → 0: no request for %s", r.Desired, s.Idle)}
	}
	if !h.covers(DownWindow, now) || s.tooSoon(r, now) {
		return same
	}
	peak := h.peak(DownWindow)
	need := max(s.need(peak), s.Min, 1)
	if need >= r.Desired {
		return same
	}
	return s.bounded(r.Desired, need, fmt.Sprintf("%.1f busy + %.1f queued was the most in the last %s, which %s can take at %g per replica",
		peak.Busy, peak.Queued, DownWindow, count(need), s.perReplica()))
}

// tooSoon tells whether the last change was less than a period ago.
func (s Settings) tooSoon(r Replicas, now time.Time) bool { return within(s.Refresh, r.Changed, now) }

// within tells whether t is less than d ago. What lies ahead, because the clock
// was set back, is not.
func within(d time.Duration, t, now time.Time) bool {
	ago := now.Sub(t)
	return ago >= 0 && ago < d
}

// need is how many replicas a load takes.
func (s Settings) need(l Load) int {
	n := math.Ceil((l.Busy+l.Queued)/s.perReplica() - slack)
	return int(min(max(n, 0), math.MaxInt32))
}

// perReplica is the load that one replica is to have.
func (s Settings) perReplica() float64 { return s.Target * float64(max(s.Concurrency, 1)) }

func (s Settings) bounded(from, to int, why string) Decision {
	limited := min(max(to, s.Min), s.Max)
	if limited < to {
		why += fmt.Sprintf("; %d would be needed, the maximum is %d", to, s.Max)
	}
	return Decision{Desired: limited, Explanation: fmt.Sprintf("%d → %d: %s", from, limited, why)}
}

func (s Settings) over(replicas int, l Load) string {
	return fmt.Sprintf("%.1f busy + %.1f queued over %s is %.1f per replica against %g",
		l.Busy, l.Queued, count(replicas), (l.Busy+l.Queued)/float64(replicas), s.perReplica())
}

func (s Settings) describe(replicas int, l Load) string {
	text := fmt.Sprintf("%s: %s", count(replicas), s.over(replicas, l))
	if s.need(l) > s.Max {
		text += fmt.Sprintf("; %d would be needed, the maximum is %d", s.need(l), s.Max)
	}
	return text
}

// Utilization is the part of the ready replicas' places that a load takes.
func (s Settings) Utilization(l Load, ready int) float64 {
	if ready == 0 {
		return 0
	}
	return (l.Busy + l.Queued) / float64(ready*max(s.Concurrency, 1))
}

func count(replicas int) string {
	if replicas == 1 {
		return "1 replica"
	}
	return fmt.Sprintf("%d replicas", replicas)
}

func waiting(n int) string {
	if n == 1 {
		return "1 request waits"
	}
	return fmt.Sprintf("%d requests wait", n)
}
