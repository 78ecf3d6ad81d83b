package grpcapi

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/services/auth/internal/audit"
	"github.com/fairlead/fairlead/services/auth/internal/permission"
	"github.com/fairlead/fairlead/services/auth/internal/state"
)

// AuditServer serves AuditService.
type AuditServer struct {
	authv1.UnsafeAuditServiceServer
	log *state.AuditLog
}

var _ authv1.AuditServiceServer = (*AuditServer)(nil)

// NewAuditServer makes the server.
func NewAuditServer(log *state.AuditLog) *AuditServer { return &AuditServer{log: log} }

// ListAuditEntries lists entries, newest first.
func (s *AuditServer) ListAuditEntries(_ context.Context, req *authv1.ListAuditEntriesRequest) (*authv1.ListAuditEntriesResponse, error) {
	id, err := workspaceID("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	f := audit.Filter{
		Workspace: id, Principal: req.GetPrincipal(), Method: req.GetMethod(), Resource: req.GetResource(), DeniedOnly: req.GetDeniedOnly(),
	}
	if id == permission.AllWorkspaces {
		f.Workspace = ""
	}
	if t := req.GetStartTime(); t != nil {
		f.Start = t.AsTime()
	}
	if t := req.GetEndTime(); t != nil {
		f.End = t.AsTime()
	}
	p, err := page.Parse(req.GetPageSize(), req.GetPageToken(), fmt.Sprintf("auditEntries %+v", f))
	if err != nil {
		return nil, err
	}
	part, next := page.Cut(s.log.List(f), p, func(e audit.Entry) string { return backward(e.ID) })
	out := &authv1.ListAuditEntriesResponse{NextPageToken: next}
	for _, e := range part {
		out.AuditEntries = append(out.AuditEntries, auditProto(e))
	}
	return out, nil
}

// backward gives a key that sorts the other way round than id, of equal length.
func backward(id string) string {
	b := []byte(id)
	for i := range b {
		b[i] = 0x7f - b[i]&0x7f
	}
	return string(b)
}

// RecordAuditEntries adds what another service tells.
func (s *AuditServer) RecordAuditEntries(ctx context.Context, req *authv1.RecordAuditEntriesRequest) (*authv1.RecordAuditEntriesResponse, error) {
	entries := make([]audit.Entry, 0, len(req.GetAuditEntries()))
	service := rpc.PeerFrom(ctx)
	for _, e := range req.GetAuditEntries() {
		entry := audit.Entry{
			Time: e.GetTime().AsTime(), Principal: e.GetPrincipal(), Method: e.GetMethod(), Resource: e.GetResource(), Details: e.GetDetails(),
			ClientAddress: e.GetClientAddress(), Denied: e.GetDenied(), Code: e.GetCode(), Message: e.GetMessage(),
			RequestID: e.GetRequestId(), Service: service, Count: max(e.GetCount(), 1),
		}
		entries = append(entries, entry)
	}
	if err := s.log.Append(ctx, service+"-"+req.GetBatchId(), entries); err != nil {
		return nil, err
	}
	return &authv1.RecordAuditEntriesResponse{}, nil
}

func auditProto(e audit.Entry) *authv1.AuditEntry {
	out := &authv1.AuditEntry{
		Id: e.ID, Time: timestamppb.New(e.Time), Principal: e.Principal, Method: e.Method, Resource: e.Resource, Details: e.Details,
		ClientAddress: e.ClientAddress, Denied: e.Denied, Code: e.Code, Message: e.Message,
		RequestId: e.RequestID, Service: e.Service, Count: e.Count,
	}
	if w := e.Workspace(); w != "" {
		out.Workspace = resourcename.Format("workspaces", w)
	}
	return out
}
