package worker

import (
	"context"
	"slices"
	"sync"
)

// queue lends idle workers to requests, first come, first served. A worker is idle, lent, or gone.
type queue[W comparable] struct {
	mu      sync.Mutex
	idle    []W
	lent    map[W]struct{}
	waiting []chan W
	limit   int
	closed  bool
}

func newQueue[W comparable](limit int) *queue[W] {
	return &queue[W]{lent: map[W]struct{}{}, limit: limit}
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
}

// acquire lends a worker, waiting for one if need be.
func (q *queue[W]) acquire(ctx context.Context) (W, error) {
	var none W
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return none, ErrStopped
	}
	if last := len(q.idle) - 1; last >= 0 {
		w := q.idle[last]
		q.idle = q.idle[:last]
		q.lent[w] = struct{}{}
		q.mu.Unlock()
		return w, nil
	}
	if len(q.waiting) >= q.limit {
		q.mu.Unlock()
		return none, ErrQueueFull
	}
	turn := make(chan W, 1)
	q.waiting = append(q.waiting, turn)
	q.mu.Unlock()

	select {
	case w, ok := <-turn:
		if !ok {
			return none, ErrStopped
		}
		return w, nil
	case <-ctx.Done():
		q.leave(turn)
		return none, ctx.Err()
	}
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
	for _, turn := range q.waiting {
		close(turn)
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
func (q *queue[W]) leave(turn chan W) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(other chan W) bool { return other == turn })
	select {
	case w, ok := <-turn:
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
	turn := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	q.lent[w] = struct{}{}
	turn <- w
}
