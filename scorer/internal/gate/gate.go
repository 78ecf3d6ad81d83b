// Package gate counts the requests inside a scorer, and lets no more in once the scorer drains.
//
// A Gate may be used from any goroutine.
package gate

import "sync"

// Gate is open until Close.
type Gate struct {
	mu     sync.Mutex
	inside int
	shut   bool
	empty  chan struct{} // closed when shut and nobody is inside
}

// New makes an open gate.
func New() *Gate { return &Gate{empty: make(chan struct{})} }

// Enter reports whether the request may go on; then Leave must follow.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.inside++
	return true
}

// Inside gives how many requests are inside.
func (g *Gate) Inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside
}

// Leave says that a request that was let in has ended.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.shut && g.inside == 0 {
		close(g.empty)
	}
}

// Close lets nobody in any more. The channel closes when the last has left.
func (g *Gate) Close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.shut = true
		if g.inside == 0 {
			close(g.empty)
		}
	}
	return g.empty
}

// IsShut reports whether the gate has been closed.
func (g *Gate) IsShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}
