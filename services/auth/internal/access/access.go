// Package access decides who may call the control plane. In this milestone the
// administrator's token opens everything, in every workspace that exists. A
// Checker is immutable and safe for concurrent use.
package access

import (
	"context"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/auth/internal/admintoken"
	"github.com/fairlead/fairlead/services/auth/internal/workspace"
)

// allWorkspaces stands for every workspace, as in workspaces/-.
const allWorkspaces = "-"

// createWorkspace is the method that names what does not exist yet.
const createWorkspace = "/fairlead.auth.v1.WorkspaceService/CreateWorkspace"

// workspaces knows which workspaces exist.
type workspaces interface {
	Exists(ctx context.Context, id string) (bool, error)
}

// Checker decides on calls.
type Checker struct {
	token      admintoken.Verifier
	workspaces workspaces
}

// NewChecker makes a Checker.
func NewChecker(token admintoken.Verifier, w workspaces) *Checker {
	return &Checker{token: token, workspaces: w}
}

// Check gives the principal behind token when it may call method on resource,
// which can be empty. Unauthenticated for an unknown token; NotFound when the
// resource's workspace does not exist.
func (c *Checker) Check(ctx context.Context, token, method, resource string) (string, error) {
	if !c.token.Verify(token) {
		return "", apierr.New(apierr.Unauthenticated, "TOKEN_UNKNOWN",
			"the bearer token is not known: send the administrator's token, which the server keeps in its data directory").
			With("method", method)
	}
	id := resourcename.Workspace(resource)
	if id == "" || id == allWorkspaces || method == createWorkspace {
		return admintoken.Principal, nil
	}
	ok, err := c.workspaces.Exists(ctx, id)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", NoWorkspace(id)
	}
	return admintoken.Principal, nil
}

// NoWorkspace is the error for a workspace that does not exist.
func NoWorkspace(id string) error {
	remedy := "; make it with: fairlead workspace create -n " + id
	if !workspace.ValidID(id) {
		remedy = ", and no workspace can have this name"
	}
	return apierr.New(apierr.NotFound, "WORKSPACE_NOT_FOUND", "workspace %q does not exist%s", id, remedy).With("workspace", id)
}
