package grpcapi

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/rpc"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/access"
	"github.com/fairlead/fairlead/services/auth/internal/identity"
	"github.com/fairlead/fairlead/services/auth/internal/permission"
	"github.com/fairlead/fairlead/services/auth/internal/rolebinding"
)

// IdentityServer serves IdentityService.
type IdentityServer struct {
	authv1.UnsafeIdentityServiceServer
	checker *access.Checker
}

var _ authv1.IdentityServiceServer = (*IdentityServer)(nil)

// NewIdentityServer makes the server.
func NewIdentityServer(c *access.Checker) *IdentityServer { return &IdentityServer{checker: c} }

// caller says who calls, with its groups. A service by itself may see all.
func caller(ctx context.Context, c *access.Checker) (identity.Identity, error) {
	token := rpc.Bearer(ctx)
	if token == "" {
		return identity.Identity{Principal: identity.Admin}, nil
	}
	return c.Identify(ctx, token)
}

// GetIdentity says who the caller is.
func (s *IdentityServer) GetIdentity(ctx context.Context, _ *authv1.GetIdentityRequest) (*authv1.Identity, error) {
	who, err := caller(ctx, s.checker)
	if err != nil {
		return nil, err
	}
	out := &authv1.Identity{Principal: who.Principal, Groups: who.Groups}
	if !who.ExpireTime.IsZero() {
		out.ExpireTime = timestamppb.New(who.ExpireTime)
	}
	bindings := s.checker.Bindings(who, "")
	slices.SortFunc(bindings, func(a, b rolebinding.Binding) int { return strings.Compare(a.Scope+" "+a.Name, b.Scope+" "+b.Name) })
	for _, b := range bindings {
		out.Grants = append(out.Grants, &authv1.Identity_Grant{Role: roleProto(b.Role), Scope: b.Scope, RoleBinding: b.Name})
	}
	return out, nil
}

// TestAccess says whether the caller may call a method on a resource.
func (s *IdentityServer) TestAccess(ctx context.Context, req *authv1.TestAccessRequest) (*authv1.TestAccessResponse, error) {
	method, _, ok := permission.Find(req.GetMethod())
	if !ok {
		return nil, apierr.Invalid(apierr.Violation{
			Field: "method", Description: "must be a gRPC method such as /fairlead.deploy.v1.EndpointService/CreateEndpoint, " +
				"or the end of one where only one method is called so",
		})
	}
	who, err := caller(ctx, s.checker)
	if err != nil {
		return nil, err
	}
	out := &authv1.TestAccessResponse{Method: method}
	err = s.checker.Decide(ctx, who, method, req.GetResource())
	switch apierr.KindOf(err) {
	case apierr.PermissionDenied, apierr.NotFound:
		out.Reason = err.Error()
	default:
		if err != nil {
			return nil, err
		}
		out.Allowed = true
	}
	return out, nil
}
