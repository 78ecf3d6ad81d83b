// Package reporting ships what the router has counted to the telemetry service.
//
// Guarantees: every count is reported once, however often connections break or
// either side stops in order: a report has a sequence, does not change once it
// was sent, and is kept until the telemetry service has it on disk. While that
// is away reports are put together, so that they take bounded room and only the
// time resolution of the figures suffers; of single records the oldest are
// dropped and counted. What is not shipped when the router stops is kept in a
// file and shipped by the next one. A kill of the router loses what was counted
// since the last report: about a second, and what waited in memory.
//
// A Reporter is a component; Totals may be called by many goroutines.
package reporting

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"

	"github.com/fairlead/fairlead/services/router/internal/record"
)

const (
	// period is how often figures are collected, on whole seconds.
	period = time.Second
	// farewell is how long the last reports may take.
	farewell   = 2 * time.Second
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// errDone ends a session that has nothing more to ship.
var errDone = errors.New("all reports are shipped")

// Deps are what a Reporter works with.
type Deps struct {
	Logger    *slog.Logger
	Telemetry grpc.ClientConnInterface
	Recorder  *record.Recorder
	// Router is the id of this router and start.
	Router string
	// SpoolPath is the file for what could not be shipped; empty means none.
	SpoolPath string
	// Live says whether totals of a version are still wanted; nil means always.
	Live  func(key record.Key, workspace, endpoint string) bool
	Clock func() time.Time
}

// Reporter reports one router's figures.
type Reporter struct {
	deps   Deps
	outbox *outbox
	wake   chan struct{}

	mu     sync.Mutex
	totals map[record.Key]*record.Figures
}

// New makes a reporter and reads what an earlier one has left.
func New(deps Deps) *Reporter {
	r := &Reporter{
		deps: deps, outbox: newOutbox(deps.Router, usualLimits()), wake: make(chan struct{}, 1), totals: map[record.Key]*record.Figures{},
	}
	left, err := loadSpool(deps.SpoolPath)
	if err != nil {
		deps.Logger.Warn("figures that the router could not report before are not readable", "error", err)
	}
	r.outbox.restore(left)
	return r
}

// Totals shows the figures since the router's start to see; it must not keep them.
func (r *Reporter) Totals(see func(record.Key, *record.Figures)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, f := range r.totals {
		see(key, f)
	}
}

// Waiting is how many reports have not been shipped.
func (r *Reporter) Waiting() int { return r.outbox.len() }

// Run collects and ships until ctx ends, then ships the last figures, or keeps
// them for the next router when that is not possible.
func (r *Reporter) Run(ctx context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.ship(sending)
	}()
	r.collectUntil(ctx)
	r.collect()
	r.outbox.finish()
	r.signal()
	if r.outbox.done() {
		stop() // it may wait for a telemetry service that is away
	}
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	stop()
	<-ended
	return saveSpool(r.deps.SpoolPath, r.outbox.left())
}

func (r *Reporter) collectUntil(ctx context.Context) {
	for {
		now := r.deps.Clock()
		timer := time.NewTimer(now.Truncate(period).Add(period).Sub(now))
		select {
		case <-timer.C:
		case <-r.deps.Recorder.Filling():
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
		r.collect()
	}
}

func (r *Reporter) collect() {
	batch := r.deps.Recorder.Collect(r.deps.Clock())
	r.sum(batch)
	if len(batch.Figures) == 0 {
		return
	}
	r.outbox.add(batch)
	r.signal()
}

// sum adds to the totals, and forgets those of what is gone.
func (r *Reporter) sum(batch record.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, f := range batch.Figures {
		total, ok := r.totals[key]
		if !ok {
			total = &record.Figures{}
			r.totals[key] = total
		}
		total.Merge(f)
	}
	for key, f := range r.totals {
		if r.deps.Live != nil && !r.deps.Live(key, f.Workspace, f.Endpoint) {
			delete(r.totals, key)
		}
	}
}

func (r *Reporter) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// ship keeps a session open until ctx ends or all is shipped at the end.
func (r *Reporter) ship(ctx context.Context) {
	backoff := minBackoff
	told := false
	for {
		progressed, err := r.session(ctx)
		if errors.Is(err, errDone) || ctx.Err() != nil {
			return
		}
		if progressed {
			backoff, told = minBackoff, false
		}
		if !told {
			r.deps.Logger.Warn("the telemetry service does not take figures; they are kept and sent again", "error", err)
			told = true
		}
		pause(ctx, backoff/2+rand.N(backoff/2))
		backoff = min(2*backoff, maxBackoff)
	}
}

// session ships over one stream. It begins with what was sent before and has no
// answer yet.
func (r *Reporter) session(ctx context.Context) (progressed bool, err error) {
	if r.outbox.done() {
		return false, errDone
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := telemetryv1.NewRecordServiceClient(r.deps.Telemetry).Record(ctx)
	if err != nil {
		return false, err
	}
	r.outbox.rewind()
	answers := make(chan error, 1)
	go func() { answers <- r.receive(stream, &progressed) }()
	err = r.send(ctx, stream)
	cancel()
	if answer := <-answers; err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		err = answer
	}
	if r.outbox.done() {
		err = errDone
	}
	return progressed, err
}

// receive takes answers until the stream ends.
func (r *Reporter) receive(stream grpc.BidiStreamingClient[telemetryv1.RecordRequest, telemetryv1.RecordResponse], progressed *bool) error {
	// The sender may wait for an answer that does not come any more.
	defer r.signal()
	for {
		answer, err := stream.Recv()
		if err != nil {
			r.outbox.interrupt()
			return err
		}
		*progressed = true
		r.outbox.ack(answer.GetRouter(), answer.GetSequence())
		r.signal()
	}
}

// send sends reports as they come, until the stream or ctx ends or all is shipped.
func (r *Reporter) send(ctx context.Context, stream grpc.BidiStreamingClient[telemetryv1.RecordRequest, telemetryv1.RecordResponse]) error {
	for {
		for report := r.outbox.next(); report != nil; report = r.outbox.next() {
			if err := stream.Send(report); err != nil {
				return err
			}
		}
		if r.outbox.interrupted() || r.outbox.done() {
			return nil
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
