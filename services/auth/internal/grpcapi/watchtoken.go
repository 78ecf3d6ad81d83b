package grpcapi

import (
	"context"
	"time"

	"google.golang.org/grpc"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// tokenStream is one watch of what tokens are verified by.
type tokenStream struct {
	*TokenServer
	stream grpc.ServerStreamingServer[authv1.WatchTokenKeysResponse]
	sent   map[string]bool // ids of keys that the caller knows
}

// WatchTokenKeys streams the keys and the endpoints' revocations from the caches:
// what there is, the mark that it is whole, then every change.
func (s *TokenServer) WatchTokenKeys(_ *authv1.WatchTokenKeysRequest, stream grpc.ServerStreamingServer[authv1.WatchTokenKeysResponse]) error {
	ctx := stream.Context()
	if err := s.Keys.WaitSynced(ctx); err != nil {
		return err
	}
	endpoints := s.Keys.Changes()
	defer endpoints.Close()
	rings := s.Signing.Rings.Changes()
	defer rings.Close()
	w := &tokenStream{TokenServer: s, stream: stream, sent: map[string]bool{}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	// The revocations first: a router must not know a key before it knows which of
	// its tokens are revoked.
	if err := w.sendGenerations(endpoints.Take()); err != nil {
		return err
	}
	if err := w.sendKeys(ctx, timer); err != nil {
		return err
	}
	synced := &authv1.WatchTokenKeysResponse{Event: &authv1.WatchTokenKeysResponse_Synced{Synced: true}}
	if err := stream.Send(synced); err != nil {
		return err
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-endpoints.Ready():
			err = w.sendGenerations(endpoints.Take())
		case <-rings.Ready():
			rings.Take()
			err = w.sendKeys(ctx, timer)
		case <-timer.C:
			err = w.sendKeys(ctx, timer)
		}
		if err != nil {
			return err
		}
	}
}

// sendKeys tells of the keys that are new or gone, and has the timer fire when
// that changes by itself.
func (w *tokenStream) sendKeys(ctx context.Context, timer *time.Timer) error {
	keys, next, err := w.Signing.Verifiers(ctx)
	if err != nil {
		return err
	}
	timer.Stop()
	if !next.IsZero() {
		timer.Reset(max(next.Sub(w.Now()), time.Millisecond))
	}
	valid := map[string]bool{}
	for _, k := range keys {
		valid[k.ID] = true
		if w.sent[k.ID] {
			continue
		}
		key := &authv1.TokenKey{Kid: k.ID, PublicKey: k.Public}
		if err := w.stream.Send(&authv1.WatchTokenKeysResponse{Event: &authv1.WatchTokenKeysResponse_Key{Key: key}}); err != nil {
			return err
		}
	}
	for id := range w.sent {
		if valid[id] {
			continue
		}
		gone := &authv1.WatchTokenKeysResponse{Event: &authv1.WatchTokenKeysResponse_WithdrawnKid{WithdrawnKid: id}}
		if err := w.stream.Send(gone); err != nil {
			return err
		}
	}
	w.sent = valid
	return nil
}

func (w *tokenStream) sendGenerations(endpoints []string) error {
	for _, endpoint := range endpoints {
		g := &authv1.TokenGeneration{Endpoint: endpoint}
		if k, ok := w.Keys.Cached(endpoint); ok {
			g.EndpointUid, g.Generation = k.Value.EndpointUID, k.Value.TokenGeneration
		}
		err := w.stream.Send(&authv1.WatchTokenKeysResponse{Event: &authv1.WatchTokenKeysResponse_Generation{Generation: g}})
		if err != nil {
			return err
		}
	}
	return nil
}
