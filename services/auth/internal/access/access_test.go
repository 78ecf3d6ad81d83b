package access

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/auth/internal/admintoken"
)

// existing are the ids that exist; asking for "broken" fails.
type existing []string

func (e existing) Exists(_ context.Context, id string) (bool, error) {
	if id == "broken" {
		return false, errors.New("the store is away")
	}
	for _, x := range e {
		if x == id {
			return true, nil
		}
	}
	return false, nil
}

func TestCheck(t *testing.T) {
	token := "flt_" + strings.Repeat("t", 43)
	verifier, err := admintoken.NewVerifier(token)
	if err != nil {
		t.Fatal(err)
	}
	const method = "/fairlead.deploy.v1.EndpointService/GetEndpoint"
	for name, tt := range map[string]struct {
		token, resource string
		ok              bool
		kind            apierr.Kind
		says            string
	}{
		"no resource":            {token, "", true, 0, ""},
		"existing workspace":     {token, "workspaces/default", true, 0, ""},
		"below a workspace":      {token, "workspaces/default/endpoints/e", true, 0, ""},
		"all workspaces":         {token, "workspaces/-", true, 0, ""},
		"outside workspaces":     {token, "nodeSizes", true, 0, ""},
		"unknown workspace":      {token, "workspaces/team/endpoints/e", false, apierr.NotFound, "fairlead workspace create -n team"},
		"impossible workspace":   {token, "workspaces/A;b", false, apierr.NotFound, "no workspace can have this name"},
		"store away":             {token, "workspaces/broken", false, apierr.Internal, "the store is away"},
		"wrong token":            {token + "x", "workspaces/default", false, apierr.Unauthenticated, "not known"},
		"no token":               {"", "", false, apierr.Unauthenticated, "not known"},
		"token before workspace": {"wrong", "workspaces/team", false, apierr.Unauthenticated, "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			principal, err := NewChecker(verifier, existing{"default"}).Check(t.Context(), tt.token, method, tt.resource)
			if tt.ok {
				if err != nil || principal != "admin" {
					t.Fatalf("Check = %q, %v; want admin", principal, err)
				}
				return
			}
			if err == nil || principal != "" || apierr.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Check = %q, %v; want kind %v saying %q", principal, err, tt.kind, tt.says)
			}
			if tt.token != "" && strings.Contains(err.Error(), tt.token) {
				t.Error("the error repeats the token")
			}
		})
	}
	checker := NewChecker(verifier, existing{})
	if _, err := checker.Check(t.Context(), token, createWorkspace, "workspaces/new"); err != nil {
		t.Errorf("making a workspace must not ask for the workspace: %v", err)
	}
}
