package session

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/longwork"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
)

// InTurn makes a request that changes an endpoint. While another operation changes
// the endpoint, it waits for that and asks again, or without wait gives up and
// says what can be done.
func (s *Session) InTurn(ctx context.Context, wait bool, request func(context.Context) (*longrunningpb.Operation, error)) (*longrunningpb.Operation, error) {
	for {
		op, err := request(ctx)
		running, busy := runningOperation(err)
		if !busy {
			return op, err
		}
		if !wait {
			id := resourcename.Last(running)
			return nil, failure.From(err, s.Connection()).ThenTry("fairlead operation wait "+id, "fairlead operation cancel "+id)
		}
		if err := s.outlast(ctx, running); err != nil {
			return nil, err
		}
	}
}

func runningOperation(err error) (name string, busy bool) {
	if err == nil {
		return "", false
	}
	e := apierr.FromStatus(err)
	return e.Metadata["operation"], e.Reason == "OPERATION_IN_PROGRESS"
}

// outlast waits until an operation has ended, well or not.
func (s *Session) outlast(ctx context.Context, name string) error {
	c, err := s.Client()
	if err != nil {
		return err
	}
	op, err := c.Operations.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: name})
	if err != nil {
		return err
	}
	display := s.Progress("Waiting for the " + longwork.Metadata(op).GetVerb() + " that runs")
	waiter := &longwork.Waiter{Operations: c.Operations, Display: display, Now: s.Now}
	op, err = waiter.Wait(ctx, op)
	display.End(err == nil && op.GetError() == nil)
	if err != nil {
		return s.stoppedWaiting(err, name)
	}
	return nil
}
