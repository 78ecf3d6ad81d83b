package grpcapi

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/etag"
	"github.com/fairlead/fairlead/platform/fieldmask"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/access"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
	"github.com/fairlead/fairlead/services/auth/internal/state"
	"github.com/fairlead/fairlead/services/auth/internal/workspace"
)

// WorkspaceServer serves WorkspaceService.
type WorkspaceServer struct {
	authv1.UnsafeWorkspaceServiceServer
	workspaces *state.Collection[workspace.Workspace]
	checker    *access.Checker
	newUID     func() string
	now        func() time.Time
}

var _ authv1.WorkspaceServiceServer = (*WorkspaceServer)(nil)

// NewWorkspaceServer makes the server.
func NewWorkspaceServer(w *state.Collection[workspace.Workspace], c *access.Checker, newUID func() string, now func() time.Time) *WorkspaceServer {
	return &WorkspaceServer{workspaces: w, checker: c, newUID: newUID, now: now}
}

// ListWorkspaces lists the workspaces that the caller has a role in, by name.
func (s *WorkspaceServer) ListWorkspaces(ctx context.Context, req *authv1.ListWorkspacesRequest) (*authv1.ListWorkspacesResponse, error) {
	p, err := page.Parse(req.GetPageSize(), req.GetPageToken(), "workspaces")
	if err != nil {
		return nil, err
	}
	who, err := caller(ctx, s.checker)
	if err != nil {
		return nil, err
	}
	seen := slices.DeleteFunc(s.workspaces.List(), func(w workspace.Workspace) bool { return !s.checker.Sees(who, w.ID) })
	part, next := page.Cut(seen, p, func(w workspace.Workspace) string { return w.ID })
	out := &authv1.ListWorkspacesResponse{NextPageToken: next}
	for _, w := range part {
		out.Workspaces = append(out.Workspaces, workspaceProto(w))
	}
	return out, nil
}

// GetWorkspace gets a workspace.
func (s *WorkspaceServer) GetWorkspace(ctx context.Context, req *authv1.GetWorkspaceRequest) (*authv1.Workspace, error) {
	id, err := workspaceID("name", req.GetName())
	if err != nil {
		return nil, err
	}
	return s.get(ctx, id)
}

func (s *WorkspaceServer) get(ctx context.Context, id string) (*authv1.Workspace, error) {
	w, err := s.workspaces.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if !w.Exists() {
		return nil, access.NoWorkspace(id)
	}
	return workspaceProto(w.Value), nil
}

// CreateWorkspace creates a workspace.
func (s *WorkspaceServer) CreateWorkspace(ctx context.Context, req *authv1.CreateWorkspaceRequest) (*authv1.Workspace, error) {
	w, f, err := s.newWorkspace(req)
	if err != nil {
		return nil, err
	}
	requestKey := operation.RequestKey(w.ID, "CreateWorkspace", req.GetRequestId())
	err = change(ctx, func() error {
		_, repeated, err := s.workspaces.Recorded(ctx, requestKey)
		if err != nil {
			return err
		}
		current, err := s.workspaces.Read(ctx, w.ID)
		switch {
		case err != nil:
			return err
		case current.Exists() && repeated:
			w = current.Value
			return nil
		case current.Exists():
			return apierr.New(apierr.AlreadyExists, "WORKSPACE_EXISTS", "workspace %q exists already", w.ID).With("workspace", w.ID)
		case req.GetValidateOnly():
			return nil
		}
		return s.workspaces.Commit(ctx, state.Write[workspace.Workspace]{
			Name: w.ID, Value: &w, Facts: []fact.Fact{f}, Caller: rpc.Principal(ctx), RequestKey: requestKey,
		})
	})
	if err != nil {
		return nil, err
	}
	return workspaceProto(w), nil
}

// newWorkspace reads what is to be created.
func (s *WorkspaceServer) newWorkspace(req *authv1.CreateWorkspaceRequest) (workspace.Workspace, fact.Fact, error) {
	body, id := req.GetWorkspace(), req.GetWorkspaceId()
	attributes := workspace.Attributes{Description: body.GetDescription(), Tags: body.GetTags()}
	w, f, err := workspace.New(id, s.newUID(), attributes, s.now())
	if err == nil && body.GetName() != "" && body.GetName() != w.Name() {
		err = apierr.Invalid(apierr.Violation{Field: "workspace.name", Description: "must be empty or " + w.Name()})
	}
	return w, f, err
}

// UpdateWorkspace updates a workspace's description and tags.
func (s *WorkspaceServer) UpdateWorkspace(ctx context.Context, req *authv1.UpdateWorkspaceRequest) (*authv1.Workspace, error) {
	id, err := workspaceID("workspace.name", req.GetWorkspace().GetName())
	if err != nil {
		return nil, err
	}
	wanted, err := workspaceChange(req)
	if err != nil {
		return nil, err
	}
	var updated workspace.Workspace
	err = change(ctx, func() error {
		current, err := s.workspaces.Read(ctx, id)
		if err != nil {
			return err
		}
		if !current.Exists() {
			return access.NoWorkspace(id)
		}
		if err := etag.Check(req.GetWorkspace().GetEtag(), current.Value.ETag()); err != nil {
			return err
		}
		next, f, changed, err := current.Value.Update(wanted, s.now())
		updated = next
		if err != nil || !changed || req.GetValidateOnly() {
			return err
		}
		return s.workspaces.Commit(ctx, state.Write[workspace.Workspace]{
			Name: id, Was: current, Value: &next, Facts: []fact.Fact{f}, Caller: rpc.Principal(ctx),
		})
	})
	if err != nil {
		return nil, err
	}
	return workspaceProto(updated), nil
}

func workspaceChange(req *authv1.UpdateWorkspaceRequest) (workspace.Change, error) {
	paths, err := fieldmask.Paths(req.GetUpdateMask(), req.GetWorkspace(), "description", "tags")
	var c workspace.Change
	for _, p := range paths {
		switch p {
		case "description":
			description := req.GetWorkspace().GetDescription()
			c.Description = &description
		case "tags":
			tags := req.GetWorkspace().GetTags()
			c.Tags = &tags
		}
	}
	return c, err
}

func workspaceID(field, name string) (string, error) {
	v, err := resourcename.NewPattern("workspaces/{workspace}").ParseField(field, name)
	return v.Get("workspace"), err
}

func workspaceProto(w workspace.Workspace) *authv1.Workspace {
	return &authv1.Workspace{
		Name:        w.Name(),
		Uid:         w.UID,
		Description: w.Description,
		Tags:        w.Tags,
		CreateTime:  timestamppb.New(w.CreateTime),
		UpdateTime:  timestamppb.New(w.UpdateTime),
		Etag:        w.ETag(),
	}
}
