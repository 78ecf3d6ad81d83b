package reconciler

import (
	"sync"
	"time"
)

// sights remembers when workloads that are to go were first seen so, by this
// process. A time that was stored may be far ahead, from before the clock was set
// back; these are not, since they are told apart by a clock that only runs on. Its
// methods may be called from anywhere.
type sights struct {
	mu    sync.Mutex
	first map[string]time.Time
}

func newSights() *sights { return &sights{first: map[string]time.Time{}} }

// since gives the earlier one of the time that was stored and the first sight.
func (s *sights) since(workload string, stored, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := s.first[workload]
	if !ok {
		first = now
		s.first[workload] = now
	}
	if stored.Before(first) {
		return stored
	}
	return first
}

// forget is told when a workload is gone.
func (s *sights) forget(workload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.first, workload)
}
