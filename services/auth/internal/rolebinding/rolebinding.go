// Package rolebinding holds the rules of role bindings: who can be given which
// role where. It is pure.
package rolebinding

import (
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
	"github.com/fairlead/fairlead/services/auth/internal/identity"
	"github.com/fairlead/fairlead/services/auth/internal/permission"
	"github.com/fairlead/fairlead/services/auth/internal/workspace"
)

// MaxPerWorkspace bounds the role bindings of a workspace.
const MaxPerWorkspace = 1000

// Binding gives a principal a role. It does not change.
type Binding struct {
	Name       string          `json:"name"` // workspaces/{workspace}/roleBindings/{role_binding}
	UID        string          `json:"uid"`
	Principal  string          `json:"principal"`
	Role       permission.Role `json:"role"`
	Scope      string          `json:"scope"`
	CreateTime time.Time       `json:"create_time"`
	CreatedBy  string          `json:"created_by"`
}

// Wish is what a user asks for.
type Wish struct {
	Workspace string // its id
	ID        string
	Principal string
	Role      permission.Role
	Scope     string // empty means the workspace
	CreatedBy string
}

// New makes a binding. The error lists all that is wrong.
func New(w Wish, uid string, now time.Time) (Binding, fact.Fact, error) {
	var bad apierr.Violations
	if !workspace.ValidID(w.ID) {
		bad.Add("role_binding_id", "must start with a lower-case letter, hold only lower-case letters, digits and dashes, "+
			"end with a letter or digit, and be 3 to 32 characters long")
	}
	if !identity.ValidPrincipal(w.Principal) {
		bad.Add("role_binding.principal", "must be user:NAME, group:NAME or serviceprincipal:NAME, at most 256 characters long")
	}
	if w.Role <= permission.None || w.Role > permission.Owner {
		bad.Add("role_binding.role", "must be Owner, Contributor, Reader or Scorer")
	}
	room := resourcename.Format("workspaces", w.Workspace)
	scope := w.Scope
	if scope == "" {
		scope = room
	}
	if !validScope(scope, room) {
		bad.Add("role_binding.scope", "must be %s or %s/endpoints/ENDPOINT", room, room)
	}
	if err := bad.Err(); err != nil {
		return Binding{}, fact.Fact{}, err
	}
	b := Binding{
		Name: resourcename.Format(room, "roleBindings", w.ID), UID: uid, Principal: w.Principal, Role: w.Role,
		Scope: scope, CreateTime: now, CreatedBy: w.CreatedBy,
	}
	return b, b.fact("created", 1, b.Principal+" was given the role "+b.Role.String()+" for "+b.Scope, now), nil
}

func validScope(scope, room string) bool {
	if scope == room {
		return true
	}
	v, err := resourcename.NewPattern("workspaces/{workspace}/endpoints/{endpoint}").Parse(scope)
	return err == nil && resourcename.Format("workspaces", v.Get("workspace")) == room && workspace.ValidID(v.Get("endpoint"))
}

// Same says whether two bindings give the same.
func (b Binding) Same(other Binding) bool {
	return b.Principal == other.Principal && b.Role == other.Role && b.Scope == other.Scope
}

// Grant is what the binding gives.
func (b Binding) Grant() permission.Grant { return permission.Grant{Role: b.Role, Scope: b.Scope} }

// Delete gives the last fact of the binding.
func (b Binding) Delete(now time.Time) fact.Fact {
	return b.fact("deleted", 2, b.Principal+" has no more the role "+b.Role.String()+" for "+b.Scope, now)
}

// NotFound is the error for a binding that does not exist.
func NotFound(name string) error {
	return apierr.New(apierr.NotFound, "ROLE_BINDING_NOT_FOUND", "there is no role binding %s", name).With("role_binding", name)
}

func (b Binding) fact(verb string, sequence int64, message string, now time.Time) fact.Fact {
	return fact.Fact{
		Resource: "rolebinding", Verb: verb, Workspace: resourcename.Workspace(b.Name), Subject: b.Name, UID: b.UID,
		Generation: 1, Sequence: sequence, Time: now, Message: message,
		Details: map[string]string{"principal": b.Principal, "role": b.Role.String(), "scope": b.Scope},
	}
}
