package auth_test

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

const tokenEndpoint = "workspaces/default/endpoints/diabetes"

func (b *bed) tokens() authv1.TokenServiceClient { return authv1.NewTokenServiceClient(b.edge) }

// ensure has the deploy service tell of the endpoint.
func (b *bed) ensureMode(t *testing.T, uid string, mode authv1.EndpointAuthMode) {
	t.Helper()
	must[*authv1.EnsureEndpointKeysResponse](t)(b.services().EnsureEndpointKeys(t.Context(), &authv1.EnsureEndpointKeysRequest{
		Name: tokenEndpoint, EndpointUid: uid, AuthMode: mode,
	}))
}

// view is what a router knows of tokens.
type view struct {
	keys        map[string]ed25519.PublicKey
	generations map[string]int64 // by uid
	synced      bool
}

// watch follows what tokens are verified by until until says so.
func (b *bed) watch(t *testing.T, until func(view) bool) view {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream := must[grpc.ServerStreamingClient[authv1.WatchTokenKeysResponse]](t)(
		authv1.NewTokenServiceClient(b.peer).WatchTokenKeys(ctx, &authv1.WatchTokenKeysRequest{}))
	v := view{keys: map[string]ed25519.PublicKey{}, generations: map[string]int64{}}
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		switch e := m.GetEvent().(type) {
		case *authv1.WatchTokenKeysResponse_Key:
			v.keys[e.Key.GetKid()] = e.Key.GetPublicKey()
		case *authv1.WatchTokenKeysResponse_WithdrawnKid:
			delete(v.keys, e.WithdrawnKid)
		case *authv1.WatchTokenKeysResponse_Generation:
			v.generations[e.Generation.GetEndpointUid()] = e.Generation.GetGeneration()
		case *authv1.WatchTokenKeysResponse_Synced:
			v.synced = true
		}
		if v.synced && until(v) {
			return v
		}
	}
}

// read verifies a token as a router does and gives its claims.
func (v view) read(token string) (claims jwt.MapClaims, kid string, err error) {
	claims = jwt.MapClaims{}
	_, err = jwt.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		kid, _ = t.Header["kid"].(string)
		return v.keys[kid], nil
	}, jwt.WithValidMethods([]string{"EdDSA"}))
	return claims, kid, err
}

func synced(view) bool { return true }

func TestTokensOfAnEndpoint(t *testing.T) {
	b := start(t)
	get := func(lifetime time.Duration) (*authv1.EndpointToken, error) {
		req := &authv1.GetEndpointTokenRequest{Name: tokenEndpoint}
		if lifetime != 0 {
			req.Lifetime = durationpb.New(lifetime)
		}
		return b.tokens().GetEndpointToken(b.admin(t), req)
	}
	_, err := get(0)
	failsWith(t, err, apierr.NotFound, "ENDPOINT_KEYS_NOT_FOUND")
	b.ensureMode(t, "u1", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_UNSPECIFIED)
	_, err = get(0)
	failsWith(t, err, apierr.FailedPrecondition, "ENDPOINT_NOT_IN_TOKEN_MODE")
	uri := "http://data:8080/api/v1/service/" + resourcename.Last(tokenEndpoint) + "/score"
	if got := apierr.FromStatus(err).Metadata["scoringUri"]; got != uri {
		t.Errorf("the refusal says that the endpoint is at %q, want %q", got, uri)
	}
	b.ensureMode(t, "u1", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN)
	_, err = b.keys().ListEndpointKeys(b.admin(t), &authv1.ListEndpointKeysRequest{Name: tokenEndpoint})
	failsWith(t, err, apierr.FailedPrecondition, "ENDPOINT_IN_TOKEN_MODE")
	_, err = get(25 * time.Hour)
	failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "lifetime")

	token := must[*authv1.EndpointToken](t)(get(0))
	if token.GetScoringUri() != uri {
		t.Errorf("the token opens %q, want %q", token.GetScoringUri(), uri)
	}
	if life := time.Until(token.GetExpiryTime().AsTime()); life < 23*time.Hour+59*time.Minute || life > 24*time.Hour {
		t.Errorf("the token is valid for %v, want 24h", life)
	}
	if half := token.GetExpiryTime().AsTime().Sub(token.GetRefreshByTime().AsTime()); half.Round(time.Minute) != 12*time.Hour {
		t.Errorf("it is valid for %v after its refresh time, want 12h", half)
	}
	claims, _, err := b.watch(t, synced).read(token.GetAccessToken())
	if err != nil {
		t.Fatal(err)
	}
	for _, moving := range []string{"exp", "iat", "nbf", "jti"} {
		if claims[moving] == nil {
			t.Errorf("the token has no %s", moving)
		}
		delete(claims, moving)
	}
	want := jwt.MapClaims{"iss": "fairlead", "sub": "admin", "aud": []any{tokenEndpoint}, "endpoint_uid": "u1", "generation": 0.0}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}

	must[*authv1.RevokeEndpointTokensResponse](t)(b.tokens().RevokeEndpointTokens(b.admin(t), &authv1.RevokeEndpointTokensRequest{Name: tokenEndpoint}))
	v := b.watch(t, func(v view) bool { return v.generations["u1"] == 1 })
	token = must[*authv1.EndpointToken](t)(get(time.Hour))
	if claims, _, err = v.read(token.GetAccessToken()); err != nil || claims["generation"] != 1.0 {
		t.Errorf("after the revocation: %v, %v; want generation 1", claims, err)
	}
	wantFacts := []string{"fairlead.auth.endpointkey.v1.created 1", "fairlead.auth.endpointkey.v1.updated 2", "fairlead.auth.endpointtoken.v1.revoked 3"}
	if diff := cmp.Diff(wantFacts, b.facts(tokenEndpoint)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}

	// An endpoint made again begins anew.
	b.ensureMode(t, "u2", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN)
	b.watch(t, func(v view) bool { _, ok := v.generations["u2"]; return ok && v.generations["u2"] == 0 })
}

