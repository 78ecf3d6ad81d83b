package feed

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// watch is one of the streams.
type watch struct {
	name string
	// open begins the stream. next waits for the next answer.
	open func(ctx context.Context) (next func() (answer, error), err error)
	// begin notes in the state that a listing begins.
	begin func()
}

// answer is one answer of a watch.
type answer struct {
	// change is to be made to the state; it says whether anything is new.
	change func() bool
	synced bool
}

// follow keeps the watch open until ctx ends.
func (f *Feed) follow(ctx context.Context, w watch, fresh *atomic.Bool) {
	backoff := minBackoff
	for ctx.Err() == nil {
		caughtUp, err := f.followOnce(ctx, w, fresh)
		fresh.Store(false)
		if ctx.Err() != nil {
			return
		}
		if caughtUp {
			backoff = minBackoff
		}
		f.deps.Logger.Warn("watch ended, connecting again", "watch", w.name, "error", err)
		pause(ctx, backoff/2+rand.N(backoff/2))
		backoff = min(2*backoff, maxBackoff)
	}
}

// followOnce follows one stream to its end.
func (f *Feed) followOnce(ctx context.Context, w watch, fresh *atomic.Bool) (caughtUp bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next, err := w.open(ctx)
	if err != nil {
		return false, err
	}
	f.apply(ctx, func() bool { w.begin(); return false })
	for {
		a, err := next()
		if err != nil {
			return caughtUp, err
		}
		if a.change != nil {
			f.apply(ctx, a.change)
		}
		if a.synced {
			caughtUp = true
			fresh.Store(true)
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

func (f *Feed) watchRoutes() watch {
	client, routes := deployv1.NewRouteServiceClient(f.deps.Deploy), f.state.routes
	return watch{name: "routes", begin: routes.begin, open: func(ctx context.Context) (func() (answer, error), error) {
		stream, err := client.WatchRoutes(ctx, &deployv1.WatchRoutesRequest{})
		if err != nil {
			return nil, err
		}
		return func() (answer, error) {
			r, err := stream.Recv()
			switch event := r.GetEvent().(type) {
			case *deployv1.WatchRoutesResponse_Changed:
				return putting(routes, event.Changed.GetEndpoint(), event.Changed), err
			case *deployv1.WatchRoutesResponse_Deleted:
				return removing(routes, event.Deleted), err
			case *deployv1.WatchRoutesResponse_Synced:
				return ending(routes), err
			}
			return answer{}, err
		}, nil
	}}
}

func (f *Feed) watchWorkloads() watch {
	client, workloads := computev1.NewWorkloadServiceClient(f.deps.Compute), f.state.workloads
	return watch{name: "workloads", begin: workloads.begin, open: func(ctx context.Context) (func() (answer, error), error) {
		stream, err := client.WatchWorkloads(ctx, &computev1.WatchWorkloadsRequest{})
		if err != nil {
			return nil, err
		}
		return func() (answer, error) {
			r, err := stream.Recv()
			switch event := r.GetEvent().(type) {
			case *computev1.WatchWorkloadsResponse_Changed:
				return putting(workloads, event.Changed.GetName(), stripped(event.Changed)), err
			case *computev1.WatchWorkloadsResponse_Deleted:
				return removing(workloads, event.Deleted), err
			case *computev1.WatchWorkloadsResponse_Synced:
				return ending(workloads), err
			}
			return answer{}, err
		}, nil
	}}
}

func (f *Feed) watchDigests() watch {
	client, all := authv1.NewEndpointKeyServiceClient(f.deps.Auth), f.state.digests
	return watch{name: "key digests", begin: all.begin, open: func(ctx context.Context) (func() (answer, error), error) {
		stream, err := client.WatchEndpointKeyDigests(ctx, &authv1.WatchEndpointKeyDigestsRequest{})
		if err != nil {
			return nil, err
		}
		return func() (answer, error) {
			r, err := stream.Recv()
			switch event := r.GetEvent().(type) {
			case *authv1.WatchEndpointKeyDigestsResponse_Changed:
				if len(event.Changed.GetSha256()) == 0 {
					return removing(all, event.Changed.GetEndpoint()), err
				}
				return putting(all, event.Changed.GetEndpoint(), event.Changed), err
			case *authv1.WatchEndpointKeyDigestsResponse_Synced:
				return ending(all), err
			}
			return answer{}, err
		}, nil
	}}
}

func (f *Feed) watchTokenKeys() watch {
	client, keys, generations := authv1.NewTokenServiceClient(f.deps.Auth), f.state.tokenKeys, f.state.generations
	begin := func() { keys.begin(); generations.begin() }
	end := func() bool {
		changed := keys.end()
		return generations.end() || changed
	}
	return watch{name: "token keys", begin: begin, open: func(ctx context.Context) (func() (answer, error), error) {
		stream, err := client.WatchTokenKeys(ctx, &authv1.WatchTokenKeysRequest{})
		if err != nil {
			return nil, err
		}
		return func() (answer, error) {
			r, err := stream.Recv()
			switch event := r.GetEvent().(type) {
			case *authv1.WatchTokenKeysResponse_Key:
				return putting(keys, event.Key.GetKid(), event.Key), err
			case *authv1.WatchTokenKeysResponse_WithdrawnKid:
				return removing(keys, event.WithdrawnKid), err
			case *authv1.WatchTokenKeysResponse_Generation:
				if event.Generation.GetGeneration() == 0 {
					return removing(generations, event.Generation.GetEndpoint()), err
				}
				return putting(generations, event.Generation.GetEndpoint(), event.Generation), err
			case *authv1.WatchTokenKeysResponse_Synced:
				return answer{change: end, synced: true}, err
			}
			return answer{}, err
		}, nil
	}}
}

func putting[T proto.Message](c *collection[T], name string, item T) answer {
	return answer{change: func() bool { return c.put(name, item) }}
}

func removing[T proto.Message](c *collection[T], name string) answer {
	return answer{change: func() bool { return c.remove(name) }}
}

func ending[T proto.Message](c *collection[T]) answer {
	return answer{change: c.end, synced: true}
}
