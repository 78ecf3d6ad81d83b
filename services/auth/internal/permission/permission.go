// Package permission says which role each method of the control plane needs, as
// data, and decides by it. It is pure.
//
// Table has every method; what it does not have is allowed to nobody. A role
// holds in the workspace or for the endpoint that it was given for, and contains
// the roles below it. To a principal without any role in a workspace the
// workspace does not exist.
package permission

import (
	"strings"

	"github.com/fairlead/fairlead/platform/resourcename"
)

// Role is what a principal may do. Each contains those before it.
type Role int

// The roles.
const (
	None Role = iota
	Scorer
	Reader
	Contributor
	Owner
)

// String gives the role's name as people know it.
func (r Role) String() string {
	switch r {
	case Scorer:
		return "Scorer"
	case Reader:
		return "Reader"
	case Contributor:
		return "Contributor"
	case Owner:
		return "Owner"
	case None:
	}
	return "none"
}

// Where says what a role must have been given for.
type Where int

// The places. The zero value lets nobody in but Fairlead's own services.
const (
	Services     Where = iota // no person or program: for services among themselves
	Public                    // everybody, also without a token
	SignedIn                  // everybody with a valid token
	Member                    // everybody with any role in the workspace or for an endpoint in it
	Resource                  // who has the role for the resource
	Installation              // the administrator
)

// Rule is what a method needs.
type Rule struct {
	Where Where
	Role  Role // for Resource; for Member one that suffices wherever it was given, None for any
	// Field of the request names the resource; for Member and Resource.
	Field string
}

// Grant is a role that the caller has.
type Grant struct {
	Role  Role
	Scope string // workspaces/{workspace} or workspaces/{workspace}/endpoints/{endpoint}
}

// Verdict is what is decided.
type Verdict int

// The verdicts. The zero value refuses.
const (
	Refused Verdict = iota
	Hidden          // refused, and the workspace must look as if it did not exist
	Allowed
)

// AllWorkspaces is the id that stands for every workspace, as in workspaces/-.
const AllWorkspaces = "-"

// Decide says whether a caller with these grants, who is not the administrator,
// may call a method with this rule on the resource. Grants in other workspaces
// do not count. The role is the highest that the caller has for the resource.
func Decide(rule Rule, resource string, grants []Grant) (Verdict, Role) {
	switch rule.Where {
	case Public, SignedIn:
		return Allowed, None
	case Services, Installation:
		return Refused, None
	case Member, Resource:
	}
	workspace := resourcename.Workspace(resource)
	if workspace == "" || workspace == AllWorkspaces {
		return Refused, None
	}
	best, has := None, None // anywhere in the workspace, for the resource
	for _, g := range grants {
		if resourcename.Workspace(g.Scope) != workspace {
			continue
		}
		best = max(best, g.Role)
		if covers(g.Scope, resource) {
			has = max(has, g.Role)
		}
	}
	switch {
	case best == None:
		return Hidden, None
	case rule.Where == Member && best >= rule.Role,
		rule.Where == Resource && has >= rule.Role && rule.Role != None:
		return Allowed, has
	}
	return Refused, has
}

// covers says whether resource is scope or below it.
func covers(scope, resource string) bool {
	return resource == scope || strings.HasPrefix(resource, scope+"/")
}

// Find looks a method up by its full name, or by its last part where only one
// method is called so.
func Find(name string) (full string, rule Rule, ok bool) {
	table := Table()
	if rule, ok = table[name]; ok {
		return name, rule, true
	}
	suffix := "/" + strings.TrimPrefix(name, "/")
	for candidate, r := range table {
		if strings.HasSuffix(candidate, suffix) || strings.HasSuffix(candidate, "."+name) {
			if ok {
				return "", Rule{}, false
			}
			full, rule, ok = candidate, r, true
		}
	}
	return full, rule, ok
}
