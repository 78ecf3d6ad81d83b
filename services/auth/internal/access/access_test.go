package access_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/auth/internal/access"
	"github.com/fairlead/fairlead/services/auth/internal/admintoken"
	"github.com/fairlead/fairlead/services/auth/internal/identity"
	"github.com/fairlead/fairlead/services/auth/internal/permission"
	"github.com/fairlead/fairlead/services/auth/internal/rolebinding"
	"github.com/fairlead/fairlead/services/auth/internal/serviceprincipal"
)

// known is all that a checker asks; asking for the workspace "broken" fails.
type known struct {
	workspaces []string
	principals map[string]serviceprincipal.Principal
	bindings   []rolebinding.Binding
	users      map[string]identity.Identity
}

func (k known) Exists(_ context.Context, id string) (bool, error) {
	if id == "broken" {
		return false, errors.New("the store is away")
	}
	for _, x := range k.workspaces {
		if x == id {
			return true, nil
		}
	}
	return false, nil
}

func (k known) Find(_ context.Context, id string) (serviceprincipal.Principal, bool, error) {
	p, ok := k.principals[id]
	return p, ok, nil
}

func (k known) In(id string) []rolebinding.Binding {
	var out []rolebinding.Binding
	for _, b := range k.bindings {
		if id == "" || strings.HasPrefix(b.Name, "workspaces/"+id+"/") {
			out = append(out, b)
		}
	}
	return out
}

func (k known) Verify(_ context.Context, token string) (identity.Identity, error) {
	if who, ok := k.users[token]; ok {
		return who, nil
	}
	return identity.Identity{}, apierr.New(apierr.Unauthenticated, "TOKEN_INVALID", "not signed by anyone")
}

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func checker(t *testing.T, k known, admin string) *access.Checker {
	t.Helper()
	verifier, err := admintoken.NewVerifier(admin)
	if err != nil {
		t.Fatal(err)
	}
	return access.NewChecker(access.Deps{
		Admin: verifier, Workspaces: k, Principals: k, Bindings: k, Users: k, Now: func() time.Time { return now },
	})
}

const (
	getEndpoint     = "/fairlead.deploy.v1.EndpointService/GetEndpoint"
	createWorkspace = "/fairlead.auth.v1.WorkspaceService/CreateWorkspace"
)

func binding(workspace, principal string, role permission.Role) rolebinding.Binding {
	room := "workspaces/" + workspace
	return rolebinding.Binding{Name: room + "/roleBindings/b-" + principal, Principal: principal, Role: role, Scope: room}
}

