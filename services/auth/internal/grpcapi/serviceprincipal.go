package grpcapi

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/rolebinding"
	"github.com/fairlead/fairlead/services/auth/internal/serviceprincipal"
	"github.com/fairlead/fairlead/services/auth/internal/state"
)

// ServicePrincipalDeps are what a ServicePrincipalServer works with.
type ServicePrincipalDeps struct {
	Principals *state.Collection[serviceprincipal.Principal]
	Bindings   *state.Collection[rolebinding.Binding]
	NewUID     func() string
	Now        func() time.Time
}

// ServicePrincipalServer serves ServicePrincipalService.
type ServicePrincipalServer struct {
	authv1.UnsafeServicePrincipalServiceServer
	ServicePrincipalDeps
}

var _ authv1.ServicePrincipalServiceServer = (*ServicePrincipalServer)(nil)

// NewServicePrincipalServer makes the server.
func NewServicePrincipalServer(d ServicePrincipalDeps) *ServicePrincipalServer {
	return &ServicePrincipalServer{ServicePrincipalDeps: d}
}

// ListServicePrincipals lists service principals by name.
func (s *ServicePrincipalServer) ListServicePrincipals(_ context.Context, req *authv1.ListServicePrincipalsRequest) (*authv1.ListServicePrincipalsResponse, error) {
	p, err := page.Parse(req.GetPageSize(), req.GetPageToken(), "servicePrincipals")
	if err != nil {
		return nil, err
	}
	part, next := page.Cut(s.Principals.List(), p, func(p serviceprincipal.Principal) string { return p.ID })
	out := &authv1.ListServicePrincipalsResponse{NextPageToken: next}
	for _, p := range part {
		out.ServicePrincipals = append(out.ServicePrincipals, principalProto(p))
	}
	return out, nil
}

// GetServicePrincipal gets a service principal.
func (s *ServicePrincipalServer) GetServicePrincipal(ctx context.Context, req *authv1.GetServicePrincipalRequest) (*authv1.ServicePrincipal, error) {
	p, err := s.existing(ctx, "name", req.GetName())
	if err != nil {
		return nil, err
	}
	return principalProto(p.Value), nil
}

func (s *ServicePrincipalServer) existing(ctx context.Context, field, name string) (state.Stored[serviceprincipal.Principal], error) {
	v, err := resourcename.NewPattern("servicePrincipals/{service_principal}").ParseField(field, name)
	if err != nil {
		return state.Stored[serviceprincipal.Principal]{}, err
	}
	p, err := s.Principals.Read(ctx, v.Get("service_principal"))
	if err == nil && !p.Exists() {
		err = serviceprincipal.NotFound(v.Get("service_principal"))
	}
	return p, err
}

// CreateServicePrincipal creates a service principal.
func (s *ServicePrincipalServer) CreateServicePrincipal(ctx context.Context, req *authv1.CreateServicePrincipalRequest) (*authv1.ServicePrincipal, error) {
	made, err := serviceprincipal.New(req.GetServicePrincipalId(), s.NewUID(), req.GetServicePrincipal().GetDescription(), s.Now())
	if err != nil {
		return nil, err
	}
	if name := req.GetServicePrincipal().GetName(); name != "" && name != made.Name() {
		return nil, apierr.Invalid(apierr.Violation{Field: "service_principal.name", Description: "must be empty or " + made.Name()})
	}
	err = change(ctx, func() error {
		current, err := s.Principals.Read(ctx, made.ID)
		if err != nil {
			return err
		}
		if current.Exists() {
			return apierr.New(apierr.AlreadyExists, "SERVICE_PRINCIPAL_EXISTS", "service principal %s exists already", made.ID)
		}
		// Roles that were given in the moment of the deletion of a former one.
		if err := removeBindings(ctx, s.Bindings, s.Now, func(b rolebinding.Binding) bool { return b.Principal == made.Principal() }); err != nil {
			return err
		}
		return s.Principals.Commit(ctx, state.Write[serviceprincipal.Principal]{Name: made.ID, Value: &made})
	})
	if err != nil {
		return nil, err
	}
	return principalProto(made), nil
}

