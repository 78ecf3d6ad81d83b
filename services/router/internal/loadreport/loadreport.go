// Package loadreport tells the deploy service once a second how busy each
// version is, so that it can have as many replicas as the load asks for, and at
// once when requests wait for a version that has none.
//
// Reports are averages over the time since the one before, so a report that is
// lost with a connection costs its second and no more. Scoring does not depend
// on them. A Reporter is a component; Wake may be called by many goroutines.
package loadreport

import (
	"context"
	"log/slog"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/router/internal/admission"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

const (
	period = time.Second
	// calm is the least time between two reports, however many versions wake.
	calm = 50 * time.Millisecond
	// pause is the time before a broken stream is begun again.
	pause = time.Second
)

// Deps are what a Reporter works with.
type Deps struct {
	Logger *slog.Logger
	Deploy grpc.ClientConnInterface
	Routes *routetable.Current
}

// Reporter reports the load of one router.
type Reporter struct {
	deps Deps
	id   string
	wake chan struct{}
	// arrivals were reported last, by gate.
	arrivals map[*admission.Gate]int64
}

// New makes a reporter; Run lets it work.
func New(deps Deps) *Reporter {
	return &Reporter{deps: deps, id: ulid.Make().String(), wake: make(chan struct{}, 1)}
}

// Wake has a report sent soon.
func (r *Reporter) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run reports until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	for failed := false; ; failed = true {
		err := r.stream(ctx)
		if !failed && ctx.Err() == nil {
			r.deps.Logger.Warn("the deploy service does not take load reports; trying again", "error", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// stream reports over one stream until it breaks.
func (r *Reporter) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := deployv1.NewLoadServiceClient(r.deps.Deploy).ReportLoad(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		if err := stream.Send(r.report(time.Now())); err != nil {
			_, err = stream.CloseAndRecv() // says why
			return err
		}
		quiet := time.NewTimer(calm)
		select {
		case <-ctx.Done():
			quiet.Stop()
			return ctx.Err()
		case <-quiet.C:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		case <-r.wake:
		}
	}
}

// report measures every version.
func (r *Reporter) report(now time.Time) *deployv1.ReportLoadRequest {
	out := &deployv1.ReportLoadRequest{Router: r.id}
	arrivals := map[*admission.Gate]int64{}
	for _, e := range r.deps.Routes.Load().Endpoints() {
		for _, v := range e.Versions {
			u := v.Gate.Measure(now)
			arrivals[v.Gate] = u.Arrivals
			if u.Idle() && u.Arrivals == r.arrivals[v.Gate] {
				continue
			}
			out.Loads = append(out.Loads, &deployv1.ReportLoadRequest_VersionLoad{
				Endpoint: resourcename.Format("workspaces", e.ID.Workspace, "endpoints", e.ID.Endpoint), Version: v.Name,
				Busy: u.Busy, Queued: u.Queued, QueuedNow: int32(u.Waiting), Arrivals: u.Arrivals,
			})
		}
	}
	r.arrivals = arrivals
	return out
}
