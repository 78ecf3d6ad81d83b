// Package peertest has stand-ins for the services that the deploy service calls,
// for tests. They keep the contracts as far as the deploy service can see them
// and are safe for concurrent use.
package peertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

// Compute stands in for the compute service. Workloads become what Behave says
// as soon as they are applied. The target "local" exists in every workspace.
type Compute struct {
	computev1.UnimplementedComputeTargetServiceServer
	computev1.UnimplementedWorkloadServiceServer

	mu        sync.Mutex
	workloads map[string]*computev1.Workload
	behave    func(*computev1.WorkloadSpec) Outcome
	down      bool
	changed   chan struct{} // closed and replaced with every change
	deletions map[string]time.Time
	refused   []apierr.Violation
}

// Outcome is what becomes of a workload's newest spec.
type Outcome struct {
	State    computev1.Workload_State
	Reason   string
	Message  string
	LogLines []string
}

// NewCompute makes a compute service where everything becomes healthy.
func NewCompute() *Compute {
	return &Compute{
		workloads: map[string]*computev1.Workload{}, changed: make(chan struct{}), deletions: map[string]time.Time{},
		behave: func(*computev1.WorkloadSpec) Outcome { return Outcome{State: computev1.Workload_STATE_HEALTHY} },
	}
}

// Register registers both services.
func (c *Compute) Register(r grpc.ServiceRegistrar) {
	computev1.RegisterComputeTargetServiceServer(r, c)
	computev1.RegisterWorkloadServiceServer(r, c)
}

// Behave sets what becomes of workloads, those that there are included.
func (c *Compute) Behave(behave func(*computev1.WorkloadSpec) Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behave = behave
	for _, w := range c.workloads {
		c.become(w)
	}
	c.notify()
}

// Refuse lets checks of workloads find something wrong.
func (c *Compute) Refuse(field, description string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = append(c.refused, apierr.Violation{Field: field, Description: description})
}

// SetDown lets all calls fail and breaks off all watches, or ends that.
func (c *Compute) SetDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
	c.notify()
}

// Lose forgets all workloads.
func (c *Compute) Lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.workloads)
	c.notify()
}

// Workloads gives the names of all workloads.
func (c *Compute) Workloads() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.workloads))
}

// Spec gives the spec of a workload.
func (c *Compute) Spec(name string) *computev1.WorkloadSpec {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.workloads[name].GetSpec()
}

// DeletedAt tells when a workload was first told to end.
func (c *Compute) DeletedAt(name string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deletions[name]
}

// GetComputeTarget knows the target "local".
func (c *Compute) GetComputeTarget(_ context.Context, req *computev1.GetComputeTargetRequest) (*computev1.ComputeTarget, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.away(); err != nil {
		return nil, err
	}
	if resourcename.Last(req.GetName()) != "local" {
		return nil, fail(apierr.NotFound, "there is no compute target %s", req.GetName())
	}
	return &computev1.ComputeTarget{Name: req.GetName(), State: computev1.ComputeTarget_STATE_SUCCEEDED}, nil
}

// ApplyWorkload makes or changes a workload.
func (c *Compute) ApplyWorkload(_ context.Context, req *computev1.ApplyWorkloadRequest) (*computev1.Workload, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.away(); err != nil {
		return nil, err
	}
	w := c.workloads[req.GetName()]
	if req.GetValidateOnly() {
		if len(c.refused) > 0 {
			return nil, apierr.ToStatus(apierr.Invalid(c.refused...)).Err()
		}
		return &computev1.Workload{Name: req.GetName(), Spec: req.GetSpec()}, nil
	}
	if w == nil {
		w = &computev1.Workload{Name: req.GetName()}
		c.workloads[req.GetName()] = w
	}
	if proto.Equal(w.GetSpec(), req.GetSpec()) {
		return proto.CloneOf(w), nil
	}
	w.Spec = proto.CloneOf(req.GetSpec())
	w.Generation++
	answer := proto.CloneOf(w)
	c.become(w)
	c.notify()
	return answer, nil
}

