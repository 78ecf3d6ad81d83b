package client

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// pageSize is how many the command line asks for at once.
const pageSize = 500

// all collects the pages that next gives.
func all[T any](next func(token string) ([]T, string, error)) ([]T, error) {
	var items []T
	for token := ""; ; {
		page, following, err := next(token)
		if err != nil {
			return nil, err
		}
		items = append(items, page...)
		if following == "" {
			return items, nil
		}
		token = following
	}
}

// AllWorkspaces lists every workspace.
func (c *Client) AllWorkspaces(ctx context.Context) ([]*authv1.Workspace, error) {
	return all(func(token string) ([]*authv1.Workspace, string, error) {
		r, err := c.Workspaces.ListWorkspaces(ctx, &authv1.ListWorkspacesRequest{PageSize: pageSize, PageToken: token})
		return r.GetWorkspaces(), r.GetNextPageToken(), err
	})
}

// AllComputeTargets lists every compute target of a workspace.
func (c *Client) AllComputeTargets(ctx context.Context, parent string) ([]*computev1.ComputeTarget, error) {
	return all(func(token string) ([]*computev1.ComputeTarget, string, error) {
		r, err := c.ComputeTargets.ListComputeTargets(ctx,
			&computev1.ListComputeTargetsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
		return r.GetComputeTargets(), r.GetNextPageToken(), err
	})
}

// AllModels lists every model of a workspace, each as its newest version.
func (c *Client) AllModels(ctx context.Context, parent string) ([]*deployv1.ModelVersion, error) {
	return all(func(token string) ([]*deployv1.ModelVersion, string, error) {
		r, err := c.Models.ListModels(ctx, &deployv1.ListModelsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
		return r.GetModels(), r.GetNextPageToken(), err
	})
}

// AllModelVersions lists every version of a model.
func (c *Client) AllModelVersions(ctx context.Context, model string) ([]*deployv1.ModelVersion, error) {
	return all(func(token string) ([]*deployv1.ModelVersion, string, error) {
		r, err := c.Models.ListModelVersions(ctx,
			&deployv1.ListModelVersionsRequest{Parent: model, PageSize: pageSize, PageToken: token})
		return r.GetModelVersions(), r.GetNextPageToken(), err
	})
}

// AllEnvironments lists every environment of a workspace, each as its newest version.
func (c *Client) AllEnvironments(ctx context.Context, parent string) ([]*deployv1.EnvironmentVersion, error) {
	return all(func(token string) ([]*deployv1.EnvironmentVersion, string, error) {
		r, err := c.Environments.ListEnvironments(ctx,
			&deployv1.ListEnvironmentsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
		return r.GetEnvironments(), r.GetNextPageToken(), err
	})
}

// AllEnvironmentVersions lists every version of an environment.
func (c *Client) AllEnvironmentVersions(ctx context.Context, environment string) ([]*deployv1.EnvironmentVersion, error) {
	return all(func(token string) ([]*deployv1.EnvironmentVersion, string, error) {
		r, err := c.Environments.ListEnvironmentVersions(ctx,
			&deployv1.ListEnvironmentVersionsRequest{Parent: environment, PageSize: pageSize, PageToken: token})
		return r.GetEnvironmentVersions(), r.GetNextPageToken(), err
	})
}

// AllEndpoints lists every endpoint of a workspace.
func (c *Client) AllEndpoints(ctx context.Context, parent string) ([]*deployv1.Endpoint, error) {
	return all(func(token string) ([]*deployv1.Endpoint, string, error) {
		r, err := c.Endpoints.ListEndpoints(ctx,
			&deployv1.ListEndpointsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
		return r.GetEndpoints(), r.GetNextPageToken(), err
	})
}

// AllOperations lists every operation of a workspace that is still kept.
func (c *Client) AllOperations(ctx context.Context, parent string) ([]*longrunningpb.Operation, error) {
	return all(func(token string) ([]*longrunningpb.Operation, string, error) {
		r, err := c.Operations.ListOperations(ctx,
			&longrunningpb.ListOperationsRequest{Name: parent, PageSize: pageSize, PageToken: token})
		return r.GetOperations(), r.GetNextPageToken(), err
	})
}

// AllWorkloads lists every workload of a compute target, with what its replicas
// use now.
func (c *Client) AllWorkloads(ctx context.Context, target string) ([]*computev1.Workload, error) {
	return all(func(token string) ([]*computev1.Workload, string, error) {
		r, err := c.Workloads.ListWorkloads(ctx,
			&computev1.ListWorkloadsRequest{Parent: target, PageSize: pageSize, PageToken: token})
		return r.GetWorkloads(), r.GetNextPageToken(), err
	})
}
