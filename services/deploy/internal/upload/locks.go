package upload

import (
	"context"
	"sync"
)

// locks is one lock for each name that is in use.
type locks struct {
	mu   *sync.Mutex
	held map[string]*slot
}

// slot is a lock that can be waited for with a context.
type slot struct {
	token chan struct{}
	users int
}

func newLocks() locks { return locks{mu: &sync.Mutex{}, held: map[string]*slot{}} }

// lock waits for the name and returns its release.
func (l locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	l.mu.Lock()
	s := l.held[name]
	if s == nil {
		s = &slot{token: make(chan struct{}, 1)}
		l.held[name] = s
	}
	s.users++
	l.mu.Unlock()
	select {
	case s.token <- struct{}{}:
		return func() { <-s.token; l.leave(name, s) }, nil
	case <-ctx.Done():
		l.leave(name, s)
		return nil, ctx.Err()
	}
}

func (l locks) leave(name string, s *slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(l.held, name)
	}
}
