package grpcapi

import (
	"context"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/access"
)

// AccessServer serves AccessService.
type AccessServer struct {
	authv1.UnsafeAccessServiceServer
	checker *access.Checker
}

var _ authv1.AccessServiceServer = (*AccessServer)(nil)

// NewAccessServer makes the server.
func NewAccessServer(c *access.Checker) *AccessServer { return &AccessServer{checker: c} }

// CheckAccess says who the bearer of a token is, or refuses.
func (s *AccessServer) CheckAccess(ctx context.Context, req *authv1.CheckAccessRequest) (*authv1.CheckAccessResponse, error) {
	principal, err := s.checker.Check(ctx, req.GetToken(), req.GetMethod(), req.GetResource())
	if err != nil {
		return nil, err
	}
	return &authv1.CheckAccessResponse{Principal: principal}, nil
}
