package grpcapi

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/apierr"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// ReadEndpointLogs streams what replicas have written: one version after the
// other, and when following, all versions as they write.
func (s *Endpoints) ReadEndpointLogs(req *deployv1.ReadEndpointLogsRequest, stream grpc.ServerStreamingServer[deployv1.ReadEndpointLogsResponse]) error {
	e, err := s.read(stream.Context(), "name", req.GetName())
	if err != nil {
		return err
	}
	versions := e.Versions
	if req.GetVersion() != "" {
		v, err := e.Find(req.GetVersion())
		if err != nil {
			return err
		}
		versions = []endpoint.Version{v}
	}
	known := req.GetReplica() == "" || slices.Contains(s.replicaIDs(versions), req.GetReplica())
	if !known && req.GetFollow() {
		return s.noReplica(e, versions, req.GetReplica())
	}
	wrote := known
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(stream.Context())
	if !req.GetFollow() {
		group.SetLimit(1)
	}
	for _, v := range versions {
		group.Go(func() error {
			return s.readLogs(ctx, v, req, func(lines *deployv1.ReadEndpointLogsResponse) error {
				mu.Lock()
				defer mu.Unlock()
				wrote = wrote || len(lines.GetLines()) > 0
				return stream.Send(lines)
			})
		})
	}
	if err := group.Wait(); err != nil || wrote {
		return err
	}
	return s.noReplica(e, versions, req.GetReplica()) // nor is there a log of one that is gone
}

func (s *server) replicaIDs(versions []endpoint.Version) []string {
	var all []string
	for _, v := range versions {
		for _, r := range s.replicas(v) {
			all = append(all, r.GetReplica())
		}
	}
	return all
}

// noReplica refuses a replica that is not known, and names those that are.
func (s *server) noReplica(e endpoint.Endpoint, versions []endpoint.Version, id string) error {
	there := "it has none now"
	if all := s.replicaIDs(versions); len(all) > 0 {
		there = "there are: " + strings.Join(all, ", ")
	}
	return apierr.New(apierr.NotFound, "REPLICA_NOT_FOUND", "endpoint %s has no replica %s and no log of it; %s", e.ID, id, there).With("replica", id)
}

// readLogs passes on the log of one version. A version that compute has not got
// yet has no log.
func (s *Endpoints) readLogs(ctx context.Context, v endpoint.Version, req *deployv1.ReadEndpointLogsRequest, send func(*deployv1.ReadEndpointLogsResponse) error) error {
	lines, err := s.deps.Logs.ReadWorkloadLogs(ctx, &computev1.ReadWorkloadLogsRequest{
		Name: v.Workload, Replica: req.GetReplica(), TailLines: req.GetTailLines(), Follow: req.GetFollow(),
		Previous: req.GetPrevious(), Init: req.GetInit(),
	})
	if err != nil {
		return err
	}
	for {
		part, err := lines.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && apierr.FromStatus(err).Kind == apierr.NotFound && req.GetReplica() == "":
			return nil
		case err != nil:
			return err
		}
		out := &deployv1.ReadEndpointLogsResponse{}
		for _, l := range part.GetLines() {
			out.Lines = append(out.Lines, &deployv1.EndpointLogLine{Time: l.GetTime(), Version: v.ID, Replica: l.GetReplica(), Text: l.GetText()})
		}
		if err := send(out); err != nil {
			return err
		}
	}
}
