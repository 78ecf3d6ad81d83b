// Package stopping tells calls that last that the process is about to end, so
// that they do not hold it up while short calls may finish. It is safe for
// concurrent use.
package stopping

import (
	"context"
	"errors"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Err is what a call ends with that is ended by the signal.
func Err() error {
	return apierr.New(apierr.Unavailable, "STOPPING", "the server is stopping: call again")
}

// Signal is given once.
type Signal struct {
	given context.Context //nolint:containedctx // it is the signal itself, nobody's request
	give  context.CancelFunc
}

// New makes a Signal.
func New() *Signal {
	ctx, cancel := context.WithCancel(context.Background())
	return &Signal{given: ctx, give: cancel}
}

// Give gives the signal.
func (s *Signal) Give() { s.give() }

// Given is closed when the signal has been given.
func (s *Signal) Given() <-chan struct{} { return s.given.Done() }

// Bind gives a context that ends with parent, or with Err as its cause when the
// signal is given. Call cancel when the call is over.
func (s *Signal) Bind(parent context.Context) (ctx context.Context, cancel context.CancelCauseFunc) {
	ctx, cancelCause := context.WithCancelCause(parent)
	unbind := context.AfterFunc(s.given, func() { cancelCause(Err()) })
	return ctx, func(cause error) {
		unbind()
		cancelCause(cause)
	}
}

// Cause prefers the reason that was given for the end of ctx over err, which
// says only that it has ended.
func Cause(ctx context.Context, err error) error {
	own := context.Cause(ctx)
	if err == nil || own == nil || errors.Is(own, context.Canceled) || errors.Is(own, context.DeadlineExceeded) {
		return err
	}
	return own
}
