package grpcapi

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/access"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
)

// Endpoints is the EndpointService.
type Endpoints struct {
	deployv1.UnsafeEndpointServiceServer
	*server
}

var _ deployv1.EndpointServiceServer = (*Endpoints)(nil)

// ListEndpoints lists endpoints by name.
func (s *Endpoints) ListEndpoints(_ context.Context, req *deployv1.ListEndpointsRequest) (*deployv1.ListEndpointsResponse, error) {
	parent, err := workspacePattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	p, err := page.Parse(req.GetPageSize(), req.GetPageToken(), req.GetParent())
	if err != nil {
		return nil, err
	}
	items := s.deps.State.Endpoints().List(state.EndpointsKey(parent.Get("workspace")))
	part, next := page.Cut(items, p, func(i store.Item[endpoint.Endpoint]) string { return i.Key })
	out := &deployv1.ListEndpointsResponse{NextPageToken: next}
	for _, item := range part {
		out.Endpoints = append(out.Endpoints, s.endpoint(item.Value))
	}
	return out, nil
}

// GetEndpoint gets an endpoint with its versions.
func (s *Endpoints) GetEndpoint(ctx context.Context, req *deployv1.GetEndpointRequest) (*deployv1.Endpoint, error) {
	e, err := s.read(ctx, "name", req.GetName())
	if err != nil {
		return nil, err
	}
	return s.endpoint(e), nil
}

