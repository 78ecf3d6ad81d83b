package auth_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/platform/apierr"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
)

const requestID = "4d0f1c1e-3b5e-4f57-9a3b-0c1f6c1e8a10"

func TestCreateWorkspace(t *testing.T) {
	b := start(t)
	create := func(req *authv1.CreateWorkspaceRequest) (*authv1.Workspace, error) {
		return b.workspaces().CreateWorkspace(b.admin(t), req)
	}
	checked := must[*authv1.Workspace](t)(create(&authv1.CreateWorkspaceRequest{WorkspaceId: "team-a", ValidateOnly: true}))
	if checked.GetName() != "workspaces/team-a" || len(b.facts("workspaces/team-a")) > 0 {
		t.Errorf("validate_only gave %v and events %v", checked, b.facts("workspaces/team-a"))
	}
	req := &authv1.CreateWorkspaceRequest{
		WorkspaceId: "team-a", RequestId: requestID,
		Workspace: &authv1.Workspace{Name: "workspaces/team-a", Description: "ours", Tags: map[string]string{"k": "v"}},
	}
	made := must[*authv1.Workspace](t)(create(req))
	if made.GetUid() == "" || made.GetEtag() == "" || made.GetDescription() != "ours" || made.GetTags()["k"] != "v" || made.GetCreateTime() == nil {
		t.Errorf("created %v", made)
	}
	repeated := must[*authv1.Workspace](t)(create(req))
	if repeated.GetUid() != made.GetUid() {
		t.Errorf("the repeated request gave %v, want %v", repeated, made)
	}
	if diff := cmp.Diff([]string{"fairlead.auth.workspace.v1.created 1"}, b.facts("workspaces/team-a")); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}

	var data eventsv1.ResourceEventData
	if err := protojson.Unmarshal(b.last(t).Data, &data); err != nil {
		t.Fatal(err)
	}
	if data.GetName() != "workspaces/team-a" || data.GetUid() != made.GetUid() || data.GetPrincipal() != "admin" || data.GetGeneration() != 1 {
		t.Errorf("event data = %v", &data)
	}

	_, err := create(&authv1.CreateWorkspaceRequest{WorkspaceId: "team-a"})
	failsWith(t, err, apierr.AlreadyExists, "WORKSPACE_EXISTS")
	_, err = create(&authv1.CreateWorkspaceRequest{WorkspaceId: "team-a", ValidateOnly: true})
	failsWith(t, err, apierr.AlreadyExists, "WORKSPACE_EXISTS")
	_, err = create(&authv1.CreateWorkspaceRequest{WorkspaceId: "Team", RequestId: "no-uuid"})
	failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "workspace_id", "request_id")
	_, err = create(&authv1.CreateWorkspaceRequest{WorkspaceId: "team-b", Workspace: &authv1.Workspace{Name: "workspaces/other"}})
	failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "workspace.name")
}

