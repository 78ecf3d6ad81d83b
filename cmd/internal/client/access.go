package client

import (
	"context"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// AllRoleBindings lists every role binding of a workspace.
func (c *Client) AllRoleBindings(ctx context.Context, parent string) ([]*authv1.RoleBinding, error) {
	return all(func(token string) ([]*authv1.RoleBinding, string, error) {
		r, err := c.RoleBindings.ListRoleBindings(ctx, &authv1.ListRoleBindingsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
		return r.GetRoleBindings(), r.GetNextPageToken(), err
	})
}

// AllServicePrincipals lists every service principal.
func (c *Client) AllServicePrincipals(ctx context.Context) ([]*authv1.ServicePrincipal, error) {
	return all(func(token string) ([]*authv1.ServicePrincipal, string, error) {
		r, err := c.ServicePrincipals.ListServicePrincipals(ctx, &authv1.ListServicePrincipalsRequest{PageSize: pageSize, PageToken: token})
		return r.GetServicePrincipals(), r.GetNextPageToken(), err
	})
}

// AuditEntries lists the newest entries of the audit log that req asks for, at
// most so many.
func (c *Client) AuditEntries(ctx context.Context, req *authv1.ListAuditEntriesRequest, most int) ([]*authv1.AuditEntry, error) {
	var entries []*authv1.AuditEntry
	for {
		req.PageSize = int32(max(min(pageSize, most-len(entries)), 0))
		if req.GetPageSize() == 0 {
			return entries, nil
		}
		r, err := c.Audit.ListAuditEntries(ctx, req)
		if err != nil {
			return nil, err
		}
		entries = append(entries, r.GetAuditEntries()...)
		if req.PageToken = r.GetNextPageToken(); req.GetPageToken() == "" {
			return entries, nil
		}
	}
}
