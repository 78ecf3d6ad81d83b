package auth_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/memory"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth"
)

func TestTheFirstStartMakesSecretsAndTheDefaultWorkspaceAndLaterStartsKeepThem(t *testing.T) {
	b := start(t)
	token := b.token(t)
	for _, name := range []string{"admin.token", "sealing.key"} {
		info, err := os.Stat(filepath.Join(b.dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", name, info.Mode(), err)
		}
	}
	first := must[*authv1.Workspace](t)(b.workspaces().GetWorkspace(b.admin(t), &authv1.GetWorkspaceRequest{Name: "workspaces/default"}))
	b.stop()

	again := restart(t, b, nil)
	if again.token(t) != token {
		t.Error("the token changed with a restart")
	}
	second := must[*authv1.Workspace](t)(again.workspaces().GetWorkspace(again.admin(t), &authv1.GetWorkspaceRequest{Name: "workspaces/default"}))
	if first.GetUid() == "" || first.GetUid() != second.GetUid() {
		t.Errorf("the default workspace was made anew: %q, then %q", first.GetUid(), second.GetUid())
	}
	if diff := cmp.Diff([]string{"fairlead.auth.workspace.v1.created 1"}, again.facts("workspaces/default")); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestTwoInstancesShareOneStore(t *testing.T) {
	a := start(t)
	b := restart(t, a, nil)
	must[*authv1.Workspace](t)(a.workspaces().CreateWorkspace(a.admin(t), &authv1.CreateWorkspaceRequest{WorkspaceId: "team"}))
	// b's cache may not know it yet; b must.
	must[*authv1.Workspace](t)(b.workspaces().GetWorkspace(b.admin(t), &authv1.GetWorkspaceRequest{Name: "workspaces/team"}))
}

func TestNewRefusesBadSecretsAndConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		cfg   func(dir string) auth.Config
		says  string
	}{
		"empty token":         {map[string]string{"admin.token": ""}, config, "empty or damaged"},
		"damaged token":       {map[string]string{"admin.token": "flt_short-secret"}, config, "empty or damaged"},
		"damaged sealing key": {map[string]string{"sealing.key": "short-secret"}, config, "damaged"},
		"nothing configured":  {nil, func(string) auth.Config { return auth.Config{} }, "token is missing"},
		"two sealing keys": {nil, func(dir string) auth.Config {
			c := config(dir)
			c.SealingKeyURL = "base64key://"
			return c
		}, "one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := auth.New(t.Context(), tt.cfg(dir), auth.Deps{Logger: slog.New(slog.DiscardHandler), Store: memory.New()})
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "short-secret") {
				t.Errorf("New: %v, want an error that says %q and not the secret", err, tt.says)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	b := start(t)
	get := func(ctx context.Context, name string) error {
		_, err := b.workspaces().GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: name})
		return err
	}
	bearer := func(token string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	}
	failsWith(t, get(t.Context(), "workspaces/default"), apierr.Unauthenticated, "NO_TOKEN")
	failsWith(t, get(bearer(b.token(t)+"x"), "workspaces/default"), apierr.Unauthenticated, "TOKEN_UNKNOWN")
	failsWith(t, get(b.admin(t), "workspaces/nowhere"), apierr.NotFound, "WORKSPACE_NOT_FOUND")
	failsWith(t, get(b.admin(t), "workspaces/"+strings.Repeat("x", 2000)), apierr.NotFound, "WORKSPACE_NOT_FOUND")
	if err := get(b.admin(t), "workspaces/default"); err != nil {
		t.Error(err)
	}

	const getEndpoint = "/fairlead.deploy.v1.EndpointService/GetEndpoint"
	check := authv1.NewAccessServiceClient(b.peer)
	for resource, ok := range map[string]bool{"": true, "workspaces/-": true, "workspaces/default/endpoints/e": true, "workspaces/nowhere": false} {
		answer, err := check.CheckAccess(t.Context(), &authv1.CheckAccessRequest{Token: b.token(t), Method: getEndpoint, Resource: resource})
		if (err == nil) != ok || ok && answer.GetPrincipal() != "admin" {
			t.Errorf("CheckAccess(%q) = %v, %v", resource, answer, err)
		}
	}
	_, err := check.CheckAccess(t.Context(), &authv1.CheckAccessRequest{Token: "wrong", Method: getEndpoint})
	failsWith(t, err, apierr.Unauthenticated, "TOKEN_UNKNOWN")
	_, err = authv1.NewAccessServiceClient(b.edge).CheckAccess(b.admin(t), &authv1.CheckAccessRequest{Token: "t", Method: "m"})
	failsWith(t, err, apierr.PermissionDenied, "SERVICES_ONLY")
}

// flaky lets something happen just before its next write.
type flaky struct {
	store.Store
	mu        sync.Mutex
	interfere func(store.Batch)
}

func (f *flaky) Apply(ctx context.Context, b store.Batch) (store.Revision, error) {
	f.mu.Lock()
	interfere := f.interfere
	f.interfere = nil
	f.mu.Unlock()
	if interfere != nil {
		interfere(b)
	}
	return f.Store.Apply(ctx, b)
}

func TestChangesAreTriedAgainWhenAnotherCameFirst(t *testing.T) {
	b := start(t)
	b.stop()
	f := &flaky{Store: b.store}
	b = restart(t, b, f)
	other := restart(t, b, nil)
	f.mu.Lock()
	f.interfere = func(store.Batch) {
		_, err := other.workspaces().UpdateWorkspace(other.admin(t), &authv1.UpdateWorkspaceRequest{
			Workspace: &authv1.Workspace{Name: "workspaces/default", Description: "theirs"},
		})
		if err != nil {
			t.Error(err)
		}
	}
	f.mu.Unlock()
	got := must[*authv1.Workspace](t)(b.workspaces().UpdateWorkspace(b.admin(t), &authv1.UpdateWorkspaceRequest{
		Workspace: &authv1.Workspace{Name: "workspaces/default", Tags: map[string]string{"mine": "1"}},
	}))
	if got.GetDescription() != "theirs" || got.GetTags()["mine"] != "1" {
		t.Errorf("workspace = %v, want both changes", got)
	}
	want := []string{"fairlead.auth.workspace.v1.created 1", "fairlead.auth.workspace.v1.updated 2", "fairlead.auth.workspace.v1.updated 3"}
	if diff := cmp.Diff(want, b.facts("workspaces/default")); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

// digests collects a watch: the last digests of each endpoint.
func digests(t *testing.T, s grpc.ServerStreamingClient[authv1.WatchEndpointKeyDigestsResponse], until func(map[string][][]byte, bool) bool) {
	t.Helper()
	state, synced := map[string][][]byte{}, false
	for !until(state, synced) {
		m, err := s.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				t.Fatal("the watch ended")
			}
			t.Fatal(err)
		}
		if c := m.GetChanged(); c != nil {
			state[c.GetEndpoint()] = c.GetSha256()
		}
		synced = synced || m.GetSynced()
	}
}
