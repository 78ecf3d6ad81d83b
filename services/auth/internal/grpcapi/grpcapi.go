// Package grpcapi is the auth service's gRPC edge: it turns requests into calls
// of the domain and aggregates into answers. Handlers may rely on the server
// having validated the request and put the principal into the context. They are
// safe for concurrent use and guard every change against changes by others.
package grpcapi

import (
	"context"
	"errors"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/auth/internal/state"
)

// maxAttempts bounds how often a change is tried against concurrent changes.
const maxAttempts = 10

// change runs attempt, which reads and writes an aggregate, until nobody else
// changed it in between.
func change(ctx context.Context, attempt func() error) error {
	for range maxAttempts {
		err := attempt()
		if !errors.Is(err, state.ErrChanged) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return apierr.New(apierr.Conflict, "CONCURRENT_CHANGES", "others keep changing this resource at the same time; try again")
}
