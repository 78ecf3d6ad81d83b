package batching

import "time"

// Limits bound a batch.
type Limits struct {
	// MaxSize is the most rows of a batch. A request that alone has more is run alone.
	MaxSize int
	// MaxDelay is how long the oldest request of a batch may wait for others.
	MaxDelay time.Duration
}

// item is what a decision needs to know of a waiting request.
type item struct {
	// kind is equal for requests that may share a batch.
	kind string
	rows int
	// arrived is when it came, deadline when its answer is of no use any more; zero for never.
	arrived, deadline time.Time
}

// pace is how long runs take.
type pace struct {
	// quickest is the shortest run so far, usual what one takes of late; both are 0 before the first.
	quickest, usual time.Duration
}

// add takes a run into account.
func (p pace) add(took time.Duration) pace {
	if p.usual == 0 {
		return pace{quickest: took, usual: took}
	}
	// Each run counts an eighth: a few slow ones in a row are enough to leave earlier.
	return pace{quickest: min(p.quickest, took), usual: p.usual + (took-p.usual)/8}
}

// decision is what to do with waiting requests, by their indexes in order of arrival.
type decision struct {
	// late can't be answered in time.
	late []int
	// run is the next batch; none when it is better to wait.
	run []int
	// wake is when to decide again if nothing else happens; zero for never.
	wake time.Time
}

// decide says which of the waiting requests, in order of arrival, run now as one batch.
//
// A batch has requests of one kind, in order of arrival. It leaves when it is full, when its oldest request has waited for
// MaxDelay, and when one of its requests could else miss its deadline. A request that not even the quickest run so far could
// answer in time is late.
func decide(waiting []item, now time.Time, pace pace, limits Limits) decision {
	var d decision
	wakeAt := func(t time.Time) {
		if d.wake.IsZero() || t.Before(d.wake) {
			d.wake = t
		}
	}
	var kinds []string
	batches := map[string]*batch{}
	for i, w := range waiting {
		if w.isLate(now, pace) {
			d.late = append(d.late, i)
			continue
		}
		b := batches[w.kind]
		if b == nil {
			b = &batch{leaves: w.arrived.Add(limits.MaxDelay)}
			batches[w.kind] = b
			kinds = append(kinds, w.kind)
		}
		b.add(i, w, pace, limits)
	}
	for _, kind := range kinds {
		b := batches[kind]
		if b.full || !b.leaves.After(now) {
			d.run, d.wake = b.members, time.Time{}
			return d
		}
		wakeAt(b.leaves)
	}
	return d
}

func (w item) isLate(now time.Time, pace pace) bool {
	return !w.deadline.IsZero() && !now.Add(pace.quickest).Before(w.deadline)
}

// batch is one that forms.
type batch struct {
	members []int
	rows    int
	full    bool
	// leaves is when it must go, full or not.
	leaves time.Time
}

func (b *batch) add(i int, w item, pace pace, limits Limits) {
	if b.full {
		return
	}
	if len(b.members) > 0 && b.rows+w.rows > limits.MaxSize {
		b.full = true
		return
	}
	b.members = append(b.members, i)
	b.rows += w.rows
	b.full = b.rows >= limits.MaxSize
	if !w.deadline.IsZero() {
		// With time for two runs left one is sure to be in time, or nearly.
		if start := w.deadline.Add(-2 * pace.usual); start.Before(b.leaves) {
			b.leaves = start
		}
	}
}
