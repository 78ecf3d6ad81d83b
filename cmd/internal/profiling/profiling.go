// Package profiling measures what one replica needs under load, and says what it
// should get.
//
// Recommend is a pure function of what was measured. A Load sends requests and
// looks at what the replica uses meanwhile; it ends all that it started before it
// returns, and stops when its context ends.
package profiling

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// sampleEvery is between two looks at what the replica uses.
const sampleEvery = 250 * time.Millisecond

// Usage is what a replica uses.
type Usage struct {
	CPU             time.Duration // since it was started
	MemoryPeakBytes int64
	Restarts        int
}

// Load puts load on one replica.
type Load struct {
	// Send sends a request and gives an error for one that was not answered well.
	Send func(context.Context, Request) error
	// Usage looks at the replica now.
	Usage    func(context.Context) (Usage, error)
	Requests []Request
	// Concurrency is how many requests the replica works on at the same time.
	Concurrency int
	// Duration is how long to measure in all.
	Duration time.Duration
	// OnLevel hears of every level that begins; it may be nil.
	OnLevel func(concurrency int)
}

// maxWarmUp is how many requests are tried before anything is measured.
const maxWarmUp = 100

// Run measures. Before that it sends the requests once, one by one, and gives
// the first failure as its error.
func (l *Load) Run(ctx context.Context) (Measurement, error) {
	for _, r := range l.Requests[:min(len(l.Requests), maxWarmUp)] {
		if err := l.Send(ctx, r); err != nil {
			return Measurement{}, fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	m := Measurement{Concurrency: l.Concurrency}
	levels := LevelsFor(l.Concurrency)
	// One at a time gets as long as all others together.
	share := l.Duration / 2
	for i, concurrency := range levels {
		if i == 1 {
			share = l.Duration / 2 / time.Duration(len(levels)-1)
		}
		if l.OnLevel != nil {
			l.OnLevel(concurrency)
		}
		level, err := l.level(ctx, concurrency, share, &m.MemoryPeakBytes)
		if err != nil {
			return Measurement{}, err
		}
		m.Levels = append(m.Levels, level)
	}
	return m, nil
}

// answers are how the requests of a level ended.
type answers struct {
	mu        sync.Mutex
	next      int
	latencies []time.Duration
	fastest   map[string]time.Duration // by the request's name
	failed    []error
}

func (l *Load) level(ctx context.Context, concurrency int, share time.Duration, peak *int64) (Level, error) {
	before, err := l.Usage(ctx)
	if err != nil {
		return Level{}, err
	}
	begin := time.Now()
	a, err := l.send(ctx, concurrency, begin.Add(share), peak)
	if err != nil {
		return Level{}, err
	}
	elapsed := time.Since(begin)
	after, err := l.Usage(ctx)
	if err != nil {
		return Level{}, err
	}
	*peak = max(*peak, after.MemoryPeakBytes)
	if after.Restarts != before.Restarts || after.CPU < before.CPU {
		return Level{}, errors.New("the replica was started again while it was measured: it had ended, for example for want of memory")
	}
	if concurrency == 1 && len(a.failed) > 0 {
		return Level{}, a.failed[0]
	}
	return Level{
		Concurrency: concurrency, Requests: len(a.latencies), Failures: len(a.failed), Elapsed: elapsed,
		Latency: LatencyOf(a.latencies), Fastest: a.fastestMean(), CPU: after.CPU - before.CPU,
	}, nil
}

// send keeps so many requests running until the time is over, and ends when the
// last is answered.
func (l *Load) send(ctx context.Context, concurrency int, until time.Time, peak *int64) (*answers, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	a := &answers{fastest: map[string]time.Duration{}}
	var callers, looker sync.WaitGroup
	for range concurrency {
		callers.Go(func() { l.call(ctx, a, until) })
	}
	done := make(chan struct{})
	looker.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			u, err := l.Usage(ctx)
			if err != nil {
				stop(err)
				return
			}
			*peak = max(*peak, u.MemoryPeakBytes)
		}
	})
	callers.Wait()
	close(done)
	looker.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return a, nil
}

// call sends one request after the other.
func (l *Load) call(ctx context.Context, a *answers, until time.Time) {
	for time.Now().Before(until) && ctx.Err() == nil {
		r := a.take(l.Requests)
		begin := time.Now()
		err := l.Send(ctx, r)
		a.add(time.Since(begin), r, err)
		if err != nil && ctx.Err() == nil && a.hopeless() {
			return
		}
	}
}

// take gives the request that is next in turn.
func (a *answers) take(requests []Request) Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := requests[a.next%len(requests)]
	a.next++
	return r
}

func (a *answers) add(took time.Duration, r Request, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.failed = append(a.failed, fmt.Errorf("%s: %w", r.Name, err))
		return
	}
	a.latencies = append(a.latencies, took)
	if best, ok := a.fastest[r.Name]; !ok || took < best {
		a.fastest[r.Name] = took
	}
}

// fastestMean gives the mean of the fastest answers.
func (a *answers) fastestMean() time.Duration {
	var sum time.Duration
	for _, d := range a.fastest {
		sum += d
	}
	return sum / time.Duration(max(1, len(a.fastest)))
}

// maxFailures ends a level that gets nothing but refusals.
const maxFailures = 100

func (a *answers) hopeless() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.failed) >= maxFailures
}
