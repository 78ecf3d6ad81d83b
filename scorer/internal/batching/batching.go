// Package batching answers requests to a tensor model, several in one run where they come close together.
//
// Requests wait in order of arrival, in a bounded queue. A batch has requests whose tensors have the same types and the same shapes
// but for the first dimension, the rows; each caller gets the rows of its own. A caller that leaves takes nobody along: its rows are
// computed or not, the others get theirs. When a batch fails its requests are run one by one, so that only those that fail alone fail.
//
// When a batch leaves is decided by a function of what waits and the time; see decide.
//
// A Batcher may be used from any goroutine. Batches run only while its Run does.
package batching

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// model is what computes. It must not change the request.
type model interface {
	Metadata() tensor.Metadata
	Infer(ctx context.Context, r *tensor.Request) (*tensor.Response, error)
}

// Config says how requests are put together and how many may wait.
type Config struct {
	// Limits bound a batch. With a MaxSize of 1 or less each request runs alone.
	Limits Limits
	// Parallel is how many runs there may be at the same time.
	Parallel int
	// MaxQueue is how many requests may wait, beside those that the next batches can take.
	MaxQueue int
}

// Batcher is a model that answers several requests in one run.
type Batcher struct {
	model    model
	metadata tensor.Metadata
	cfg      Config
	log      *slog.Logger
	// alike says that all requests go together: the signature leaves only the first dimension open.
	alike bool
	// apart says that requests are no longer put together, since the model mixed up rows.
	apart atomic.Bool
	// slots are for requests that run alone on their caller's goroutine; queued counts those that wait for one.
	slots  chan struct{}
	queued atomic.Int64
	// wake tells Run that there is something to decide.
	wake chan struct{}

	mu      sync.Mutex
	waiting []*call
	busy    int
	pace    pace
	closed  bool
}

// call is a request that waits or runs.
type call struct {
	item
	ctx     context.Context // the caller's, who waits beside
	request *tensor.Request
	done    chan result // has room for the one result
}

type result struct {
	response *tensor.Response
	err      error
}

// New puts a batcher before a model.
func New(m model, cfg Config, log *slog.Logger) *Batcher {
	b := &Batcher{
		model: m, metadata: m.Metadata(), cfg: cfg, log: log,
		slots: make(chan struct{}, cfg.Parallel), wake: make(chan struct{}, 1),
	}
	b.alike = !slices.ContainsFunc(b.metadata.Inputs, func(s tensor.Spec) bool {
		return s.Optional || len(s.Shape) == 0 || slices.ContainsFunc(s.Shape[1:], func(dim int64) bool { return dim < 0 })
	})
	return b
}

// Metadata is the model's signature.
func (b *Batcher) Metadata() tensor.Metadata { return b.metadata }

// Infer gives the answer to one request. Beside the model's errors it fails with the context's, and with a *tensor.Failure for a
// request that there is no room for or no time left.
func (b *Batcher) Infer(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	if b.cfg.Limits.MaxSize <= 1 || b.apart.Load() {
		return b.alone(ctx, r)
	}
	if err := b.metadata.Check(r); err != nil {
		return nil, err
	}
	rows, kind, ok := b.describe(r)
	if !ok {
		return b.alone(ctx, r)
	}
	c := &call{item: item{kind: kind, rows: rows, arrived: time.Now()}, ctx: ctx, request: r, done: make(chan result, 1)}
	c.deadline, _ = ctx.Deadline()
	if err := b.enqueue(c); err != nil {
		return nil, err
	}
	select {
	case done := <-c.done:
		return done.response, done.err
	case <-ctx.Done():
		b.leave(c)
		return nil, ctx.Err()
	}
}

// alone runs a request by itself, once there is a slot.
func (b *Batcher) alone(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	select {
	case b.slots <- struct{}{}:
	default:
		if err := b.await(ctx); err != nil {
			return nil, err
		}
	}
	defer func() { <-b.slots }()
	return b.model.Infer(ctx, r)
}

// await waits for a slot.
func (b *Batcher) await(ctx context.Context) error {
	defer b.queued.Add(-1)
	if b.queued.Add(1) > int64(b.cfg.MaxQueue) {
		return overloaded()
	}
	select {
	case b.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func overloaded() error {
	return &tensor.Failure{Kind: tensor.Overloaded, Cause: "too many requests wait for the model"}
}

func stopping() error {
	return &tensor.Failure{Kind: tensor.Unavailable, Cause: "the scorer is stopping"}
}

func (b *Batcher) enqueue(c *call) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return stopping()
	}
	if len(b.waiting) >= b.cfg.MaxQueue+b.cfg.Parallel*b.cfg.Limits.MaxSize {
		return overloaded()
	}
	b.waiting = append(b.waiting, c)
	b.nudge()
	return nil
}

// leave takes a caller that has gone off the queue.
func (b *Batcher) leave(c *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, c); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.nudge()
	}
}

func (b *Batcher) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run runs batches until ctx ends; then requests that wait are refused, runs are broken off, and it returns nil.
func (b *Batcher) Run(ctx context.Context) error {
	var runs sync.WaitGroup
	defer runs.Wait()
	defer b.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake := b.start(ctx, &runs)
		timer.Stop()
		if !wake.IsZero() {
			timer.Reset(time.Until(wake))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-timer.C:
		}
	}
}

// start starts the batches that are due and says when to look again.
func (b *Batcher) start(ctx context.Context, runs *sync.WaitGroup) (wake time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.busy < b.cfg.Parallel && len(b.waiting) > 0 {
		items := make([]item, len(b.waiting))
		for i, c := range b.waiting {
			items[i] = c.item
		}
		d := decide(items, time.Now(), b.pace, b.cfg.Limits)
		members := make([]*call, len(d.run))
		for i, at := range d.run {
			members[i] = b.waiting[at]
		}
		for _, at := range d.late {
			b.waiting[at].done <- result{err: &tensor.Failure{Kind: tensor.TimedOut, Cause: "the model can't answer before the request's deadline"}}
		}
		b.remove(d)
		if len(members) == 0 {
			return d.wake
		}
		b.busy++
		runs.Go(func() { b.run(ctx, members) })
	}
	return time.Time{}
}

// remove takes those that a decision has dealt with off the queue.
func (b *Batcher) remove(d decision) {
	left := b.waiting[:0]
	for i, c := range b.waiting {
		if !slices.Contains(d.run, i) && !slices.Contains(d.late, i) {
			left = append(left, c)
		}
	}
	clear(b.waiting[len(left):])
	b.waiting = left
}

func (b *Batcher) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, c := range b.waiting {
		c.done <- result{err: stopping()}
	}
	b.waiting = nil
}
