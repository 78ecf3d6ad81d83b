package scaling

import (
	"slices"
	"time"
)

// History is the load of the last minute. The zero value knows nothing.
type History struct {
	samples []sample // oldest first
	// active is when a request was last seen, or when watching began.
	active time.Time
}

type sample struct {
	at   time.Time
	span time.Duration // since the sample before
	load Load
}

// Add gives the history with one more sample. Time that was not watched begins
// the history anew.
func (h History) Add(l Load, at time.Time) History {
	s := sample{at: at, load: l}
	if last := len(h.samples) - 1; last >= 0 {
		s.span = at.Sub(h.samples[last].at)
	}
	if s.span > gap || s.span < 0 {
		h, s.span = History{}, 0
	}
	if h.active.IsZero() || l.Arrived || l.Waiting > 0 || l.Busy+l.Queued > 0 {
		h.active = at
	}
	old := 0
	for old < len(h.samples) && at.Sub(h.samples[old].at) > DownWindow+peakWindow {
		old++
	}
	h.samples = append(slices.Clone(h.samples[old:]), s)
	return h
}

// Latest is the average load of the last two seconds, for display.
func (h History) Latest() Load { return h.average(upWindow) }

// fresh tells whether the load is known now.
func (h History) fresh(now time.Time) bool {
	last := len(h.samples) - 1
	return last >= 0 && now.Sub(h.samples[last].at) <= gap
}

// covers tells whether everything since then is known.
func (h History) covers(window time.Duration, now time.Time) bool {
	return len(h.samples) > 0 && now.Sub(h.samples[0].at) >= window
}

// idleSince is when the last request was seen; now when that is not known.
func (h History) idleSince(now time.Time) time.Time {
	if h.active.IsZero() {
		return now
	}
	return h.active
}

// average is the load of the last samples that together span a window.
func (h History) average(window time.Duration) Load {
	return h.averageUpTo(len(h.samples)-1, window)
}

func (h History) averageUpTo(last int, window time.Duration) Load {
	if last < 0 {
		return Load{}
	}
	sum, total := Load{}, time.Duration(0)
	for i := last; i >= 0 && (i == last || total < window); i-- {
		s := h.samples[i]
		// The first sample of all has no span; it counts when there is no other.
		weight := s.span.Seconds()
		sum.Busy += s.load.Busy * weight
		sum.Queued += s.load.Queued * weight
		total += s.span
	}
	now := h.samples[last].load
	if total == 0 {
		return now
	}
	sum.Busy /= total.Seconds()
	sum.Queued /= total.Seconds()
	sum.Waiting, sum.Arrived = now.Waiting, now.Arrived
	return sum
}

// peak is the largest average load of the last window.
func (h History) peak(window time.Duration) Load {
	var best Load
	last := len(h.samples) - 1
	for i := last; i >= 0 && h.samples[last].at.Sub(h.samples[i].at) <= window; i-- {
		if l := h.averageUpTo(i, peakWindow); i == last || l.Busy+l.Queued > best.Busy+best.Queued {
			best = l
		}
	}
	return best
}
