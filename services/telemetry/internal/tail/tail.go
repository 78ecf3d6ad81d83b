// Package tail hands new records of requests to those who watch.
//
// A watcher that is too slow misses records, which is counted; nobody waits for
// it. A Hub may be used by many goroutines.
package tail

import (
	"context"
	"sync"
)

// room is how many records can wait for a watcher.
const room = 4096

// Hub knows the watchers of records of type R.
type Hub[R any] struct {
	mu       sync.Mutex
	watchers map[*Watcher[R]]struct{}
}

// NewHub has no watchers.
func NewHub[R any]() *Hub[R] { return &Hub[R]{watchers: map[*Watcher[R]]struct{}{}} }

// Publish hands records to every watcher that wants them.
func (h *Hub[R]) Publish(requests []R) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		w.take(requests)
	}
}

// Watcher gets records.
type Watcher[R any] struct {
	hub  *Hub[R]
	want func(*R) bool
	wake chan struct{}

	mu      sync.Mutex
	waiting []R
	missed  int64
}

// Watch begins to watch; Close ends it.
func (h *Hub[R]) Watch(want func(*R) bool) *Watcher[R] {
	w := &Watcher[R]{hub: h, want: want, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[w] = struct{}{}
	return w
}

// Close ends watching.
func (w *Watcher[R]) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	delete(w.hub.watchers, w)
}

func (w *Watcher[R]) take(requests []R) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range requests {
		switch {
		case !w.want(&requests[i]):
		case len(w.waiting) == room:
			w.missed++
		default:
			w.waiting = append(w.waiting, requests[i])
		}
	}
	if len(w.waiting) > 0 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Next waits for records. missed is how many there were no room for so far.
func (w *Watcher[R]) Next(ctx context.Context) (requests []R, missed int64, err error) {
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		w.mu.Lock()
		requests, missed = w.waiting, w.missed
		w.waiting = nil
		w.mu.Unlock()
		if len(requests) > 0 {
			return requests, missed, nil
		}
	}
}
