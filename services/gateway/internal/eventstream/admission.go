package eventstream

import (
	"context"
	"sync"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
)

const (
	// maxStreams is how many streams one principal may have open: each costs a
	// consumer of the log.
	maxStreams = 100
	// recheckEvery is how often an open stream's caller is checked again, so that a
	// token that was revoked or has expired ends it.
	recheckEvery = 30 * time.Second
)

// admit checks who calls, now and as long as the stream is open, and the request's
// form. It ends the stream through cancel; call leave when that has been called.
func (s *Service) admit(ctx context.Context, cancel context.CancelCauseFunc, authorization []string, req *eventsv1.WatchEventsRequest) (leave func(), err error) {
	token, err := bearer(authorization)
	if err != nil {
		return nil, err
	}
	check := func() (string, error) {
		return s.Access.Check(ctx, token, eventsv1.EventService_WatchEvents_FullMethodName, req.GetParent())
	}
	principal, err := check()
	if err != nil {
		return nil, err
	}
	if _, err := resourcename.NewPattern("workspaces/{workspace}").ParseField("parent", req.GetParent()); err != nil {
		return nil, err
	}
	if !s.open.add(principal) {
		return nil, apierr.New(apierr.ResourceExhausted, "TOO_MANY_STREAMS",
			"%s has %d event streams open, which is the limit: close some, or read several workspaces' events by one", principal, maxStreams)
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(recheckEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := check(); isRefusal(err) {
				cancel(apierr.FromStatus(err))
				return
			}
		}
	})
	return func() {
		cancel(nil)
		watching.Wait()
		s.open.remove(principal)
	}, nil
}

// isRefusal is false for a check that could not be made.
func isRefusal(err error) bool {
	if err == nil {
		return false
	}
	switch apierr.FromStatus(err).Kind {
	case apierr.Unauthenticated, apierr.PermissionDenied, apierr.NotFound:
		return true
	default:
		return false
	}
}

// counts holds how many streams each principal has open.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

// add is false when the principal has as many as it may.
func (c *counts) add(principal string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	if c.of[principal] >= maxStreams {
		return false
	}
	c.of[principal]++
	return true
}

func (c *counts) remove(principal string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[principal]--; c.of[principal] == 0 {
		delete(c.of, principal)
	}
}
