package grpcapi

import (
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// Routes is the RouteService.
type Routes struct {
	deployv1.UnsafeRouteServiceServer
	*server
}

var _ deployv1.RouteServiceServer = (*Routes)(nil)

// WatchRoutes streams the routes of all endpoints. Shares are stored with the
// endpoint, so that they are there as soon as the service has started again,
// whether compute answers or not.
func (s *Routes) WatchRoutes(_ *deployv1.WatchRoutesRequest, stream grpc.ServerStreamingServer[deployv1.WatchRoutesResponse]) error {
	ctx, cache := stream.Context(), s.deps.State.Endpoints()
	if err := cache.WaitSynced(ctx); err != nil {
		return err
	}
	changes := cache.Subscribe()
	defer changes.Close()
	sent := map[string]*deployv1.Route{}
	for first := true; ; first = false {
		for _, key := range changes.Take() {
			item, ok := cache.Get(key)
			if err := send(stream, sent, key, item.Value, ok && item.Value.Deletion == nil); err != nil {
				return err
			}
		}
		if first {
			if err := stream.Send(&deployv1.WatchRoutesResponse{Event: &deployv1.WatchRoutesResponse_Synced{Synced: true}}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changes.Ready():
		}
	}
}

// send sends a route that differs from the one sent last.
func send(stream grpc.ServerStreamingServer[deployv1.WatchRoutesResponse], sent map[string]*deployv1.Route, key string, e endpoint.Endpoint, there bool) error {
	last, known := sent[key]
	if !there {
		if !known {
			return nil
		}
		delete(sent, key)
		return stream.Send(&deployv1.WatchRoutesResponse{Event: &deployv1.WatchRoutesResponse_Deleted{Deleted: last.GetEndpoint()}})
	}
	route := routeOf(e)
	if known && proto.Equal(last, route) {
		return nil
	}
	sent[key] = route
	return stream.Send(&deployv1.WatchRoutesResponse{Event: &deployv1.WatchRoutesResponse_Changed{Changed: route}})
}

func routeOf(e endpoint.Endpoint) *deployv1.Route {
	out := &deployv1.Route{
		Endpoint: e.Name(), EndpointUid: e.UID, AuthMode: authMode(e.Auth), DefaultVersion: e.DefaultVersion, Generation: e.Generation,
		TelemetryEnabled: e.Telemetry,
	}
	for _, v := range e.Versions {
		out.Versions = append(out.Versions, &deployv1.RouteVersion{
			Version: v.ID, Share: int32(e.Share(v.ID)), Workload: v.Workload, RequestSettings: requestSettings(v.Spec.Requests),
			HoldWhenEmpty: v.Spec.HoldsWhenEmpty(), Runtime: runtimeKindTo(v.Spec.RuntimeKind()),
		})
	}
	return out
}
