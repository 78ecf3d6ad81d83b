// Package replicas keeps what the compute service shows of replicas, for those
// who ask how an endpoint is doing.
//
// It is a view of its own, in every process of the deploy service, so that
// reading costs no call and goes on while the compute service is away: then it
// shows what was seen last. Safe for concurrent use.
package replicas

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
)

// workloads is what the view needs of the compute service.
type workloads interface {
	WatchWorkloads(ctx context.Context, in *computev1.WatchWorkloadsRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[computev1.WatchWorkloadsResponse], error)
}

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// View is what is seen of replicas. It is a component.
type View struct {
	log       *slog.Logger
	workloads workloads

	mu    sync.RWMutex
	known map[string]seen
	epoch int // of the watch under way
}

type seen struct {
	replicas   []*computev1.Replica
	generation int64
	epoch      int
}

// New makes a view; Run fills it.
func New(log *slog.Logger, from workloads) *View {
	return &View{log: log, workloads: from, known: map[string]seen{}}
}

// Of gives the replicas of a workload, the oldest first, and the generation of
// its newest spec. The replicas must not be changed.
func (v *View) Of(workload string) ([]*computev1.Replica, int64) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := v.known[workload]
	return s.replicas, s.generation
}

// Run follows the compute service until ctx ends.
func (v *View) Run(ctx context.Context) error {
	for wait := firstPause; ; wait = min(2*wait, maxPause) {
		synced, err := v.follow(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if synced {
			wait = firstPause
		}
		v.log.Debug("the compute service does not show its replicas; trying again", "wait", wait, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// follow reads one watch until it ends; synced tells whether it has shown everything.
func (v *View) follow(ctx context.Context) (synced bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v.begin()
	stream, err := v.workloads.WatchWorkloads(ctx, &computev1.WatchWorkloadsRequest{})
	if err != nil {
		return false, fmt.Errorf("watch workloads: %w", err)
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return synced, fmt.Errorf("watch workloads: %w", err)
		}
		switch event := answer.GetEvent().(type) {
		case *computev1.WatchWorkloadsResponse_Changed:
			v.show(event.Changed)
		case *computev1.WatchWorkloadsResponse_Deleted:
			v.gone(event.Deleted)
		case *computev1.WatchWorkloadsResponse_Synced:
			synced = true
			v.synced()
		}
	}
}

func (v *View) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.epoch++
}

func (v *View) show(w *computev1.Workload) {
	all := slices.SortedStableFunc(slices.Values(w.GetReplicas()), func(a, b *computev1.Replica) int {
		return cmp.Or(cmp.Compare(a.GetGeneration(), b.GetGeneration()), a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime()), cmp.Compare(a.GetId(), b.GetId()))
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known[w.GetName()] = seen{replicas: all, generation: w.GetGeneration(), epoch: v.epoch}
}

func (v *View) gone(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.known, name)
}

// synced forgets what this watch has not shown.
func (v *View) synced() {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.known, func(_ string, s seen) bool { return s.epoch != v.epoch })
}
