// Package grpcapi answers RouterService: it shows the route table in force. It
// reads the same immutable table as the data plane and may be called by many
// goroutines.
package grpcapi

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

var _ routerv1.RouterServiceServer = (*Server)(nil)

// Server implements RouterService.
type Server struct {
	routerv1.UnsafeRouterServiceServer

	routes *routetable.Current
	fresh  func() bool
}

// New shows the table in force; fresh says whether it is kept up to date.
func New(routes *routetable.Current, fresh func() bool) *Server {
	return &Server{routes: routes, fresh: fresh}
}

// GetRouteTable gives the table that requests are answered by now.
func (s *Server) GetRouteTable(context.Context, *routerv1.GetRouteTableRequest) (*routerv1.RouteTable, error) {
	table := s.routes.Load()
	out := &routerv1.RouteTable{Fresh: s.fresh()}
	if !table.UpdateTime.IsZero() {
		out.UpdateTime = timestamppb.New(table.UpdateTime)
	}
	for _, e := range table.Endpoints() {
		entry := &routerv1.RouteEntry{
			Endpoint: resourcename.Format("workspaces", e.ID.Workspace, "endpoints", e.ID.Endpoint),
			Keys:     int32(e.Keys.Len()),
		}
		for _, v := range e.Versions {
			entry.Versions = append(entry.Versions, versionProto(v))
		}
		out.Entries = append(out.Entries, entry)
	}
	return out, nil
}

func versionProto(v *routetable.Version) *routerv1.RouteEntryVersion {
	load := v.Gate.Load()
	out := &routerv1.RouteEntryVersion{Version: v.Name, Percent: float64(v.Share) / 100, Queued: int32(load.Queued)}
	for _, r := range v.Replicas {
		if r.State != balancing.Ready {
			continue
		}
		out.Replicas = append(out.Replicas, &routerv1.RouteReplica{
			Replica: resourcename.Last(r.Key), Address: r.Address,
			InFlight: int32(load.InFlight[r.Key]), MaxConcurrentRequests: int32(r.Capacity),
		})
	}
	return out
}