func TestCheck(t *testing.T) {
	admin := "flt_" + strings.Repeat("t", 43)
	robot, secret := robotWith(t, 0)
	_, old := robotWith(t, time.Minute)
	k := known{
		workspaces: []string{"default", "team"},
		principals: map[string]serviceprincipal.Principal{"robot": robot},
		users: map[string]identity.Identity{
			"ann.is.valid": {Principal: "user:ann@example.com", Groups: []string{"group:readers"}},
			"bob.is.valid": {Principal: "user:bob@example.com"},
		},
		bindings: []rolebinding.Binding{
			binding("default", "group:readers", permission.Reader), binding("default", "serviceprincipal:robot", permission.Contributor),
		},
	}
	for name, tt := range map[string]struct {
		token, method, resource string
		principal               string // empty when refused
		kind                    apierr.Kind
		says                    string
	}{
		"no resource":                  {admin, getEndpoint, "", "admin", 0, ""},
		"existing workspace":           {admin, getEndpoint, "workspaces/default", "admin", 0, ""},
		"below a workspace":            {admin, getEndpoint, "workspaces/default/endpoints/e", "admin", 0, ""},
		"all workspaces":               {admin, getEndpoint, "workspaces/-", "admin", 0, ""},
		"outside workspaces":           {admin, getEndpoint, "nodeSizes", "admin", 0, ""},
		"making a workspace":           {admin, createWorkspace, "workspaces/new", "admin", 0, ""},
		"unknown workspace":            {admin, getEndpoint, "workspaces/nowhere/endpoints/e", "", apierr.NotFound, "fairlead workspace create -n nowhere"},
		"impossible workspace":         {admin, getEndpoint, "workspaces/A;b", "", apierr.NotFound, "no workspace can have this name"},
		"store away":                   {admin, getEndpoint, "workspaces/broken", "", apierr.Internal, "the store is away"},
		"wrong token":                  {admin + "x", getEndpoint, "workspaces/default", "", apierr.Unauthenticated, "not known"},
		"no token":                     {"", getEndpoint, "workspaces/default", "", apierr.Unauthenticated, "not known"},
		"token before workspace":       {"wrong", getEndpoint, "workspaces/team", "", apierr.Unauthenticated, "not known"},
		"method without a rule":        {admin, "/s/m", "workspaces/default", "", apierr.PermissionDenied, "own services"},
		"method of services":           {admin, "/fairlead.auth.v1.AccessService/CheckAccess", "", "", apierr.PermissionDenied, "own services"},
		"by a group":                   {"ann.is.valid", getEndpoint, "workspaces/default/endpoints/e", "user:ann@example.com", 0, ""},
		"without a role":               {"bob.is.valid", getEndpoint, "workspaces/default/endpoints/e", "", apierr.NotFound, "does not exist, or user:bob@example.com has no role"},
		"foreign workspace":            {"ann.is.valid", getEndpoint, "workspaces/team/endpoints/e", "", apierr.NotFound, `"team" does not exist, or`},
		"workspace that is not there":  {"ann.is.valid", getEndpoint, "workspaces/nowhere", "", apierr.NotFound, `"nowhere" does not exist, or`},
		"too low a role":               {"ann.is.valid", "/fairlead.deploy.v1.EndpointService/DeleteEndpoint", "workspaces/default/endpoints/e", "", apierr.PermissionDenied, "needs the role Contributor there and has Reader"},
		"what gives the role":          {"ann.is.valid", "/fairlead.deploy.v1.EndpointService/DeleteEndpointVersion", "workspaces/default/endpoints/one/versions/v", "", apierr.PermissionDenied, "--role Contributor --endpoint one"},
		"for the administrator":        {"ann.is.valid", createWorkspace, "workspaces/new", "", apierr.PermissionDenied, "for the administrator"},
		"every workspace":              {"ann.is.valid", getEndpoint, "workspaces/-", "", apierr.PermissionDenied, "for the administrator"},
		"unsigned token":               {"eve.is.invalid", getEndpoint, "workspaces/default", "", apierr.Unauthenticated, "not signed"},
		"service principal":            {secret, getEndpoint, "workspaces/default", "serviceprincipal:robot", 0, ""},
		"another secret":               {old, getEndpoint, "workspaces/default", "", apierr.Unauthenticated, "not known"},
		"nobody's secret":              {strings.Replace(secret, "robot", "other", 1), getEndpoint, "", "", apierr.Unauthenticated, "not known"},
		"secret with a letter changed": {secret[:len(secret)-1] + "!", getEndpoint, "", "", apierr.Unauthenticated, "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			principal, err := checker(t, k, admin).Check(t.Context(), tt.token, tt.method, tt.resource)
			if tt.principal != "" {
				if err != nil || principal != tt.principal {
					t.Fatalf("Check = %q, %v; want %s", principal, err, tt.principal)
				}
				return
			}
			if err == nil || apierr.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Check = %q, %v; want kind %v saying %q", principal, err, tt.kind, tt.says)
			}
			if tt.token != "" && strings.Contains(err.Error(), tt.token) {
				t.Error("the error repeats the token")
			}
		})
	}
}

func robotWith(t *testing.T, lifetime time.Duration) (serviceprincipal.Principal, string) {
	t.Helper()
	p, err := serviceprincipal.New("robot", "u", "", now)
	if err != nil {
		t.Fatal(err)
	}
	p, _, secret, err := p.AddSecret(lifetime, now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return p, secret
}

func TestAnExpiredSecretIsRefusedAndSaysSo(t *testing.T) {
	robot, secret := robotWith(t, time.Minute)
	k := known{principals: map[string]serviceprincipal.Principal{"robot": robot}}
	_, err := checker(t, k, "flt_"+strings.Repeat("t", 43)).Check(t.Context(), secret, getEndpoint, "")
	if apierr.KindOf(err) != apierr.Unauthenticated || !strings.Contains(err.Error(), "expired at 2026-11-20T11:01:00Z") {
		t.Errorf("Check = %v, want that it expired", err)
	}
}
