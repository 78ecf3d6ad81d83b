package reconciler

import "time"

// schedule says when to look at which endpoint. It belongs to one goroutine.
type schedule struct{ when map[string]time.Time }

func newSchedule() *schedule { return &schedule{when: map[string]time.Time{}} }

// at makes a key due at t, or sooner when it was.
func (s *schedule) at(key string, t time.Time) {
	if old, ok := s.when[key]; !ok || t.Before(old) {
		s.when[key] = t
	}
}

// next takes out the key that has been due the longest and is not active.
func (s *schedule) next(now time.Time, active map[string]bool) (string, bool) {
	best, ok := "", false
	for key, t := range s.when {
		if !active[key] && !t.After(now) && (!ok || t.Before(s.when[best])) {
			best, ok = key, true
		}
	}
	delete(s.when, best)
	return best, ok
}

// timer fires when the next key that is not active becomes due.
func (s *schedule) timer(now time.Time, active map[string]bool) *time.Timer {
	wait := time.Hour
	for key, t := range s.when {
		if !active[key] {
			wait = min(wait, max(t.Sub(now), 0))
		}
	}
	return time.NewTimer(wait)
}
