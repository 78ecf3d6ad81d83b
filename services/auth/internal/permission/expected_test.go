package permission_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fairlead/fairlead/services/auth/internal/permission"
)

// This file says a second time who may call what, without the table: by what the
// contracts and docs/access.md say of a method, with every exception named. The
// two have to agree in every case.

// need is what a method asks of a caller.
type need struct {
	least permission.Role
	// special is one of "services", "public", "token", "administrator", "member", or
	// empty for a role that was given for the resource.
	special string
}

// exceptions are the methods that do not follow from their verb alone.
func exceptions() map[string]need {
	role := func(r permission.Role) need { return need{least: r} }
	special := func(s string) need { return need{special: s} }
	return map[string]need{
		// Looking at secrets, and using a secret of the installation.
		"EndpointKeyService/ListEndpointKeys": role(permission.Contributor),
		"TokenService/GetEndpointToken":       role(permission.Scorer),
		"TokenService/GetJwks":                special("public"),
		"TokenService/RotateSigningKey":       special("administrator"),
		// What is in nobody's workspace: a caller sees of it what is the caller's own.
		"IdentityService/GetIdentity":        special("token"),
		"IdentityService/TestAccess":         special("token"),
		"WorkspaceService/ListWorkspaces":    special("token"),
		"ComputeTargetService/ListNodeSizes": special("token"),
		// Workspaces, service principals and signing keys are the administrator's.
		"WorkspaceService/CreateWorkspace": special("administrator"),
		"WorkspaceService/GetWorkspace":    {least: permission.Scorer, special: "member"},
		"RouterService/GetRouteTable":      special("administrator"),
		// Owners change the workspace, give and take roles, read the audit log.
		"WorkspaceService/UpdateWorkspace":     role(permission.Owner),
		"RoleBindingService/GetRoleBinding":    role(permission.Owner),
		"RoleBindingService/ListRoleBindings":  role(permission.Owner),
		"RoleBindingService/CreateRoleBinding": role(permission.Owner),
		"RoleBindingService/DeleteRoleBinding": role(permission.Owner),
		"AuditService/ListAuditEntries":        role(permission.Owner),
		// Bringing contents in is a part of changing what uses them.
		"ArtefactService/GetUpload": role(permission.Contributor),
		// Reads a file and answers; nothing is kept.
		"EndpointService/ConvertConfig": role(permission.Reader),
		// Who began an operation follows it with a role for one endpoint.
		"Operations/GetOperation":  {least: permission.Reader, special: "member"},
		"Operations/WaitOperation": {least: permission.Reader, special: "member"},
	}
}

// expected says who may call a method.
func expected(t *testing.T, m protoreflect.MethodDescriptor) need {
	t.Helper()
	service := m.Parent().(protoreflect.ServiceDescriptor)
	if n, ok := exceptions()[string(service.Name())+"/"+string(m.Name())]; ok {
		return n
	}
	if strings.HasPrefix(string(service.FullName()), "fairlead.") && !proto.HasExtension(m.Options(), annotations.E_Http) {
		return need{special: "services"}
	}
	if service.Name() == "ServicePrincipalService" {
		return need{special: "administrator"}
	}
	for _, looks := range []string{"Get", "List", "Read", "Watch", "Query", "Tail"} {
		if strings.HasPrefix(string(m.Name()), looks) {
			return need{least: permission.Reader}
		}
	}
	for _, changes := range []string{"Create", "Update", "Delete", "Register", "Attach", "Detach", "Write", "Regenerate", "Revoke", "Rollback", "Cancel"} {
		if strings.HasPrefix(string(m.Name()), changes) {
			return need{least: permission.Contributor}
		}
	}
	t.Errorf("%s: nothing is said of such a method", m.FullName())
	return need{special: "services"}
}

// verdict says what is expected for a caller who has one role, given for scope.
func (n need) verdict(has permission.Role, scope, resource string) permission.Verdict {
	switch n.special {
	case "services", "administrator":
		return permission.Refused
	case "public", "token":
		return permission.Allowed
	}
	parts := strings.Split(resource, "/")
	if len(parts) < 2 || parts[0] != "workspaces" || parts[1] == "" || parts[1] == "-" {
		return permission.Refused // in no workspace, or in all
	}
	switch inside := resource == scope || strings.HasPrefix(resource, scope+"/"); {
	case parts[1] != "own" || has == permission.None:
		return permission.Hidden
	case has >= n.least && (inside || n.special == "member"):
		return permission.Allowed
	}
	return permission.Refused
}

// TestTheTableAgreesWithWhatIsSaidOfTheMethods compares every method for every
// role, wherever it was given, on every kind of resource.
func TestTheTableAgreesWithWhatIsSaidOfTheMethods(t *testing.T) {
	roles := []permission.Role{permission.None, permission.Scorer, permission.Reader, permission.Contributor, permission.Owner}
	resources := []string{
		own, own + "/models/m/versions/1", ownEndpoint, ownEndpoint + "/versions/v", otherEndpoint, ownEndpoint + "2", own + "/endpoints",
		own + "/endpoints/-", own + "/roleBindings/r", own + "/operations/deploy-1",
		foreign, foreign + "/endpoints/mine", own + "2", own + "2/endpoints/mine", "workspaces/-", "workspaces/-/endpoints/mine",
		"", "workspaces", "workspaces/", "servicePrincipals/robot", "//" + own, "Workspaces/own", "../" + own,
	}
	all, cases := contracts(t), 0
	table := permission.Table()
	for method, m := range all {
		n := expected(t, m)
		for _, has := range roles {
			for _, scope := range []string{own, ownEndpoint} {
				grants := []permission.Grant{{Role: has, Scope: scope}, {Role: permission.None, Scope: foreign}}
				for _, resource := range resources {
					cases++
					want := n.verdict(has, scope, resource)
					if got, _ := permission.Decide(table[method], resource, grants); got != want {
						t.Errorf("%s on %q by a %v of %s: %v, want %v", method, resource, has, scope, got, want)
					}
				}
			}
		}
	}
	if len(all) < 70 || cases < 10_000 {
		t.Errorf("%d methods and %d cases were looked at", len(all), cases)
	}
}

// Methods that only look must be bound to GET, and no other may be: it is what
// the audit log tells changes by.
func TestReadsAreBoundToGetAndNothingElseIs(t *testing.T) {
	// These look, and give a secret out: they are to be noted.
	secret := []string{"ListEndpointKeys", "GetEndpointToken"}
	// This one reads a text that is too long for a URL.
	long := []string{"ConvertConfig"}
	for method, m := range contracts(t) {
		rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
		if rule == nil || !strings.HasPrefix(method, "/fairlead.") {
			continue
		}
		name := string(m.Name())
		looks := expected(t, m).least <= permission.Reader && !strings.HasPrefix(name, "Create") && !strings.HasPrefix(name, "Delete") &&
			!strings.HasPrefix(name, "Rotate") || slices.Contains([]string{"GetRoleBinding", "ListRoleBindings", "ListAuditEntries", "GetUpload"}, name)
		if looks = looks && !slices.Contains(secret, name) && !slices.Contains(long, name); looks != (rule.GetGet() != "") {
			t.Errorf("%s: it only looks: %v; it is bound to GET: %v", method, looks, rule.GetGet() != "")
		}
	}
}