func TestRotation(t *testing.T) {
	b := start(t)
	b.ensureMode(t, "u1", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN)
	token := func() string {
		return must[*authv1.EndpointToken](t)(b.tokens().GetEndpointToken(b.admin(t), &authv1.GetEndpointTokenRequest{Name: tokenEndpoint})).GetAccessToken()
	}
	before, old := b.watch(t, synced), token()
	r := must[*authv1.RotateSigningKeyResponse](t)(b.tokens().RotateSigningKey(b.admin(t), &authv1.RotateSigningKeyRequest{}))
	fresh := token()
	if _, kid, err := before.read(fresh); err != nil || kid != r.GetKid() {
		t.Errorf("a router that has not heard of the rotation: %v, key %s; it must know the next key %s", err, kid, r.GetKid())
	}
	after := b.watch(t, func(v view) bool { return len(v.keys) == 3 })
	if _, _, err := after.read(old); err != nil {
		t.Errorf("a token from before the rotation: %v", err)
	}

	b.stop()
	b = restart(t, b, nil)
	if _, _, err := after.read(token()); err != nil {
		t.Errorf("the keys changed with a restart: %v", err)
	}
	must[*authv1.RotateSigningKeyResponse](t)(b.tokens().RotateSigningKey(b.admin(t), &authv1.RotateSigningKeyRequest{Withdraw: true}))
	withdrawn := b.watch(t, func(v view) bool { return len(v.keys) == 2 })
	for kid := range after.keys {
		if withdrawn.keys[kid] != nil {
			t.Errorf("key %s is valid though it was withdrawn", kid)
		}
	}
	jwks := must[*authv1.Jwks](t)(authv1.NewTokenServiceClient(b.edge).GetJwks(b.admin(t), &authv1.GetJwksRequest{}))
	for _, k := range jwks.GetKeys() {
		if withdrawn.keys[k.GetKid()] == nil || k.GetKty() != "OKP" || k.GetCrv() != "Ed25519" || k.GetAlg() != "EdDSA" || len(k.GetX()) != 43 {
			t.Errorf("JWKS has %v", k)
		}
	}
}

// A router that starts must not accept a revoked token for as long as it knows the
// keys and not yet the revocations.
func TestRevocationsAreToldBeforeKeys(t *testing.T) {
	b := start(t)
	b.ensureMode(t, "u1", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN)
	must[*authv1.RevokeEndpointTokensResponse](t)(b.tokens().RevokeEndpointTokens(b.admin(t), &authv1.RevokeEndpointTokensRequest{Name: tokenEndpoint}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := must[grpc.ServerStreamingClient[authv1.WatchTokenKeysResponse]](t)(
		authv1.NewTokenServiceClient(b.peer).WatchTokenKeys(ctx, &authv1.WatchTokenKeysRequest{}))
	revoked := false
	for {
		switch e := must[*authv1.WatchTokenKeysResponse](t)(stream.Recv()).GetEvent().(type) {
		case *authv1.WatchTokenKeysResponse_Generation:
			revoked = e.Generation.GetGeneration() == 1
		case *authv1.WatchTokenKeysResponse_Key:
			if !revoked {
				t.Error("a key is told before the revocation")
			}
		case *authv1.WatchTokenKeysResponse_Synced:
			return
		}
	}
}
