package front

import (
	"context"
	"sync/atomic"

	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// places bounds how many requests the server has and how many wait.
type places struct {
	free     chan struct{} // nil for no limit
	busy     atomic.Int64
	waiting  atomic.Int64
	maxQueue int64
}

func newPlaces(concurrency, maxQueue int) *places {
	p := &places{maxQueue: int64(maxQueue)}
	if concurrency > 0 {
		p.free = make(chan struct{}, concurrency)
	}
	return p
}

// take waits for a place; then leave must follow.
func (p *places) take(ctx context.Context) error {
	if p.free == nil {
		p.busy.Add(1)
		return nil
	}
	select {
	case p.free <- struct{}{}:
		p.busy.Add(1)
		return nil
	default:
	}
	if p.waiting.Add(1) > p.maxQueue {
		p.waiting.Add(-1)
		return worker.ErrQueueFull
	}
	defer p.waiting.Add(-1)
	select {
	case p.free <- struct{}{}:
		p.busy.Add(1)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *places) leave() {
	p.busy.Add(-1)
	if p.free != nil {
		<-p.free
	}
}

func (p *places) counts() (busy, waiting int) { return int(p.busy.Load()), int(p.waiting.Load()) }
