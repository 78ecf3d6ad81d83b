package peertest

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/apierr"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// Auth stands in for the keys of the auth service.
type Auth struct {
	authv1.UnimplementedEndpointKeyServiceServer

	mu   sync.Mutex
	keys map[string]Keys
	down bool
}

// Keys are the keys of an endpoint.
type Keys struct {
	UID, Primary, Secondary string
	Mode                    authv1.EndpointAuthMode
}

// NewAuth makes an auth service without keys.
func NewAuth() *Auth { return &Auth{keys: map[string]Keys{}} }

// Register registers the service.
func (a *Auth) Register(r grpc.ServiceRegistrar) { authv1.RegisterEndpointKeyServiceServer(r, a) }

// SetDown lets all calls fail, or ends that.
func (a *Auth) SetDown(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

// Keys gives the keys of an endpoint.
func (a *Auth) Keys(endpoint string) (Keys, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, ok := a.keys[endpoint]
	return k, ok
}

// EnsureEndpointKeys makes keys, or keeps those of the same endpoint.
func (a *Auth) EnsureEndpointKeys(_ context.Context, req *authv1.EnsureEndpointKeysRequest) (*authv1.EnsureEndpointKeysResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down {
		return nil, fail(apierr.Unavailable, "auth is away")
	}
	k := a.keys[req.GetName()]
	if k.UID != req.GetEndpointUid() {
		if req.GetExistingOnly() {
			return &authv1.EnsureEndpointKeysResponse{}, nil
		}
		k = Keys{UID: req.GetEndpointUid(), Primary: "primary-of-" + req.GetEndpointUid(), Secondary: "secondary-of-" + req.GetEndpointUid()}
		if req.GetPrimaryKey() != "" {
			k.Primary = req.GetPrimaryKey()
		}
		if req.GetSecondaryKey() != "" {
			k.Secondary = req.GetSecondaryKey()
		}
	}
	k.Mode = req.GetAuthMode()
	a.keys[req.GetName()] = k
	return &authv1.EnsureEndpointKeysResponse{}, nil
}

// DeleteEndpointKeys removes the keys of the endpoint with the given uid.
func (a *Auth) DeleteEndpointKeys(_ context.Context, req *authv1.DeleteEndpointKeysRequest) (*authv1.DeleteEndpointKeysResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down {
		return nil, fail(apierr.Unavailable, "auth is away")
	}
	if a.keys[req.GetName()].UID == req.GetEndpointUid() {
		delete(a.keys, req.GetName())
	}
	return &authv1.DeleteEndpointKeysResponse{}, nil
}
