// Package figure is what is counted of requests and what is concluded from it:
// sums over versions, percentiles, comparisons and series over time. It is pure;
// adding is exact, in any order.
package figure

import (
	"slices"
	"time"

	"github.com/fairlead/fairlead/platform/histogram"
)

// Key says what figures are of.
type Key struct {
	// Endpoint is its full name; empty for requests to none that exists.
	Endpoint string
	UID      string
	// Version is empty for requests that reached none.
	Version string
	Code    int
}

// Figures are counts and durations of requests.
type Figures struct {
	Requests, RequestBytes, ResponseBytes, Dropped int64

	Latency, QueueWait, Execution histogram.Histogram
}

// Merge adds what other counts.
func (f *Figures) Merge(other *Figures) {
	f.Requests += other.Requests
	f.RequestBytes += other.RequestBytes
	f.ResponseBytes += other.ResponseBytes
	f.Dropped += other.Dropped
	f.Latency.Merge(&other.Latency)
	f.QueueWait.Merge(&other.QueueWait)
	f.Execution.Merge(&other.Execution)
}

// Entry is figures of one step of time.
type Entry struct {
	Start time.Time
	Step  time.Duration
	Key   Key
	*Figures
}

// Filter says which entries are wanted. What is empty does not restrict, except
// that To is always needed.
type Filter struct {
	Endpoint, UID string
	Versions      []string
	From, To      time.Time
}

// Wants says whether an entry is of what is wanted, and whether any of its time is.
func (f Filter) Wants(start time.Time, step time.Duration, key Key) bool {
	return start.Before(f.To) && start.Add(step).After(f.From) &&
		(f.Endpoint == "" || f.Endpoint == key.Endpoint) &&
		(f.UID == "" || f.UID == key.UID) &&
		(len(f.Versions) == 0 || slices.Contains(f.Versions, key.Version))
}

// Set is figures by step and key, each once.
type Set map[time.Time]map[Key]*Figures

// Add adds figures to the step that start is in. It keeps no part of f.
func (s Set) Add(start time.Time, step time.Duration, key Key, f *Figures) {
	at := start.UTC().Truncate(step)
	of := s[at]
	if of == nil {
		of = map[Key]*Figures{}
		s[at] = of
	}
	own := of[key]
	if own == nil {
		own = &Figures{}
		of[key] = own
	}
	own.Merge(f)
}

// Span gives the starts of the first and the last step; ok is false without any.
func (s Set) Span() (first, last time.Time, ok bool) {
	for at := range s {
		if !ok || at.Before(first) {
			first = at
		}
		if !ok || at.After(last) {
			last = at
		}
		ok = true
	}
	return first, last, ok
}
