// Package identity says who calls: the administrator, a user or a service
// principal, and the groups that it is in. It is pure; an Identity is immutable.
package identity

import (
	"strings"
	"time"
)

// Admin is the principal of the administrator, who may do everything.
const Admin = "admin"

// The kinds of principal, as the names of principals begin.
const (
	User             = "user:"
	Group            = "group:"
	ServicePrincipal = "serviceprincipal:"
)

// maxLength bounds the name of a principal.
const maxLength = 256

// Identity is who calls.
type Identity struct {
	Principal string
	Groups    []string // with the prefix of groups
	// ExpireTime is when its token expires; zero means never.
	ExpireTime time.Time
}

// IsAdmin says whether it is the administrator.
func (i Identity) IsAdmin() bool { return i.Principal == Admin }

// Is says whether a role that is given to principal is given to i.
func (i Identity) Is(principal string) bool {
	if principal == i.Principal {
		return true
	}
	for _, g := range i.Groups {
		if g == principal {
			return true
		}
	}
	return false
}

// ValidPrincipal says whether name can be given a role.
func ValidPrincipal(name string) bool {
	if len(name) > maxLength {
		return false
	}
	for _, kind := range []string{User, Group, ServicePrincipal} {
		rest, ok := strings.CutPrefix(name, kind)
		if ok {
			return rest != "" && strings.TrimSpace(rest) == rest && !strings.ContainsAny(rest, "\n\r\t")
		}
	}
	return false
}