// DeleteServicePrincipal deletes a service principal, its role bindings first:
// no later principal of the same name may inherit them.
func (s *ServicePrincipalServer) DeleteServicePrincipal(ctx context.Context, req *authv1.DeleteServicePrincipalRequest) (*authv1.DeleteServicePrincipalResponse, error) {
	gone, err := s.existing(ctx, "name", req.GetName())
	if err != nil {
		return nil, err
	}
	principal := gone.Value.Principal()
	err = removeBindings(ctx, s.Bindings, s.Now, func(b rolebinding.Binding) bool { return b.Principal == principal })
	if err != nil {
		return nil, err
	}
	err = change(ctx, func() error {
		current, err := s.existing(ctx, "name", req.GetName())
		if err != nil {
			return err
		}
		return s.Principals.Commit(ctx, state.Write[serviceprincipal.Principal]{Name: current.Value.ID, Was: current})
	})
	if err != nil {
		return nil, err
	}
	return &authv1.DeleteServicePrincipalResponse{}, nil
}

// CreateServicePrincipalSecret makes a secret.
func (s *ServicePrincipalServer) CreateServicePrincipalSecret(ctx context.Context, req *authv1.CreateServicePrincipalSecretRequest) (*authv1.CreateServicePrincipalSecretResponse, error) {
	out := &authv1.CreateServicePrincipalSecretResponse{}
	err := change(ctx, func() error {
		current, err := s.existing(ctx, "parent", req.GetParent())
		if err != nil {
			return err
		}
		next, made, token, err := current.Value.AddSecret(req.GetLifetime().AsDuration(), s.Now())
		if err != nil {
			return err
		}
		out.Name, out.Secret = next.SecretName(made.ID), token
		if !made.ExpireTime.IsZero() {
			out.ExpireTime = timestamppb.New(made.ExpireTime)
		}
		return s.Principals.Commit(ctx, state.Write[serviceprincipal.Principal]{Name: next.ID, Was: current, Value: &next})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteServicePrincipalSecret makes a secret invalid.
func (s *ServicePrincipalServer) DeleteServicePrincipalSecret(ctx context.Context, req *authv1.DeleteServicePrincipalSecretRequest) (*authv1.DeleteServicePrincipalSecretResponse, error) {
	v, err := resourcename.NewPattern("servicePrincipals/{service_principal}/secrets/{secret}").Parse(req.GetName())
	if err != nil {
		return nil, err
	}
	err = change(ctx, func() error {
		current, err := s.existing(ctx, "name", resourcename.Format("servicePrincipals", v.Get("service_principal")))
		if err != nil {
			return err
		}
		next, ok := current.Value.RemoveSecret(v.Get("secret"))
		if !ok {
			return apierr.New(apierr.NotFound, "SECRET_NOT_FOUND", "there is no secret %s", req.GetName())
		}
		return s.Principals.Commit(ctx, state.Write[serviceprincipal.Principal]{Name: next.ID, Was: current, Value: &next})
	})
	if err != nil {
		return nil, err
	}
	return &authv1.DeleteServicePrincipalSecretResponse{}, nil
}

func principalProto(p serviceprincipal.Principal) *authv1.ServicePrincipal {
	out := &authv1.ServicePrincipal{
		Name: p.Name(), Principal: p.Principal(), Description: p.Description, CreateTime: timestamppb.New(p.CreateTime),
	}
	for _, secret := range p.Secrets {
		one := &authv1.ServicePrincipal_Secret{Name: p.SecretName(secret.ID), CreateTime: timestamppb.New(secret.CreateTime)}
		if !secret.ExpireTime.IsZero() {
			one.ExpireTime = timestamppb.New(secret.ExpireTime)
		}
		out.Secrets = append(out.Secrets, one)
	}
	return out
}
