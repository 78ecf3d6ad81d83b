package grpcapi

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/endpointkey"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
	"github.com/fairlead/fairlead/services/auth/internal/rolebinding"
	"github.com/fairlead/fairlead/services/auth/internal/sealing"
	"github.com/fairlead/fairlead/services/auth/internal/state"
)

// maxEndpointID is the length of the longest endpoint's id.
const maxEndpointID = 32

// EndpointKeyServer serves EndpointKeyService.
type EndpointKeyServer struct {
	authv1.UnsafeEndpointKeyServiceServer
	keys     *state.Collection[endpointkey.Keys]
	bindings *state.Collection[rolebinding.Binding]
	sealer   *sealing.Sealer
	now      func() time.Time
}

var _ authv1.EndpointKeyServiceServer = (*EndpointKeyServer)(nil)

// NewEndpointKeyServer makes the server.
func NewEndpointKeyServer(k *state.Collection[endpointkey.Keys], b *state.Collection[rolebinding.Binding], s *sealing.Sealer, now func() time.Time) *EndpointKeyServer {
	return &EndpointKeyServer{keys: k, bindings: b, sealer: s, now: now}
}

// ListEndpointKeys gives both keys in clear.
func (s *EndpointKeyServer) ListEndpointKeys(ctx context.Context, req *authv1.ListEndpointKeysRequest) (*authv1.EndpointKeys, error) {
	k, err := s.existing(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if err := k.Value.RefuseTokens(); err != nil {
		return nil, err
	}
	return s.reveal(ctx, k.Value)
}

// existing reads the keys of an endpoint that has some.
func (s *EndpointKeyServer) existing(ctx context.Context, endpoint string) (state.Stored[endpointkey.Keys], error) {
	if err := checkEndpoint(endpoint); err != nil {
		return state.Stored[endpointkey.Keys]{}, err
	}
	k, err := s.keys.Read(ctx, endpoint)
	if err == nil && !k.Exists() {
		err = endpointkey.NotFound(endpoint)
	}
	return k, err
}

func (s *EndpointKeyServer) reveal(ctx context.Context, k endpointkey.Keys) (*authv1.EndpointKeys, error) {
	primary, err := s.sealer.Open(ctx, place(k.Endpoint, k.EndpointUID, endpointkey.Primary), k.Primary)
	if err != nil {
		return nil, err
	}
	secondary, err := s.sealer.Open(ctx, place(k.Endpoint, k.EndpointUID, endpointkey.Secondary), k.Secondary)
	if err != nil {
		return nil, err
	}
	return &authv1.EndpointKeys{PrimaryKey: primary.Reveal(), SecondaryKey: secondary.Reveal()}, nil
}

// RegenerateEndpointKey replaces one key.
func (s *EndpointKeyServer) RegenerateEndpointKey(ctx context.Context, req *authv1.RegenerateEndpointKeyRequest) (*authv1.EndpointKeys, error) {
	if err := checkEndpoint(req.GetName()); err != nil {
		return nil, err
	}
	var bad apierr.Violations
	slot := slotOf(req.GetKeyType(), &bad)
	secret, err := secretFor("key_value", req.GetKeyValue(), &bad)
	if err != nil {
		return nil, err
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	// A request id counts for one key of one endpoint.
	requestKey := operation.RequestKey(resourcename.Workspace(req.GetName()),
		resourcename.Format("RegenerateEndpointKey", resourcename.Last(req.GetName()), string(slot)), req.GetRequestId())
	var result endpointkey.Keys
	err = change(ctx, func() (err error) {
		result, err = s.regenerate(ctx, req.GetName(), slot, secret, requestKey)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.reveal(ctx, result)
}

func (s *EndpointKeyServer) regenerate(ctx context.Context, endpoint string, slot endpointkey.Slot, secret endpointkey.Secret, requestKey string) (endpointkey.Keys, error) {
	current, err := s.existing(ctx, endpoint)
	if err != nil {
		return endpointkey.Keys{}, err
	}
	if err := current.Value.RefuseTokens(); err != nil {
		return endpointkey.Keys{}, err
	}
	_, repeated, err := s.keys.Recorded(ctx, requestKey)
	if err != nil || repeated {
		return current.Value, err
	}
	sealed, err := s.sealer.Seal(ctx, place(endpoint, current.Value.EndpointUID, slot), secret)
	if err != nil {
		return endpointkey.Keys{}, err
	}
	next, f, changed, err := current.Value.Regenerate(slot, sealed, s.now())
	if err != nil {
		return endpointkey.Keys{}, err
	}
	if !changed {
		return next, s.keys.Unchanged(ctx, endpoint, requestKey)
	}
	return next, s.keys.Commit(ctx, state.Write[endpointkey.Keys]{
		Name: endpoint, Was: current, Value: &next, Facts: []fact.Fact{f}, Caller: rpc.Principal(ctx), RequestKey: requestKey,
	})
}

// EnsureEndpointKeys makes the keys of a new endpoint, or keeps those that it has.
func (s *EndpointKeyServer) EnsureEndpointKeys(ctx context.Context, req *authv1.EnsureEndpointKeysRequest) (*authv1.EnsureEndpointKeysResponse, error) {
	if err := checkEndpoint(req.GetName()); err != nil {
		return nil, err
	}
	var bad apierr.Violations
	primary, err := secretFor("primary_key", req.GetPrimaryKey(), &bad)
	if err != nil {
		return nil, err
	}
	secondary, err := secretFor("secondary_key", req.GetSecondaryKey(), &bad)
	if err != nil {
		return nil, err
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	err = change(ctx, func() error {
		current, err := s.keys.Read(ctx, req.GetName())
		if err != nil {
			return err
		}
		if current.Exists() && current.Value.EndpointUID == req.GetEndpointUid() {
			return s.setMode(ctx, current, req.GetAuthMode())
		}
		if req.GetExistingOnly() {
			return nil
		}
		// Nobody inherits roles: of one whose deletion was missed, or that were given
		// in the moment of the deletion.
		if err := s.removeRoles(ctx, req.GetName()); err != nil {
			return err
		}
		next, created, err := s.newKeys(ctx, req.GetName(), req.GetEndpointUid(), primary, secondary)
		if err != nil {
			return err
		}
		next.Mode = modeOf(req.GetAuthMode())
		facts := []fact.Fact{created}
		if current.Exists() {
			facts = []fact.Fact{current.Value.Delete(s.now()), created}
		}
		return s.keys.Commit(ctx, state.Write[endpointkey.Keys]{
			Name: req.GetName(), Was: current, Value: &next, Facts: facts, Caller: rpc.Principal(ctx),
		})
	})
	if err != nil {
		return nil, err
	}
	return &authv1.EnsureEndpointKeysResponse{}, nil
}

// setMode takes over how callers of the endpoint show who they are.
func (s *EndpointKeyServer) setMode(ctx context.Context, current state.Stored[endpointkey.Keys], mode authv1.EndpointAuthMode) error {
	if mode == authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_UNSPECIFIED {
		return nil
	}
	next, f, changed := current.Value.WithMode(modeOf(mode), s.now())
	if !changed {
		return nil
	}
	return s.keys.Commit(ctx, state.Write[endpointkey.Keys]{
		Name: current.Value.Endpoint, Was: current, Value: &next, Facts: []fact.Fact{f}, Caller: rpc.Principal(ctx),
	})
}

func modeOf(m authv1.EndpointAuthMode) endpointkey.Mode {
	switch m {
	case authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN:
		return endpointkey.ModeToken
	case authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_NONE:
		return endpointkey.ModeNone
	case authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_UNSPECIFIED, authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_KEY:
	}
	return endpointkey.ModeKey
}

func (s *EndpointKeyServer) newKeys(ctx context.Context, endpoint, uid string, primary, secondary endpointkey.Secret) (endpointkey.Keys, fact.Fact, error) {
	p, err := s.sealer.Seal(ctx, place(endpoint, uid, endpointkey.Primary), primary)
	if err != nil {
		return endpointkey.Keys{}, fact.Fact{}, err
	}
	q, err := s.sealer.Seal(ctx, place(endpoint, uid, endpointkey.Secondary), secondary)
	if err != nil {
		return endpointkey.Keys{}, fact.Fact{}, err
	}
	return endpointkey.New(endpoint, uid, p, q, s.now())
}

// DeleteEndpointKeys removes the keys of a deleted endpoint, and before them the
// roles for it: no later endpoint of the same name may inherit them.
func (s *EndpointKeyServer) DeleteEndpointKeys(ctx context.Context, req *authv1.DeleteEndpointKeysRequest) (*authv1.DeleteEndpointKeysResponse, error) {
	if err := checkEndpoint(req.GetName()); err != nil {
		return nil, err
	}
	err := change(ctx, func() error {
		current, err := s.keys.Read(ctx, req.GetName())
		if err != nil || !current.Exists() {
			return err
		}
		if uid := req.GetEndpointUid(); uid != "" && uid != current.Value.EndpointUID {
			return nil
		}
		if err := s.removeRoles(ctx, req.GetName()); err != nil {
			return err
		}
		return s.keys.Commit(ctx, state.Write[endpointkey.Keys]{
			Name: req.GetName(), Was: current, Facts: []fact.Fact{current.Value.Delete(s.now())}, Caller: rpc.Principal(ctx),
		})
	})
	if err != nil {
		return nil, err
	}
	return &authv1.DeleteEndpointKeysResponse{}, nil
}

// removeRoles removes the roles for an endpoint.
func (s *EndpointKeyServer) removeRoles(ctx context.Context, endpoint string) error {
	return removeBindings(ctx, s.bindings, s.now, func(b rolebinding.Binding) bool { return b.Scope == endpoint })
}

func checkEndpoint(name string) error {
	v, err := resourcename.NewPattern("workspaces/{workspace}/endpoints/{endpoint}").Parse(name)
	if err != nil {
		return err
	}
	if len(v.Get("endpoint")) > maxEndpointID {
		return apierr.Invalid(apierr.Violation{Field: "name", Description: fmt.Sprintf("must end in at most %d characters", maxEndpointID)})
	}
	return nil
}

func slotOf(t authv1.KeyType, bad *apierr.Violations) endpointkey.Slot {
	switch t {
	case authv1.KeyType_KEY_TYPE_PRIMARY:
		return endpointkey.Primary
	case authv1.KeyType_KEY_TYPE_SECONDARY:
		return endpointkey.Secondary
	case authv1.KeyType_KEY_TYPE_UNSPECIFIED:
	}
	bad.Add("key_type", "must be KEY_TYPE_PRIMARY or KEY_TYPE_SECONDARY")
	return ""
}

// secretFor gives the key that was brought in field, or a random one.
func secretFor(field, brought string, bad *apierr.Violations) (endpointkey.Secret, error) {
	if brought == "" {
		return endpointkey.GenerateSecret()
	}
	return endpointkey.ParseSecret(field, brought, bad), nil
}

func place(endpoint, uid string, slot endpointkey.Slot) sealing.Place {
	return sealing.Place{Endpoint: endpoint, EndpointUID: uid, Slot: slot}
}
