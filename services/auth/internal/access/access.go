// Package access decides who may call the control plane: it finds out who a
// bearer token belongs to, and what that principal's roles allow.
//
// What a method needs is in package permission. A workspace that the caller has
// no role in looks as if it did not exist. A Checker holds no state of its own
// and is safe for concurrent use.
package access

import (
	"context"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/auth/internal/admintoken"
	"github.com/fairlead/fairlead/services/auth/internal/identity"
	"github.com/fairlead/fairlead/services/auth/internal/permission"
	"github.com/fairlead/fairlead/services/auth/internal/rolebinding"
	"github.com/fairlead/fairlead/services/auth/internal/serviceprincipal"
	"github.com/fairlead/fairlead/services/auth/internal/workspace"
)

// workspaces knows which workspaces exist.
type workspaces interface {
	Exists(ctx context.Context, id string) (bool, error)
}

// principals knows the service principals.
type principals interface {
	Find(ctx context.Context, id string) (serviceprincipal.Principal, bool, error)
}

// bindings knows the role bindings.
type bindings interface {
	// In gives those of a workspace, or all of them for "".
	In(workspace string) []rolebinding.Binding
}

// users verifies tokens of identity providers.
type users interface {
	Verify(ctx context.Context, token string) (identity.Identity, error)
}

// Deps are what a Checker asks.
type Deps struct {
	Admin      admintoken.Verifier
	Workspaces workspaces
	Principals principals
	Bindings   bindings
	Users      users
	Now        func() time.Time
}

// Checker decides on calls.
type Checker struct {
	deps Deps
}

// NewChecker makes a Checker.
func NewChecker(deps Deps) *Checker { return &Checker{deps: deps} }

// Identify says who the bearer of token is; Unauthenticated when nobody knows it.
func (c *Checker) Identify(ctx context.Context, token string) (identity.Identity, error) {
	if c.deps.Admin.Verify(token) {
		return identity.Identity{Principal: identity.Admin}, nil
	}
	if id, ok := serviceprincipal.Owner(token); ok {
		return c.servicePrincipal(ctx, id, token)
	}
	if strings.Count(token, ".") == 2 { // a JSON Web Token
		return c.deps.Users.Verify(ctx, token)
	}
	return identity.Identity{}, unknownToken()
}

func (c *Checker) servicePrincipal(ctx context.Context, id, token string) (identity.Identity, error) {
	p, exists, err := c.deps.Principals.Find(ctx, id)
	if err != nil {
		return identity.Identity{}, err
	}
	who, ok, expired := p.Verify(token, c.deps.Now())
	switch {
	case exists && ok:
		return who, nil
	case exists && expired:
		return identity.Identity{}, apierr.New(apierr.Unauthenticated, "TOKEN_EXPIRED",
			"the secret of service principal %s expired at %s; make a new one with: fairlead auth service-principal create-secret -n %s",
			id, who.ExpireTime.UTC().Format(time.RFC3339), id)
	}
	return identity.Identity{}, unknownToken()
}

func unknownToken() error {
	return apierr.New(apierr.Unauthenticated, "TOKEN_UNKNOWN",
		"the bearer token is not known: send the administrator's token, which the server keeps in its data directory, "+
			"the secret of a service principal, or sign in with: fairlead auth login")
}

// Check gives the principal behind token when it may call method on resource,
// which can be empty. Unauthenticated for an unknown token; NotFound when the
// resource's workspace does not exist for it; PermissionDenied otherwise.
func (c *Checker) Check(ctx context.Context, token, method, resource string) (string, error) {
	who, err := c.Identify(ctx, token)
	if err != nil {
		return "", err
	}
	return who.Principal, c.Decide(ctx, who, method, resource)
}

