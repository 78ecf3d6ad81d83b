// Package longwork waits for operations of the control plane and shows their steps.
//
// Waiting survives a restart of the server. Leaving off waiting never ends the
// work. A Waiter is used by one goroutine.
package longwork

import (
	"context"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/progress"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

const (
	// pollWait is how long the server holds one question: steps show up so soon.
	pollWait = 400 * time.Millisecond
	// pollPause is between two questions, also to a server that does not hold them.
	pollPause = 50 * time.Millisecond
	// pollGrace is how much later than that an answer may come.
	pollGrace = 10 * time.Second
	// outageLimit is how long the server may be away while work goes on.
	outageLimit = 60 * time.Second
	retryPause  = 300 * time.Millisecond
)

// Waiter waits for operations.
type Waiter struct {
	Operations longrunningpb.OperationsClient
	Display    *progress.Display
	Now        func() time.Time

	last *resourcev1.OperationMetadata_Step // on the display
}

// Wait returns the operation when it is done, also when it has failed: look at
// its error. An error means that waiting ended, not the work.
func (w *Waiter) Wait(ctx context.Context, op *longrunningpb.Operation) (*longrunningpb.Operation, error) {
	var outage time.Time
	for {
		w.show(op)
		if op.GetDone() {
			return op, nil
		}
		next, err := w.ask(ctx, op.GetName())
		if ended := failure.Ended(ctx, err); ended != nil {
			return op, ended
		}
		switch {
		case err == nil:
			op, outage = next, time.Time{}
			if op.GetDone() {
				continue
			}
			if err := pause(ctx, pollPause); err != nil {
				return op, err
			}
		case status.Code(err) != codes.Unavailable:
			return op, err
		default:
			if outage.IsZero() {
				outage = w.Now()
			}
			if w.Now().Sub(outage) > outageLimit {
				return op, err
			}
			w.Display.Status("the server does not answer; trying again")
			if err := pause(ctx, retryPause); err != nil {
				return op, err
			}
		}
	}
}

func (w *Waiter) ask(ctx context.Context, name string) (*longrunningpb.Operation, error) {
	limited, cancel := context.WithTimeout(ctx, pollWait+pollGrace)
	defer cancel()
	op, err := w.Operations.WaitOperation(limited, &longrunningpb.WaitOperationRequest{
		Name: name, Timeout: durationpb.New(pollWait),
	})
	if status.Code(err) == codes.DeadlineExceeded && ctx.Err() == nil {
		return w.Operations.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: name})
	}
	return op, err
}

// show puts new steps on the display, at the time of this machine's clock. The
// server keeps the last steps only, so new ones are those after the last shown.
func (w *Waiter) show(op *longrunningpb.Operation) {
	steps := Metadata(op).GetSteps()
	first := 0
	for i, s := range steps {
		if w.last != nil && proto.Equal(s, w.last) {
			first = i + 1
		}
	}
	for _, s := range steps[first:] {
		w.Display.Step(w.Now(), s.GetMessage())
		w.last = s
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Metadata gives the operation's metadata; empty when it has none.
func Metadata(op *longrunningpb.Operation) *resourcev1.OperationMetadata {
	m := &resourcev1.OperationMetadata{}
	if packed := op.GetMetadata(); packed.MessageIs(m) {
		_ = packed.UnmarshalTo(m) // an unreadable one shows nothing
	}
	return m
}
