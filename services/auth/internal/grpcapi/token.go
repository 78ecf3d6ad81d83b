package grpcapi

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/endpointkey"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
	"github.com/fairlead/fairlead/services/auth/internal/reconciler/signingkeys"
	"github.com/fairlead/fairlead/services/auth/internal/signing"
	"github.com/fairlead/fairlead/services/auth/internal/state"
)

// TokenDeps are what a TokenServer works with.
type TokenDeps struct {
	Keys     *state.Collection[endpointkey.Keys]
	Signing  *signingkeys.Keys
	Lifetime time.Duration // of a token at most
	// ScoringBaseURL begins scoring URIs; empty leaves them out.
	ScoringBaseURL string
	Now            func() time.Time
}

// TokenServer serves TokenService.
type TokenServer struct {
	authv1.UnsafeTokenServiceServer
	TokenDeps
}

var _ authv1.TokenServiceServer = (*TokenServer)(nil)

// NewTokenServer makes the server.
func NewTokenServer(d TokenDeps) *TokenServer { return &TokenServer{TokenDeps: d} }

// GetEndpointToken gives a new token for scoring.
func (s *TokenServer) GetEndpointToken(ctx context.Context, req *authv1.GetEndpointTokenRequest) (*authv1.EndpointToken, error) {
	lifetime := s.Lifetime
	if l := req.GetLifetime(); l != nil {
		if lifetime = l.AsDuration(); lifetime > s.Lifetime || lifetime < time.Second {
			return nil, apierr.Invalid(apierr.Violation{
				Field: "lifetime", Description: fmt.Sprintf("must be 1s to %v, which this installation allows", s.Lifetime),
			})
		}
	}
	k, err := s.existing(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	uri := s.scoringURI(k.Value.Endpoint)
	if err := k.Value.RequireTokens(); err != nil {
		if refusal, ok := errors.AsType[*apierr.Error](err); ok && uri != "" {
			return nil, refusal.With("scoringUri", uri)
		}
		return nil, err
	}
	grant := signing.Grant{
		Principal: rpc.Principal(ctx), Endpoint: k.Value.Endpoint, EndpointUID: k.Value.EndpointUID,
		Generation: k.Value.TokenGeneration, IssueTime: s.Now(), Lifetime: lifetime,
	}
	token, err := s.Signing.Sign(ctx, grant)
	if err != nil {
		return nil, err
	}
	return &authv1.EndpointToken{
		AccessToken: token, TokenType: "Bearer",
		ExpiryTime: timestamppb.New(grant.ExpiryTime()), RefreshByTime: timestamppb.New(grant.RefreshByTime()), ScoringUri: uri,
	}, nil
}

// scoringURI is where routers have an endpoint.
func (s *TokenServer) scoringURI(endpoint string) string {
	if s.ScoringBaseURL == "" {
		return ""
	}
	path := "/service/" + resourcename.Last(endpoint) + "/score"
	if workspace := resourcename.Workspace(endpoint); workspace != "default" {
		path = "/workspaces/" + workspace + path
	}
	return s.ScoringBaseURL + "/api/v1" + path
}

// existing reads what is known of an endpoint.
func (s *TokenServer) existing(ctx context.Context, endpoint string) (state.Stored[endpointkey.Keys], error) {
	if err := checkEndpoint(endpoint); err != nil {
		return state.Stored[endpointkey.Keys]{}, err
	}
	k, err := s.Keys.Read(ctx, endpoint)
	if err == nil && !k.Exists() {
		err = endpointkey.NotFound(endpoint)
	}
	return k, err
}

// RevokeEndpointTokens makes every token that the endpoint's callers have invalid.
func (s *TokenServer) RevokeEndpointTokens(ctx context.Context, req *authv1.RevokeEndpointTokensRequest) (*authv1.RevokeEndpointTokensResponse, error) {
	err := change(ctx, func() error {
		current, err := s.existing(ctx, req.GetName())
		if err != nil {
			return err
		}
		next, f := current.Value.RevokeTokens(s.Now())
		return s.Keys.Commit(ctx, state.Write[endpointkey.Keys]{
			Name: req.GetName(), Was: current, Value: &next, Facts: []fact.Fact{f}, Caller: rpc.Principal(ctx),
		})
	})
	if err != nil {
		return nil, err
	}
	return &authv1.RevokeEndpointTokensResponse{}, nil
}

// GetJwks gives the keys that tokens are verified with.
func (s *TokenServer) GetJwks(ctx context.Context, _ *authv1.GetJwksRequest) (*authv1.Jwks, error) {
	keys, _, err := s.Signing.Verifiers(ctx)
	if err != nil {
		return nil, err
	}
	out := &authv1.Jwks{}
	for _, k := range keys {
		out.Keys = append(out.Keys, &authv1.Jwk{
			Kty: "OKP", Crv: "Ed25519", Kid: k.ID, X: base64.RawURLEncoding.EncodeToString(k.Public), Alg: "EdDSA", Use: "sig",
		})
	}
	return out, nil
}

// RotateSigningKey signs new tokens with the next key.
func (s *TokenServer) RotateSigningKey(ctx context.Context, req *authv1.RotateSigningKeyRequest) (*authv1.RotateSigningKeyResponse, error) {
	ring, err := s.Signing.Rotate(ctx, req.GetWithdraw())
	if err != nil {
		return nil, err
	}
	return &authv1.RotateSigningKeyResponse{Kid: ring.Active.ID}, nil
}
