package grpcapi

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	"github.com/fairlead/fairlead/services/compute/internal/board"
	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/fact"
	"github.com/fairlead/fairlead/services/compute/internal/inventory"
	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/state"
	"github.com/fairlead/fairlead/services/compute/internal/target"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// Workloads is WorkloadService.
type Workloads struct {
	computev1.UnsafeWorkloadServiceServer
	deps Deps
	logs driver.Logs
}

var _ computev1.WorkloadServiceServer = (*Workloads)(nil)

// NewWorkloads makes the service.
func NewWorkloads(deps Deps, logs driver.Logs) *Workloads { return &Workloads{deps: deps, logs: logs} }

// defaultTail is how many lines a log begins with when the caller does not say.
const defaultTail = 5000

// ApplyWorkload makes a workload be as given.
func (s *Workloads) ApplyWorkload(ctx context.Context, req *computev1.ApplyWorkloadRequest) (*computev1.Workload, error) {
	v, err := workloadPattern.Parse(req.GetName())
	if err != nil {
		return nil, err
	}
	spec := specOf(req.GetSpec())
	var applied workload.Workload
	err = retry(func() error {
		applied, err = s.apply(ctx, v, spec, req.GetValidateOnly())
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.proto(applied, nil), nil
}

func (s *Workloads) apply(ctx context.Context, v resourcename.Values, spec workload.Spec, validateOnly bool) (workload.Workload, error) {
	workspace, targetID, id := v.Get("workspace"), v.Get("compute_target"), v.Get("workload")
	now := s.deps.Clock().UTC()
	on, err := s.deps.State.Target(ctx, workspace, targetID)
	if err != nil {
		return workload.Workload{}, err
	}
	old, err := s.deps.State.Workload(ctx, workspace, targetID, id)
	known := err == nil
	if err != nil && apierr.KindOf(err) != apierr.NotFound {
		return workload.Workload{}, err
	}
	var next workload.Workload
	var facts []fact.Fact
	if known {
		next, facts, err = workload.Apply(old.Value, spec, now)
	} else {
		identity := workload.Identity{Workspace: workspace, Target: targetID, ID: id, UID: strings.ToLower(ulid.MustNewDefault(now).String())}
		next, facts, err = workload.Create(identity, spec, now)
	}
	if err != nil {
		return workload.Workload{}, err
	}
	if why := spec.ProcessRefusal(); why != "" { // as on every target that there is
		return workload.Workload{}, apierr.Invalid(apierr.Violation{Field: "spec.runtime.custom.image", Description: why})
	}
	if validateOnly {
		return next, s.mustRun(ctx, on.Value, next)
	}
	if len(facts) == 0 {
		return next, nil
	}
	b := store.Batch{
		Ops:    []store.Op{state.PutWorkload(next, old.Revision)},
		Guards: []store.Guard{state.GuardTarget(on.Value, on.Revision)},
	}
	if !known {
		b.Ops = append(b.Ops, state.PassTurnstile(next))
	}
	return next, s.deps.State.Commit(ctx, now, facts, b)
}

// mustRun checks that one replica fits on an empty node and that an interpreter
// has what it asks.
func (s *Workloads) mustRun(ctx context.Context, t target.Target, w workload.Workload) error {
	var bad apierr.Violations
	nodes := inventory.Nodes(t, s.deps.Machine.Accelerators(), nil)
	if refusal := placement.FitsEmpty(nodes, placement.Ask{Workload: w.Name(), Amount: w.Spec.Request}); refusal != "" {
		bad.Add("spec.resources", "would fit on no node of %s even if all were empty: %s", t.Name(), refusal)
	}
	err := s.deps.Machine.CheckPython(ctx, w.Spec.Python)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		bad.Add("spec.python", "%s", err.Error())
	}
	return bad.Err()
}

// retry does it again when someone else changed the same meanwhile.
func retry(do func() error) error {
	const tries = 10
	var err error
	for range tries {
		err = do()
		if _, conflict := errors.AsType[*store.ConflictError](err); !conflict {
			return err
		}
	}
	return apierr.New(apierr.Conflict, "CONCURRENT_CHANGE", "others keep changing the same; try again").Because(err)
}

// GetWorkload gives a workload with its replicas.
func (s *Workloads) GetWorkload(ctx context.Context, req *computev1.GetWorkloadRequest) (*computev1.Workload, error) {
	w, err := s.read(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return s.proto(w, s.deps.Machine.Usage()), nil
}

func (s *Workloads) read(ctx context.Context, name string) (workload.Workload, error) {
	v, err := workloadPattern.Parse(name)
	if err != nil {
		return workload.Workload{}, err
	}
	w, err := s.deps.State.Workload(ctx, v.Get("workspace"), v.Get("compute_target"), v.Get("workload"))
	return w.Value, err
}

// proto adds the replicas that can be seen, with what they use.
func (s *Workloads) proto(w workload.Workload, usage map[string]replica.Usage) *computev1.Workload {
	var replicas []replica.Replica
	if e, ok := s.deps.Board.Get(w.Name()); ok && e.Workload.UID == w.UID {
		replicas = slices.Clone(e.Replicas)
	}
	for i, r := range replicas {
		if now, ok := usage[r.ID]; ok {
			replicas[i].Usage = now
		}
	}
	return workloadProto(w, replicas)
}

// ListWorkloads lists the workloads of a target.
func (s *Workloads) ListWorkloads(ctx context.Context, req *computev1.ListWorkloadsRequest) (*computev1.ListWorkloadsResponse, error) {
	v, err := targetPattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	p, err := page.Parse(req.GetPageSize(), req.GetPageToken(), req.GetParent())
	if err != nil {
		return nil, err
	}
	if _, err := s.deps.State.Target(ctx, v.Get("workspace"), v.Get("compute_target")); err != nil {
		return nil, err
	}
	all, err := s.deps.State.Workloads(ctx, v.Get("workspace"), v.Get("compute_target"))
	if err != nil {
		return nil, err
	}
	part, next := page.Cut(all, p, workload.Workload.Name)
	usage := s.deps.Machine.Usage()
	out := &computev1.ListWorkloadsResponse{NextPageToken: next}
	for _, w := range part {
		out.Workloads = append(out.Workloads, s.proto(w, usage))
	}
	return out, nil
}

// DeleteWorkload drains and removes a workload.
func (s *Workloads) DeleteWorkload(ctx context.Context, req *computev1.DeleteWorkloadRequest) (*computev1.DeleteWorkloadResponse, error) {
	v, err := workloadPattern.Parse(req.GetName())
	if err != nil {
		return nil, err
	}
	err = retry(func() error {
		now := s.deps.Clock().UTC()
		old, err := s.deps.State.Workload(ctx, v.Get("workspace"), v.Get("compute_target"), v.Get("workload"))
		if err != nil {
			return err
		}
		next, facts := workload.Delete(old.Value, now)
		if len(facts) == 0 {
			return nil
		}
		return s.deps.State.Commit(ctx, now, facts, store.Batch{Ops: []store.Op{state.PutWorkload(next, old.Revision)}})
	})
	if err != nil && apierr.KindOf(err) != apierr.NotFound {
		return nil, err
	}
	return &computev1.DeleteWorkloadResponse{}, nil
}

// WatchWorkloads streams what the board shows.
func (s *Workloads) WatchWorkloads(_ *computev1.WatchWorkloadsRequest, stream grpc.ServerStreamingServer[computev1.WatchWorkloadsResponse]) error {
	ctx := stream.Context()
	select {
	case <-s.deps.Board.Filled():
	case <-ctx.Done():
		return ctx.Err()
	}
	w := s.deps.Board.Watch()
	defer w.Close()
	if err := sendChanges(w, stream); err != nil {
		return err
	}
	if err := stream.Send(&computev1.WatchWorkloadsResponse{Event: &computev1.WatchWorkloadsResponse_Synced{Synced: true}}); err != nil {
		return err
	}
	for {
		select {
		case <-w.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := sendChanges(w, stream); err != nil {
			return err
		}
	}
}

func sendChanges(w *board.Watcher, stream grpc.ServerStreamingServer[computev1.WatchWorkloadsResponse]) error {
	changed, gone := w.Take()
	for _, e := range changed {
		msg := &computev1.WatchWorkloadsResponse_Changed{Changed: workloadProto(e.Workload, e.Replicas)}
		if err := stream.Send(&computev1.WatchWorkloadsResponse{Event: msg}); err != nil {
			return err
		}
	}
	for _, name := range gone {
		msg := &computev1.WatchWorkloadsResponse_Deleted{Deleted: name}
		if err := stream.Send(&computev1.WatchWorkloadsResponse{Event: msg}); err != nil {
			return err
		}
	}
	return nil
}

// uidForLogs finds a workload for its logs; those of one that is gone stay for a while.
func (s *Workloads) uidForLogs(ctx context.Context, name string) (string, error) {
	w, err := s.read(ctx, name)
	if apierr.KindOf(err) == apierr.NotFound {
		if uid := s.logs.GoneWorkload(name); uid != "" {
			return uid, nil
		}
	}
	return w.UID, err
}

// ReadWorkloadLogs streams lines of log.
func (s *Workloads) ReadWorkloadLogs(req *computev1.ReadWorkloadLogsRequest, stream grpc.ServerStreamingServer[computev1.ReadWorkloadLogsResponse]) error {
	ctx := stream.Context()
	uid, err := s.uidForLogs(ctx, req.GetName())
	if err != nil {
		return err
	}
	tail := int(req.GetTailLines())
	if tail == 0 {
		tail = defaultTail
	}
	query := driver.LogQuery{
		WorkloadUID: uid, Replica: req.GetReplica(), Tail: tail, Follow: req.GetFollow(), Previous: req.GetPrevious(), Init: req.GetInit(),
	}
	for lines, err := range s.logs.ReadLogs(ctx, query) {
		if err != nil {
			return err
		}
		out := &computev1.ReadWorkloadLogsResponse{Lines: make([]*computev1.LogLine, len(lines))}
		for i, l := range lines {
			out.Lines[i] = &computev1.LogLine{Time: timestamppb.New(l.Time.Truncate(time.Microsecond)), Replica: l.Replica, Text: l.Text}
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
	return nil
}
