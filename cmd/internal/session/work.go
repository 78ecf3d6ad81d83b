package session

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/longwork"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/progress"
	"github.com/fairlead/fairlead/platform/resourcename"
)

// Await waits for an operation and shows its steps on display, which it ends.
// A failed operation is an error.
func (s *Session) Await(ctx context.Context, op *longrunningpb.Operation, display *progress.Display) (*longrunningpb.Operation, error) {
	c, err := s.Client()
	if err != nil {
		display.End(false)
		return nil, err
	}
	waiter := &longwork.Waiter{Operations: c.Operations, Display: display, Now: s.Now}
	op, err = waiter.Wait(ctx, op)
	display.End(err == nil && op.GetError() == nil)
	if err != nil {
		return op, s.stoppedWaiting(err, op.GetName())
	}
	return op, OperationError(op)
}

// OperationError gives the error of a failed operation; nil for any other.
func OperationError(op *longrunningpb.Operation) error {
	if op.GetError() == nil {
		return nil
	}
	return status.ErrorProto(op.GetError())
}

// stoppedWaiting says that the work goes on without the one who waits.
func (s *Session) stoppedWaiting(err error, operation string) error {
	f := failure.From(err, s.Connection())
	watch := "fairlead operation wait " + resourcename.Last(operation)
	switch {
	case errors.Is(err, failure.ErrTimeout):
		f = failure.New(failure.TimedOut, "not done in the time given by --timeout; the work goes on")
	case errors.Is(err, context.Canceled):
		f = failure.New(failure.Usage, "stopped waiting; the work goes on")
	}
	return f.ThenTry(watch)
}

// Finish waits for an operation and gives it when it is done; with noWait it
// prints the operation's name and gives nil.
func (s *Session) Finish(ctx context.Context, op *longrunningpb.Operation, title string, noWait bool) (*longrunningpb.Operation, error) {
	if noWait {
		return nil, s.PrintPending(op)
	}
	return s.Await(ctx, op, s.Progress(title))
}

// PrintPending prints an operation that nobody waits for.
func (s *Session) PrintPending(op *longrunningpb.Operation) error {
	return s.Print(output.Document{
		Value: op,
		Names: []string{op.GetName()},
		Text:  func(t *output.Text) { t.Linef("%s", op.GetName()) },
	})
}

// Notef writes a remark to stderr.
func (s *Session) Notef(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Streams.Err, format+"\n", args...)
}
