package grpcapi

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/endpointkey"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
	"github.com/fairlead/fairlead/services/auth/internal/identity"
	"github.com/fairlead/fairlead/services/auth/internal/permission"
	"github.com/fairlead/fairlead/services/auth/internal/rolebinding"
	"github.com/fairlead/fairlead/services/auth/internal/serviceprincipal"
	"github.com/fairlead/fairlead/services/auth/internal/state"
)

// bindingIDLength is how much of a uid makes the id of a binding without one.
const bindingIDLength = 20

// RoleBindingDeps are what a RoleBindingServer works with.
type RoleBindingDeps struct {
	Bindings   *state.Collection[rolebinding.Binding]
	Principals *state.Collection[serviceprincipal.Principal]
	Keys       *state.Collection[endpointkey.Keys] // every endpoint has some, whatever opens it
	NewUID     func() string
	Now        func() time.Time
}

// RoleBindingServer serves RoleBindingService.
type RoleBindingServer struct {
	authv1.UnsafeRoleBindingServiceServer
	bindings   *state.Collection[rolebinding.Binding]
	principals *state.Collection[serviceprincipal.Principal]
	keys       *state.Collection[endpointkey.Keys]
	newUID     func() string
	now        func() time.Time
}

var _ authv1.RoleBindingServiceServer = (*RoleBindingServer)(nil)

// NewRoleBindingServer makes the server.
func NewRoleBindingServer(d RoleBindingDeps) *RoleBindingServer {
	return &RoleBindingServer{bindings: d.Bindings, principals: d.Principals, keys: d.Keys, newUID: d.NewUID, now: d.Now}
}

// ListRoleBindings lists the role bindings of a workspace by name.
func (s *RoleBindingServer) ListRoleBindings(_ context.Context, req *authv1.ListRoleBindingsRequest) (*authv1.ListRoleBindingsResponse, error) {
	if _, err := workspaceID("parent", req.GetParent()); err != nil {
		return nil, err
	}
	p, err := page.Parse(req.GetPageSize(), req.GetPageToken(), req.GetParent()+"/roleBindings")
	if err != nil {
		return nil, err
	}
	part, next := page.Cut(s.bindings.Below(req.GetParent()), p, func(b rolebinding.Binding) string { return b.Name })
	out := &authv1.ListRoleBindingsResponse{NextPageToken: next}
	for _, b := range part {
		out.RoleBindings = append(out.RoleBindings, bindingProto(b))
	}
	return out, nil
}