// Decide refuses a call that who may not make.
func (c *Checker) Decide(ctx context.Context, who identity.Identity, method, resource string) error {
	rule, known := permission.Table()[method]
	if !known || rule.Where == permission.Services {
		return apierr.New(apierr.PermissionDenied, "SERVICES_ONLY", "%s is for Fairlead's own services", method).
			With("method", method).With("principal", who.Principal)
	}
	if who.IsAdmin() {
		return c.exists(ctx, rule, resource)
	}
	verdict, has := permission.Decide(rule, resource, c.Grants(who, resourcename.Workspace(resource)))
	switch verdict {
	case permission.Allowed:
		return nil
	case permission.Hidden:
		return hidden(resourcename.Workspace(resource), who)
	case permission.Refused:
	}
	return refused(who, method, resource, rule, has)
}

// exists has the administrator told that a workspace does not exist.
func (c *Checker) exists(ctx context.Context, rule permission.Rule, resource string) error {
	id := resourcename.Workspace(resource)
	if id == "" || id == permission.AllWorkspaces || rule.Where == permission.Installation {
		return nil
	}
	ok, err := c.deps.Workspaces.Exists(ctx, id)
	if err == nil && !ok {
		err = NoWorkspace(id)
	}
	return err
}

// Grants gives the roles of who in a workspace, or everywhere for "".
func (c *Checker) Grants(who identity.Identity, id string) []permission.Grant {
	var out []permission.Grant
	for _, b := range c.Bindings(who, id) {
		out = append(out, b.Grant())
	}
	return out
}

// Bindings gives the role bindings of who in a workspace, or everywhere for "".
func (c *Checker) Bindings(who identity.Identity, id string) []rolebinding.Binding {
	var out []rolebinding.Binding
	for _, b := range c.deps.Bindings.In(id) {
		if who.Is(b.Principal) {
			out = append(out, b)
		}
	}
	return out
}

// Sees says whether the workspace exists for who.
func (c *Checker) Sees(who identity.Identity, id string) bool {
	return who.IsAdmin() || len(c.Bindings(who, id)) > 0
}

func refused(who identity.Identity, method, resource string, rule permission.Rule, has permission.Role) error {
	call := method[strings.LastIndexByte(method, '/')+1:]
	text, args := "%s may not call %s: it is for the administrator", []any{who.Principal, call}
	if rule.Where != permission.Installation && resourcename.Workspace(resource) != permission.AllWorkspaces && resource != "" {
		text = "%s may not call %s on %s: it needs the role %s there and has %s; an owner of the workspace can give it: " +
			"fairlead auth role-binding create --principal %s --role %s"
		role := rule.Role.String()
		args = []any{who.Principal, call, resource, role, has, who.Principal, role + place(resource)}
	}
	return apierr.New(apierr.PermissionDenied, "PERMISSION_DENIED", text, args...).
		With("principal", who.Principal).With("method", method).With("role", rule.Role.String())
}

// place gives the flags of the command line that name where a role is needed: the
// endpoint that the resource is or is below, and its workspace.
func place(resource string) string {
	flags, parts := "", strings.Split(resource, "/")
	if len(parts) >= 4 && parts[2] == "endpoints" && workspace.ValidID(parts[3]) {
		flags = " --endpoint " + parts[3]
	}
	if id := resourcename.Workspace(resource); id != workspace.DefaultID && workspace.ValidID(id) {
		flags += " -w " + id
	}
	return flags
}

// hidden is the error for a workspace that does not exist for the caller. It
// does not say whether it does for others.
func hidden(id string, who identity.Identity) error {
	return apierr.New(apierr.NotFound, "WORKSPACE_NOT_FOUND", "workspace %q does not exist, or %s has no role in it", id, who.Principal).
		With("workspace", id).With("principal", who.Principal)
}

// NoWorkspace is the error for a workspace that does not exist.
func NoWorkspace(id string) error {
	remedy := "; make it with: fairlead workspace create -n " + id
	if !workspace.ValidID(id) {
		remedy = ", and no workspace can have this name"
	}
	return apierr.New(apierr.NotFound, "WORKSPACE_NOT_FOUND", "workspace %q does not exist%s", id, remedy).With("workspace", id)
}
