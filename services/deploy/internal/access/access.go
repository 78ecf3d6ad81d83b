// Package access says to the auth service how callers of endpoints show who they
// are, in that service's words. It keeps no state.
package access

import (
	"context"

	"google.golang.org/grpc"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// keys is what is needed of the auth service.
type keys interface {
	EnsureEndpointKeys(ctx context.Context, in *authv1.EnsureEndpointKeysRequest, opts ...grpc.CallOption) (*authv1.EnsureEndpointKeysResponse, error)
}

// Mode is a mode in the words of the auth service.
func Mode(a endpoint.AuthMode) authv1.EndpointAuthMode {
	switch a {
	case endpoint.AuthNone:
		return authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_NONE
	case endpoint.AuthToken:
		return authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN
	case endpoint.AuthKey:
	}
	return authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_KEY
}

// Tell tells the mode of an endpoint that has its keys.
func Tell(ctx context.Context, to keys, e endpoint.Endpoint) error {
	_, err := to.EnsureEndpointKeys(ctx, &authv1.EnsureEndpointKeysRequest{
		Name: e.Name(), EndpointUid: e.UID, AuthMode: Mode(e.Auth), ExistingOnly: true,
	})
	return err
}