// GetRoleBinding gets a role binding.
func (s *RoleBindingServer) GetRoleBinding(ctx context.Context, req *authv1.GetRoleBindingRequest) (*authv1.RoleBinding, error) {
	b, err := s.existing(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return bindingProto(b.Value), nil
}

func (s *RoleBindingServer) existing(ctx context.Context, name string) (state.Stored[rolebinding.Binding], error) {
	_, err := resourcename.NewPattern("workspaces/{workspace}/roleBindings/{role_binding}").Parse(name)
	if err != nil {
		return state.Stored[rolebinding.Binding]{}, err
	}
	b, err := s.bindings.Read(ctx, name)
	if err == nil && !b.Exists() {
		err = rolebinding.NotFound(name)
	}
	return b, err
}

// CreateRoleBinding gives a principal a role.
func (s *RoleBindingServer) CreateRoleBinding(ctx context.Context, req *authv1.CreateRoleBindingRequest) (*authv1.RoleBinding, error) {
	room, err := workspaceID("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	uid := s.newUID()
	wish := rolebinding.Wish{
		Workspace: room, ID: req.GetRoleBindingId(), Principal: req.GetRoleBinding().GetPrincipal(),
		Role: roleOf(req.GetRoleBinding().GetRole()), Scope: req.GetRoleBinding().GetScope(), CreatedBy: rpc.Principal(ctx),
	}
	if wish.ID == "" {
		wish.ID = "b-" + strings.ToLower(uid)[:bindingIDLength]
	}
	made, f, err := rolebinding.New(wish, uid, s.now())
	if err != nil {
		return nil, err
	}
	err = change(ctx, func() error {
		if err := s.grounded(ctx, made); err != nil {
			return err
		}
		current, err := s.bindings.Read(ctx, made.Name)
		if err != nil {
			return err
		}
		if err := s.admits(current, made, room); err != nil || req.GetValidateOnly() {
			return err
		}
		return s.bindings.Commit(ctx, state.Write[rolebinding.Binding]{
			Name: made.Name, Value: &made, Facts: []fact.Fact{f}, Caller: rpc.Principal(ctx),
		})
	})
	if err != nil {
		return nil, err
	}
	return bindingProto(made), nil
}

// grounded refuses a binding of a service principal or for an endpoint that does
// not exist: whoever makes one of that name later would get the role, or give it.
// Users and groups are the identity provider's.
func (s *RoleBindingServer) grounded(ctx context.Context, made rolebinding.Binding) error {
	var bad apierr.Violations
	if id, ok := strings.CutPrefix(made.Principal, identity.ServicePrincipal); ok {
		p, err := s.principals.Read(ctx, id)
		if err != nil {
			return err
		}
		if !p.Exists() {
			bad.Add("role_binding.principal", "there is no service principal %q; the administrator makes one with: fairlead auth service-principal create -n NAME", id)
		}
	}
	if made.Scope != resourcename.Format("workspaces", resourcename.Workspace(made.Scope)) {
		k, err := s.keys.Read(ctx, made.Scope)
		if err != nil {
			return err
		}
		if !k.Exists() {
			bad.Add("role_binding.scope", "there is no endpoint %s in workspace %s; create it first, a role for an endpoint ends with it",
				resourcename.Last(made.Scope), resourcename.Workspace(made.Scope))
		}
	}
	return bad.Err()
}

// admits refuses a binding that is there already or for which there is no room.
func (s *RoleBindingServer) admits(current state.Stored[rolebinding.Binding], made rolebinding.Binding, room string) error {
	if current.Exists() {
		return apierr.New(apierr.AlreadyExists, "ROLE_BINDING_EXISTS", "role binding %s exists already", made.Name).With("role_binding", made.Name)
	}
	all := s.bindings.Below(resourcename.Format("workspaces", room))
	for _, b := range all {
		if b.Same(made) {
			return apierr.New(apierr.AlreadyExists, "ROLE_BINDING_EXISTS", "%s has the role %s for %s already, by role binding %s",
				b.Principal, b.Role, b.Scope, b.Name).With("role_binding", b.Name)
		}
	}
	if len(all) >= rolebinding.MaxPerWorkspace {
		return apierr.New(apierr.ResourceExhausted, "TOO_MANY_ROLE_BINDINGS",
			"workspace %s has %d role bindings, which is all that it can have; give roles to groups", room, len(all))
	}
	return nil
}

// DeleteRoleBinding takes the role away.
func (s *RoleBindingServer) DeleteRoleBinding(ctx context.Context, req *authv1.DeleteRoleBindingRequest) (*authv1.DeleteRoleBindingResponse, error) {
	err := change(ctx, func() error {
		current, err := s.existing(ctx, req.GetName())
		if err != nil {
			return err
		}
		return s.remove(ctx, current)
	})
	if err != nil {
		return nil, err
	}
	return &authv1.DeleteRoleBindingResponse{}, nil
}

func (s *RoleBindingServer) remove(ctx context.Context, current state.Stored[rolebinding.Binding]) error {
	return removeBinding(ctx, s.bindings, current, s.now())
}

func removeBinding(ctx context.Context, c *state.Collection[rolebinding.Binding], current state.Stored[rolebinding.Binding], now time.Time) error {
	return c.Commit(ctx, state.Write[rolebinding.Binding]{
		Name: current.Value.Name, Was: current, Facts: []fact.Fact{current.Value.Delete(now)}, Caller: rpc.Principal(ctx),
	})
}

// removeBindings removes all role bindings that match.
func removeBindings(ctx context.Context, c *state.Collection[rolebinding.Binding], now func() time.Time, match func(rolebinding.Binding) bool) error {
	for _, b := range c.List() {
		if !match(b) {
			continue
		}
		err := change(ctx, func() error {
			current, err := c.Read(ctx, b.Name)
			if err != nil || !current.Exists() || !match(current.Value) {
				return err
			}
			return removeBinding(ctx, c, current, now())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func roleOf(r authv1.Role) permission.Role {
	switch r {
	case authv1.Role_ROLE_SCORER:
		return permission.Scorer
	case authv1.Role_ROLE_READER:
		return permission.Reader
	case authv1.Role_ROLE_CONTRIBUTOR:
		return permission.Contributor
	case authv1.Role_ROLE_OWNER:
		return permission.Owner
	case authv1.Role_ROLE_UNSPECIFIED:
	}
	return permission.None
}

func roleProto(r permission.Role) authv1.Role {
	switch r {
	case permission.Scorer:
		return authv1.Role_ROLE_SCORER
	case permission.Reader:
		return authv1.Role_ROLE_READER
	case permission.Contributor:
		return authv1.Role_ROLE_CONTRIBUTOR
	case permission.Owner:
		return authv1.Role_ROLE_OWNER
	case permission.None:
	}
	return authv1.Role_ROLE_UNSPECIFIED
}

func bindingProto(b rolebinding.Binding) *authv1.RoleBinding {
	return &authv1.RoleBinding{
		Name: b.Name, Principal: b.Principal, Role: roleProto(b.Role), Scope: b.Scope,
		CreateTime: timestamppb.New(b.CreateTime), CreatedBy: b.CreatedBy,
	}
}