// ListEndpointVersions lists the versions of an endpoint.
func (s *Endpoints) ListEndpointVersions(ctx context.Context, req *deployv1.ListEndpointVersionsRequest) (*deployv1.ListEndpointVersionsResponse, error) {
	e, err := s.read(ctx, "parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	return &deployv1.ListEndpointVersionsResponse{Versions: s.endpoint(e).GetVersions()}, nil
}

// GetEndpointVersion gets a version.
func (s *Endpoints) GetEndpointVersion(ctx context.Context, req *deployv1.GetEndpointVersionRequest) (*deployv1.EndpointVersion, error) {
	e, v, err := s.readVersion(ctx, "name", req.GetName())
	if err != nil {
		return nil, err
	}
	return s.version(e, v), nil
}

// readVersion reads the version that a field names, with its endpoint.
func (s *Endpoints) readVersion(ctx context.Context, field, name string) (endpoint.Endpoint, endpoint.Version, error) {
	values, err := versionPattern.ParseField(field, name)
	if err != nil {
		return endpoint.Endpoint{}, endpoint.Version{}, err
	}
	e, _, err := s.deps.State.Endpoint(ctx, values.Get("workspace"), values.Get("endpoint"))
	if err != nil {
		return endpoint.Endpoint{}, endpoint.Version{}, err
	}
	v, err := e.Find(values.Get("version"))
	return e, v, err
}

func (s *Endpoints) read(ctx context.Context, field, name string) (endpoint.Endpoint, error) {
	values, err := endpointPattern.ParseField(field, name)
	if err != nil {
		return endpoint.Endpoint{}, err
	}
	e, _, err := s.deps.State.Endpoint(ctx, values.Get("workspace"), values.Get("endpoint"))
	return e, err
}

// UpdateEndpoint changes what belongs to the endpoint itself.
func (s *Endpoints) UpdateEndpoint(ctx context.Context, req *deployv1.UpdateEndpointRequest) (*longrunningpb.Operation, error) {
	name := req.GetEndpoint().GetName()
	values, err := endpointPattern.ParseField("endpoint.name", name)
	if err != nil {
		return nil, err
	}
	told := false
	answer, err := s.mutate(ctx, mutation{
		method: "UpdateEndpoint", verb: "update", workspace: values.Get("workspace"), id: values.Get("endpoint"), target: name,
		etag: req.GetEndpoint().GetEtag(), requestID: req.GetRequestId(), validateOnly: req.GetValidateOnly(),
		change: func(ctx context.Context, e endpoint.Endpoint, _ string) (endpoint.Change, []store.Op, error) {
			wanted := s.endpoint(e)
			if _, err := merge(wanted, req.GetEndpoint(), req.GetUpdateMask(), "description", "tags", "properties", "auth_mode", "telemetry_enabled"); err != nil {
				return endpoint.Change{}, nil, err
			}
			c, err := e.Update(endpointInput(wanted), s.deps.Clock())
			if err == nil && c.Endpoint.Auth != e.Auth && !req.GetValidateOnly() {
				told = true
				err = s.tellMode(ctx, c.Endpoint) // before routers hear of it
			}
			return c, nil, err
		},
	})
	if err != nil && told {
		s.takeBackMode(ctx, values.Get("workspace"), values.Get("endpoint"))
	}
	return answer, err
}

// tellMode tells the auth service how callers of an endpoint show who they are.
func (s *Endpoints) tellMode(ctx context.Context, e endpoint.Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	if err := access.Tell(ctx, s.deps.Keys, e); err != nil {
		return apierr.New(apierr.Unavailable, "KEYS_UNAVAILABLE", "the auth service does not answer, so the authentication mode cannot be changed; try again").Because(err)
	}
	return nil
}

// takeBackMode tells the mode that is stored, after a change of it was told and
// not stored; also when the caller has left. What fails here the reconciler does.
func (s *Endpoints) takeBackMode(ctx context.Context, workspace, id string) {
	ctx = context.WithoutCancel(ctx)
	e, _, err := s.deps.State.Endpoint(ctx, workspace, id)
	if err == nil {
		err = s.tellMode(ctx, e)
	}
	if err != nil {
		s.deps.Logger.Warn("the mode of an endpoint that was not changed is told later", "endpoint", endpoint.Name(workspace, id), "error", err)
	}
}

// DeleteEndpoint deletes an endpoint with all its versions.
func (s *Endpoints) DeleteEndpoint(ctx context.Context, req *deployv1.DeleteEndpointRequest) (*longrunningpb.Operation, error) {
	values, err := endpointPattern.Parse(req.GetName())
	if err != nil {
		return nil, err
	}
	return s.mutate(ctx, mutation{
		method: "DeleteEndpoint", verb: "delete", workspace: values.Get("workspace"), id: values.Get("endpoint"), target: req.GetName(),
		etag: req.GetEtag(), requestID: req.GetRequestId(), validateOnly: req.GetValidateOnly(),
		always: true,
		change: func(_ context.Context, e endpoint.Endpoint, operation string) (endpoint.Change, []store.Op, error) {
			c, err := e.BeginDeletion(operation, s.deps.Clock())
			return c, nil, err
		},
	})
}

// CreateEndpointVersion adds a version.
func (s *Endpoints) CreateEndpointVersion(ctx context.Context, req *deployv1.CreateEndpointVersionRequest) (*longrunningpb.Operation, error) {
	values, err := endpointPattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	workspace, uid := values.Get("workspace"), newUID()
	return s.mutate(ctx, mutation{
		method: "CreateEndpointVersion", verb: "create", workspace: workspace, id: values.Get("endpoint"),
		target: req.GetParent() + "/" + resourcename.Format("versions", req.GetVersionId()),
		etag:   req.GetEtag(), requestID: req.GetRequestId(), validateOnly: req.GetValidateOnly(),
		change: func(ctx context.Context, e endpoint.Endpoint, operation string) (endpoint.Change, []store.Op, error) {
			var bad apierr.Violations
			input := versionInput(req.GetVersion())
			use, err := s.references(ctx, site{workspace: workspace, target: e.ComputeTarget}, req.GetVersion(), &input, present{absent: req.GetValidateOnly()}, &bad)
			if err != nil {
				return endpoint.Change{}, nil, err
			}
			added := endpoint.NewVersion{ID: req.GetVersionId(), UID: uid, Operation: operation, Input: input}
			c, err := e.AddVersion(added, s.cfg.MaxVersions, s.deps.Clock())
			return c, use, together(err, bad)
		},
	})
}

// UpdateEndpointVersion changes a version.
func (s *Endpoints) UpdateEndpointVersion(ctx context.Context, req *deployv1.UpdateEndpointVersionRequest) (*longrunningpb.Operation, error) {
	name := req.GetVersion().GetName()
	values, err := versionPattern.ParseField("version.name", name)
	if err != nil {
		return nil, err
	}
	workspace, id := values.Get("workspace"), values.Get("version")
	return s.mutate(ctx, mutation{
		method: "UpdateEndpointVersion", verb: "update", workspace: workspace, id: values.Get("endpoint"), target: name,
		etag: req.GetVersion().GetEtag(), requestID: req.GetRequestId(), validateOnly: req.GetValidateOnly(),
		change: func(ctx context.Context, e endpoint.Endpoint, operation string) (endpoint.Change, []store.Op, error) {
			return s.updateVersion(ctx, e, id, operation, req)
		},
	})
}

func (s *Endpoints) updateVersion(ctx context.Context, e endpoint.Endpoint, id, operation string, req *deployv1.UpdateEndpointVersionRequest) (endpoint.Change, []store.Op, error) {
	old, err := e.Find(id)
	if err != nil {
		return endpoint.Change{}, nil, err
	}
	wanted := s.version(e, old)
	changed, err := merge(wanted, req.GetVersion(), req.GetUpdateMask(),
		"description", "tags", "properties", "models", "source_files", "entry_script", "environment_variables", "resources",
		"replicas", "autoscale", "environment", "collect_model_data", "namespace", "runtime",
		"request_settings", "liveness_probe", "traffic_percentile", "is_default", "type")
	if err != nil {
		return endpoint.Change{}, nil, err
	}
	var bad apierr.Violations
	one(wanted, changed, endpoint.DesiredReplicas(old))
	oneRuntime(wanted, req.GetVersion(), changed, old.Spec.RuntimeKind())
	input := versionInput(wanted)
	input.Spec.Models, input.Spec.Packages = old.Spec.Models, old.Spec.Packages
	var use []store.Op
	if changed["models"] || changed["runtime"] { // what a cleared runtime means follows from the model
		if use, err = s.models(ctx, e.Workspace, wanted.GetModels(), &input, &bad); err != nil {
			return endpoint.Change{}, nil, err
		}
	}
	if changed["source_files"] {
		expect := present{known: old.Spec.SourceFiles, absent: req.GetValidateOnly()}
		if err := s.checkContents(ctx, e.Workspace, sourceFiles(input.Spec.SourceFiles), expect, &bad); err != nil {
			return endpoint.Change{}, nil, err
		}
	}
	if changed["environment"] {
		environmentUse, err := s.environment(ctx, site{workspace: e.Workspace, target: e.ComputeTarget}, wanted.GetEnvironment(), &input, &bad)
		if err != nil {
			return endpoint.Change{}, nil, err
		}
		use = append(use, environmentUse...)
	}
	if changed["runtime"] {
		if err := s.checkImage(ctx, e.ComputeTarget, input.Spec.Runtime.Custom, &bad); err != nil {
			return endpoint.Change{}, nil, err
		}
	}
	c, err := e.UpdateVersion(id, operation, input, s.deps.Clock())
	return c, use, together(err, bad)
}

// one lets a fixed number of replicas that is given take the place of the
// autoscaling that a version has, and the other way round. now is how many
// replicas there are: they stay when the autoscaling ends without a number.
func one(wanted *deployv1.EndpointVersion, changed map[string]bool, now int) {
	switch {
	case changed["replicas"] && !changed["autoscale"]:
		wanted.Autoscale = nil
	case changed["autoscale"] && !changed["replicas"] && wanted.GetAutoscale() != nil:
		wanted.Replicas = 0
	case changed["autoscale"] && !changed["replicas"] && wanted.GetReplicas() == 0:
		wanted.Replicas = int32(now)
	}
}

// DeleteEndpointVersion deletes a version.
func (s *Endpoints) DeleteEndpointVersion(ctx context.Context, req *deployv1.DeleteEndpointVersionRequest) (*longrunningpb.Operation, error) {
	values, err := versionPattern.Parse(req.GetName())
	if err != nil {
		return nil, err
	}
	return s.mutate(ctx, mutation{
		method: "DeleteEndpointVersion", verb: "delete", workspace: values.Get("workspace"), id: values.Get("endpoint"), target: req.GetName(),
		etag: req.GetEtag(), requestID: req.GetRequestId(), validateOnly: req.GetValidateOnly(),
		change: func(_ context.Context, e endpoint.Endpoint, operation string) (endpoint.Change, []store.Op, error) {
			c, err := e.DeleteVersion(values.Get("version"), operation, s.deps.Clock())
			return c, nil, err
		},
	})
}

// together gives all violations at once, and other errors only when there are none.
func together(err error, found apierr.Violations) error {
	other := violations(err, &found)
	if len(found) > 0 {
		return found.Err()
	}
	return other
}