func TestOneOfManyConcurrentCreationsWins(t *testing.T) {
	b := start(t)
	ctx := b.admin(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	uids := map[string]int{}
	for range 8 {
		wg.Go(func() {
			w, err := b.workspaces().CreateWorkspace(ctx, &authv1.CreateWorkspaceRequest{WorkspaceId: "race"})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				uids[apierr.FromStatus(err).Reason]++
			} else {
				uids["made"]++
			}
			_ = w
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[string]int{"made": 1, "WORKSPACE_EXISTS": 7}, uids); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestListWorkspacesPages(t *testing.T) {
	b := start(t)
	for _, id := range []string{"zebra", "alpha", "mouse"} {
		must[*authv1.Workspace](t)(b.workspaces().CreateWorkspace(b.admin(t), &authv1.CreateWorkspaceRequest{WorkspaceId: id}))
	}
	var names []string
	token := ""
	for {
		part := must[*authv1.ListWorkspacesResponse](t)(b.workspaces().ListWorkspaces(b.admin(t), &authv1.ListWorkspacesRequest{PageSize: 3, PageToken: token}))
		for _, w := range part.GetWorkspaces() {
			names = append(names, w.GetName())
		}
		if token = part.GetNextPageToken(); token == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"workspaces/alpha", "workspaces/default", "workspaces/mouse", "workspaces/zebra"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	_, err := b.workspaces().ListWorkspaces(b.admin(t), &authv1.ListWorkspacesRequest{PageToken: "made-up"})
	failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "page_token")
}

func TestUpdateWorkspace(t *testing.T) {
	b := start(t)
	created := must[*authv1.Workspace](t)(b.workspaces().CreateWorkspace(b.admin(t), &authv1.CreateWorkspaceRequest{
		WorkspaceId: "team", Workspace: &authv1.Workspace{Description: "old", Tags: map[string]string{"a": "1"}},
	}))
	update := func(w *authv1.Workspace, mask ...string) (*authv1.Workspace, error) {
		w.Name = "workspaces/team"
		req := &authv1.UpdateWorkspaceRequest{Workspace: w}
		if mask != nil {
			req.UpdateMask = &fieldmaskpb.FieldMask{Paths: mask}
		}
		return b.workspaces().UpdateWorkspace(b.admin(t), req)
	}
	described := must[*authv1.Workspace](t)(update(&authv1.Workspace{Description: "new", Etag: created.GetEtag()}))
	if described.GetDescription() != "new" || described.GetTags()["a"] != "1" || described.GetEtag() == created.GetEtag() {
		t.Errorf("after a description: %v", described)
	}
	cleared := must[*authv1.Workspace](t)(update(&authv1.Workspace{Description: "ignored"}, "tags"))
	if cleared.GetDescription() != "new" || len(cleared.GetTags()) > 0 {
		t.Errorf("after clearing the tags: %v", cleared)
	}
	same := must[*authv1.Workspace](t)(update(&authv1.Workspace{Description: "new"}))
	if same.GetEtag() != cleared.GetEtag() {
		t.Error("an update that changes nothing changed the etag")
	}
	checked := must[*authv1.Workspace](t)(b.workspaces().UpdateWorkspace(b.admin(t), &authv1.UpdateWorkspaceRequest{
		Workspace: &authv1.Workspace{Name: "workspaces/team", Description: "maybe"}, ValidateOnly: true,
	}))
	if checked.GetDescription() != "maybe" {
		t.Errorf("validate_only gave %v", checked)
	}
	now := must[*authv1.Workspace](t)(b.workspaces().GetWorkspace(b.admin(t), &authv1.GetWorkspaceRequest{Name: "workspaces/team"}))
	if now.GetDescription() != "new" {
		t.Errorf("validate_only changed the workspace: %v", now)
	}
	want := []string{"fairlead.auth.workspace.v1.created 1", "fairlead.auth.workspace.v1.updated 2", "fairlead.auth.workspace.v1.updated 3"}
	if diff := cmp.Diff(want, b.facts("workspaces/team")); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}

	_, err := update(&authv1.Workspace{Description: "late", Etag: created.GetEtag()})
	failsWith(t, err, apierr.Conflict, "ETAG_MISMATCH")
	_, err = update(&authv1.Workspace{}, "nonsense", "tags", "uid", "owner")
	failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "update_mask", "update_mask")
	_, err = update(&authv1.Workspace{Description: strings.Repeat("x", 1001)})
	failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "workspace.description")
	_, err = b.workspaces().UpdateWorkspace(b.admin(t), &authv1.UpdateWorkspaceRequest{Workspace: &authv1.Workspace{Name: "workspaces/nowhere"}})
	failsWith(t, err, apierr.NotFound, "WORKSPACE_NOT_FOUND")
}

func TestStoredValuesAreJSON(t *testing.T) {
	b := start(t)
	entries, _, err := b.store.List(t.Context(), "")
	if err != nil || len(entries) == 0 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if !json.Valid(e.Value) {
			t.Errorf("%s is not JSON: %q", e.Key, e.Value)
		}
	}
}
