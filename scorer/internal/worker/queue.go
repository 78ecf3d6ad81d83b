package worker

import (
	"context"
	"slices"
	"sync"
)

// queue lends idle workers to requests, first come, first served. A worker is idle, lent, or gone; one that is lent is in doubt when
// it may well be replaced before it comes back.
type queue[W comparable] struct {
	mu      sync.Mutex
	idle    []W
	lent    map[W]lending
	waiting []*waiter[W]
	limit   int
	closed  bool
	busy    func(W) int64 // how much else a worker does; of two idle ones the less busy is lent
}

// lending is how a worker that is lent is doing.
type lending struct{ inDoubt bool }

// waiter is a request that waits. Its turn is closed without a worker when there is none to come; err says why.
type waiter[W comparable] struct {
	turn      chan W
	elsewhere bool
	err       error
}

func newQueue[W comparable](limit int, busy func(W) int64) *queue[W] {
	return &queue[W]{lent: map[W]lending{}, limit: limit, busy: busy}
}

// add makes a new worker available.
func (q *queue[W]) add(w W) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.offer(w)
}

// remove takes a worker out, idle or lent; a later release of it does nothing.
func (q *queue[W]) remove(w W) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.lent, w)
	q.idle = slices.DeleteFunc(q.idle, func(other W) bool { return other == w })
	q.sendElsewhere()
}

// doubt says that a worker that is lent may not come back.
func (q *queue[W]) doubt(w W) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.lent[w]; ok {
		q.lent[w] = lending{inDoubt: true}
		q.sendElsewhere()
	}
}

// able reports whether there is a worker that will take another request. The caller holds the lock.
func (q *queue[W]) able() bool {
	if len(q.idle) > 0 {
		return true
	}
	for _, l := range q.lent {
		if !l.inDoubt {
			return true
		}
	}
	return false
}

// sendElsewhere ends the waits of those that another scorer can serve, once none here is able to. The caller holds the lock.
func (q *queue[W]) sendElsewhere() {
	if len(q.waiting) == 0 || q.able() {
		return
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(w *waiter[W]) bool {
		if w.elsewhere {
			w.err = ErrNoWorker
			close(w.turn)
		}
		return w.elsewhere
	})
}

// acquire lends a worker, waiting for one if need be; but not, where another scorer can serve the request, while none is able to.
func (q *queue[W]) acquire(ctx context.Context, elsewhere bool) (W, error) {
	var none W
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return none, ErrStopped
	}
	if len(q.idle) > 0 {
		w := q.take()
		q.lent[w] = lending{}
		q.mu.Unlock()
		return w, nil
	}
	if elsewhere && !q.able() {
		q.mu.Unlock()
		return none, ErrNoWorker
	}
	if len(q.waiting) >= q.limit {
		q.mu.Unlock()
		return none, ErrQueueFull
	}
	own := &waiter[W]{turn: make(chan W, 1), elsewhere: elsewhere}
	q.waiting = append(q.waiting, own)
	q.mu.Unlock()

	select {
	case w, ok := <-own.turn:
		if !ok {
			return none, own.err
		}
		return w, nil
	case <-ctx.Done():
		q.leave(own)
		return none, ctx.Err()
	}
}

// take takes out the least busy idle worker, of equals the one that was used last. The caller holds the lock.
func (q *queue[W]) take() W {
	best := len(q.idle) - 1
	for i := best - 1; i >= 0 && q.busy(q.idle[best]) > 0; i-- {
		if q.busy(q.idle[i]) < q.busy(q.idle[best]) {
			best = i
		}
	}
	w := q.idle[best]
	q.idle = slices.Delete(q.idle, best, best+1)
	return w
}

// release gives a lent worker back.
func (q *queue[W]) release(w W) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.lent[w]; ok {
		delete(q.lent, w)
		q.offer(w)
	}
}

// close fails all that wait and all that come.
func (q *queue[W]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, w := range q.waiting {
		w.err = ErrStopped
		close(w.turn)
	}
	q.waiting = nil
}

func (q *queue[W]) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

func (q *queue[W]) counts() (lent, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lent), len(q.waiting)
}

// leave ends a wait. The turn may have come in the meantime: then the worker goes to the next.
func (q *queue[W]) leave(own *waiter[W]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(other *waiter[W]) bool { return other == own })
	select {
	case w, ok := <-own.turn:
		if _, lent := q.lent[w]; ok && lent {
			delete(q.lent, w)
			q.offer(w)
		}
	default:
	}
}

// offer gives a worker to the first that waits, else makes it idle. The caller holds the lock.
func (q *queue[W]) offer(w W) {
	if len(q.waiting) == 0 {
		q.idle = append(q.idle, w)
		return
	}
	next := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	q.lent[w] = lending{}
	next.turn <- w
}
