package grpcapi

import (
	"google.golang.org/grpc"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// WatchEndpointKeyDigests streams the digests of all keys from the cache: what
// there is, the mark that it is whole, then every change. Changes of one
// endpoint that follow each other faster than the caller reads are sent as one.
func (s *EndpointKeyServer) WatchEndpointKeyDigests(_ *authv1.WatchEndpointKeyDigestsRequest, stream grpc.ServerStreamingServer[authv1.WatchEndpointKeyDigestsResponse]) error {
	ctx := stream.Context()
	if err := s.keys.WaitSynced(ctx); err != nil {
		return err
	}
	changes := s.keys.Changes()
	defer changes.Close()
	if err := s.sendDigests(changes.Take(), stream); err != nil {
		return err
	}
	synced := &authv1.WatchEndpointKeyDigestsResponse{Event: &authv1.WatchEndpointKeyDigestsResponse_Synced{Synced: true}}
	if err := stream.Send(synced); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changes.Ready():
			if err := s.sendDigests(changes.Take(), stream); err != nil {
				return err
			}
		}
	}
}

func (s *EndpointKeyServer) sendDigests(endpoints []string, stream grpc.ServerStreamingServer[authv1.WatchEndpointKeyDigestsResponse]) error {
	for _, endpoint := range endpoints {
		d := &authv1.WatchEndpointKeyDigestsResponse_Digests{Endpoint: endpoint}
		if k, ok := s.keys.Cached(endpoint); ok {
			for _, digest := range k.Value.Digests() {
				d.Sha256 = append(d.Sha256, digest[:])
			}
		}
		err := stream.Send(&authv1.WatchEndpointKeyDigestsResponse{
			Event: &authv1.WatchEndpointKeyDigestsResponse_Changed{Changed: d},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