// DeleteWorkload removes a workload at once.
func (c *Compute) DeleteWorkload(_ context.Context, req *computev1.DeleteWorkloadRequest) (*computev1.DeleteWorkloadResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.away(); err != nil {
		return nil, err
	}
	if _, told := c.deletions[req.GetName()]; !told {
		c.deletions[req.GetName()] = time.Now()
	}
	delete(c.workloads, req.GetName())
	c.notify()
	return &computev1.DeleteWorkloadResponse{}, nil
}

// WatchWorkloads shows all workloads and their changes.
func (c *Compute) WatchWorkloads(_ *computev1.WatchWorkloadsRequest, stream grpc.ServerStreamingServer[computev1.WatchWorkloadsResponse]) error {
	shown := map[string]*computev1.Workload{}
	for first := true; ; first = false {
		now, changed, err := c.snapshot()
		if err != nil {
			return err
		}
		for name, w := range now {
			if proto.Equal(shown[name], w) {
				continue
			}
			if err := stream.Send(&computev1.WatchWorkloadsResponse{Event: &computev1.WatchWorkloadsResponse_Changed{Changed: w}}); err != nil {
				return err
			}
		}
		for name := range shown {
			if now[name] != nil {
				continue
			}
			if err := stream.Send(&computev1.WatchWorkloadsResponse{Event: &computev1.WatchWorkloadsResponse_Deleted{Deleted: name}}); err != nil {
				return err
			}
		}
		shown = now
		if first {
			if err := stream.Send(&computev1.WatchWorkloadsResponse{Event: &computev1.WatchWorkloadsResponse_Synced{Synced: true}}); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-changed:
		}
	}
}

// ReadWorkloadLogs gives one line for each workload.
func (c *Compute) ReadWorkloadLogs(req *computev1.ReadWorkloadLogsRequest, stream grpc.ServerStreamingServer[computev1.ReadWorkloadLogsResponse]) error {
	spec := c.Spec(req.GetName())
	if spec == nil {
		return fail(apierr.NotFound, "there is no workload %s", req.GetName())
	}
	if req.GetReplica() != "" && req.GetReplica() != "r0" {
		return nil
	}
	line := &computev1.LogLine{Replica: "r0", Text: "init of " + spec.GetVersion()}
	return stream.Send(&computev1.ReadWorkloadLogsResponse{Lines: []*computev1.LogLine{line}})
}

func (c *Compute) snapshot() (map[string]*computev1.Workload, chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]*computev1.Workload{}
	for name, w := range c.workloads {
		all[name] = proto.CloneOf(w)
	}
	return all, c.changed, c.away()
}

// become lets the newest spec take effect; replicas of an earlier one go on when
// it fails. The caller holds the lock.
func (c *Compute) become(w *computev1.Workload) {
	o := c.behave(w.GetSpec())
	w.ObservedGeneration, w.State = w.GetGeneration(), o.State
	w.Ready = &resourcev1.Condition{Type: "Ready", Reason: o.Reason, Message: o.Message, LogLines: o.LogLines}
	if o.State != computev1.Workload_STATE_HEALTHY {
		return
	}
	w.Replicas = nil
	for i := range w.GetSpec().GetReplicas() {
		w.Replicas = append(w.Replicas, &computev1.Replica{Id: fmt.Sprintf("g%d-%d", w.GetGeneration(), i), State: computev1.Replica_STATE_READY, Generation: w.GetGeneration()})
	}
}

func (c *Compute) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Compute) away() error {
	if c.down {
		return fail(apierr.Unavailable, "compute is away")
	}
	return nil
}

func fail(kind apierr.Kind, format string, args ...any) error {
	return apierr.ToStatus(apierr.New(kind, "FAKE", format, args...)).Err()
}
