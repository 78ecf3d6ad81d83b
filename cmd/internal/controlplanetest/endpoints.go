package controlplanetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

// Endpoints whose first version has these names behave so.
const (
	Broken = "broken" // the script fails
	Stuck  = "stuck"  // the operation never ends
)

type endpointService struct {
	deployv1.UnimplementedEndpointServiceServer
	s *Server
}

func (e endpointService) ConvertConfig(_ context.Context, req *deployv1.ConvertConfigRequest) (*deployv1.ConvertConfigResponse, error) {
	r := &deployv1.ConvertConfigResponse{Endpoint: &deployv1.Endpoint{}, Version: &deployv1.EndpointVersion{}}
	violate := func(field, description string) {
		r.Violations = append(r.Violations, &deployv1.ConvertConfigResponse_Finding{Field: field, Description: description})
	}
	if len(req.GetDeploymentConfig()) > 0 {
		var dc struct {
			ComputeType, VersionName      string
			TrafficPercentile             float64
			NumReplicas                   int32
			AppInsightsEnabled            bool
			AuthEnabled                   *bool
			ContainerResourceRequirements struct{ CPU float64 }
		}
		if err := json.Unmarshal(req.GetDeploymentConfig(), &dc); err != nil {
			violate("deployment_config", "is neither JSON nor YAML that can be read")
		}
		if dc.ComputeType == "" {
			violate("computeType", "must be given")
		}
		if r.Version.Resources = (&deployv1.ReplicaResources{Cpu: dc.ContainerResourceRequirements.CPU}); dc.ContainerResourceRequirements.CPU < 0 {
			r.Version.Resources = nil
			violate("containerResourceRequirements.cpu", "must be greater than 0")
		}
		r.VersionId, r.Version.TrafficPercentile, r.Version.Replicas = dc.VersionName, dc.TrafficPercentile, dc.NumReplicas
		if dc.AuthEnabled != nil && !*dc.AuthEnabled {
			r.Endpoint.AuthMode = deployv1.Endpoint_AUTH_MODE_NONE
		}
		if dc.AppInsightsEnabled {
			r.Ignored = append(r.Ignored, &deployv1.ConvertConfigResponse_Finding{Field: "appInsightsEnabled", Description: "there is no telemetry yet"})
		}
	}
	if len(req.GetInferenceConfig()) > 0 {
		var ic struct{ EntryScript, SourceDirectory string }
		if err := json.Unmarshal(req.GetInferenceConfig(), &ic); err != nil {
			violate("inference_config", "is neither JSON nor YAML that can be read")
		} else if ic.EntryScript == "" {
			violate("entryScript", "must be given: the path of the scoring script")
		}
		r.Version.EntryScript, r.SourceDirectory = ic.EntryScript, ic.SourceDirectory
	}
	return r, nil
}

// check finds what is wrong with a version, and makes its models full names.
func (e endpointService) check(v *deployv1.EndpointVersion, others float64) apierr.Violations {
	var bad apierr.Violations
	for i, m := range v.GetModels() {
		if strings.HasPrefix(m, "workspaces/") {
			continue
		}
		name, version, _ := strings.Cut(m, ":")
		found := e.s.model(name, version)
		if found == nil {
			bad.Add(fmt.Sprintf("version.models[%d]", i), "there is no model %s", m)
			continue
		}
		v.Models[i] = found.GetName()
	}
	if v.GetEntryScript() == "" {
		bad.Add("version.entry_script", "must be given: the path of the scoring script, one of source_files")
	}
	if v.GetReplicas() < 0 {
		bad.Add("version.replicas", "must be greater than 0")
	}
	if sum := others + v.GetTrafficPercentile(); sum > 100 {
		bad.Add("version.traffic_percentile", "makes the percentiles add up to %g; they must not add up to more than 100", sum)
	}
	return bad
}

func (e endpointService) uploaded(v *deployv1.EndpointVersion) error {
	for _, f := range v.GetSourceFiles() {
		if _, ok := e.s.contents[f.GetSha256()]; !ok {
			return apierr.New(apierr.FailedPrecondition, "CONTENT_MISSING", "the content of %s has not been uploaded", f.GetPath())
		}
	}
	return nil
}

func (e endpointService) CreateEndpoint(_ context.Context, req *deployv1.CreateEndpointRequest) (*longrunningpb.Operation, error) {
	bad := e.check(req.GetVersion(), 0)
	if len(req.GetEndpointId()) < 3 {
		bad.Add("endpoint_id", "must be 3 to 32 characters long")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if _, ok := e.s.endpoints[req.GetEndpointId()]; ok {
		return nil, apierr.New(apierr.AlreadyExists, "ENDPOINT_EXISTS", "endpoint %q exists already", req.GetEndpointId())
	}
	id := req.GetVersionId()
	if id == "" {
		id = "version1"
	}
	ep := req.GetEndpoint()
	ep.Name, ep.Uid, ep.Etag, ep.CreateTime = Parent+"/endpoints/"+req.GetEndpointId(), "uid-1", "e1", timestamppb.New(Now())
	ep.ComputeTarget = Parent + "/computeTargets/local"
	ep.ScoringPath = "/api/v1/service/" + req.GetEndpointId() + "/score"
	ep.ScoringUri = "http://data.test" + ep.GetScoringPath()
	ep.Generation, ep.ObservedGeneration, ep.State = 1, 1, deployv1.State_STATE_TRANSITIONING
	req.GetVersion().IsDefault = true
	e.add(ep, id, req.GetVersion())
	if req.GetValidateOnly() {
		return e.s.done(ep)
	}
	if err := e.uploaded(req.GetVersion()); err != nil {
		return nil, err
	}
	e.s.endpoints[req.GetEndpointId()] = ep
	e.s.keys[req.GetEndpointId()] = &authv1.EndpointKeys{PrimaryKey: "primary-key-of-16", SecondaryKey: "secondary-key-16"}
	return e.deploy(ep, id, func() proto.Message { return ep })
}

// add puts a version into an endpoint.
func (e endpointService) add(ep *deployv1.Endpoint, id string, v *deployv1.EndpointVersion) {
	v.Name, v.Etag, v.State = ep.GetName()+"/versions/"+id, ep.GetEtag(), deployv1.State_STATE_TRANSITIONING
	if v.GetType() == deployv1.EndpointVersion_TYPE_UNSPECIFIED {
		v.Type = deployv1.EndpointVersion_TYPE_TREATMENT
	}
	v.Replicas = max(1, v.GetReplicas())
	v.DesiredReplicas = v.GetReplicas()
	if v.GetIsDefault() {
		for _, other := range ep.GetVersions() {
			other.IsDefault = false
		}
		ep.DefaultVersion = id
	}
	ep.Versions = append(ep.Versions, v)
}

// deploy starts the operation that makes a version healthy, or fails it.
func (e endpointService) deploy(ep *deployv1.Endpoint, id string, response func() proto.Message) (*longrunningpb.Operation, error) {
	v := find(ep, id)
	if id == Stuck {
		return e.s.start("create", ep.GetName(), nil), nil
	}
	return e.s.start("create", ep.GetName(), func() (proto.Message, error) {
		if id == Broken {
			const message = "the entry script failed: ModuleNotFoundError: no module named 'nothere'"
			v.State, v.StateMessage, ep.State, ep.StateMessage = deployv1.State_STATE_FAILED, message, deployv1.State_STATE_FAILED, message
			v.Conditions = []*resourcev1.Condition{{
				Type: "Ready", Status: resourcev1.Condition_STATUS_FALSE, Reason: "ScriptError", Message: message,
				LogLines: []string{"Traceback (most recent call last):", "ModuleNotFoundError: no module named 'nothere'"},
			}}
			return nil, apierr.New(apierr.FailedPrecondition, "SCRIPT_ERROR", message)
		}
		v.State, v.ReadyReplicas, ep.State = deployv1.State_STATE_HEALTHY, v.GetReplicas(), deployv1.State_STATE_HEALTHY
		share(ep)
		return response(), nil
	}), nil
}

// share gives the traffic out: what is not assigned goes to the default.
func share(ep *deployv1.Endpoint) {
	rest := 100.0
	for _, v := range ep.GetVersions() {
		v.TrafficShare = v.GetTrafficPercentile()
		rest -= v.GetTrafficPercentile()
	}
	if d := find(ep, ep.GetDefaultVersion()); d != nil {
		d.TrafficShare += rest
	}
}

func find(ep *deployv1.Endpoint, id string) *deployv1.EndpointVersion {
	for _, v := range ep.GetVersions() {
		if strings.HasSuffix(v.GetName(), "/versions/"+id) {
			return v
		}
	}
	return nil
}

func (e endpointService) endpoint(name string) (*deployv1.Endpoint, string, error) {
	parts := strings.Split(name, "/")
	ep, ok := e.s.endpoints[parts[3]]
	if !ok {
		return nil, "", notFound("endpoint", parts[3])
	}
	if len(parts) < 6 {
		return ep, "", nil
	}
	if find(ep, parts[5]) == nil {
		return nil, "", notFound("version", parts[5])
	}
	return ep, parts[5], nil
}

func (e endpointService) GetEndpoint(_ context.Context, req *deployv1.GetEndpointRequest) (*deployv1.Endpoint, error) {
	ep, _, err := e.endpoint(req.GetName())
	return ep, err
}

func (e endpointService) GetEndpointVersion(_ context.Context, req *deployv1.GetEndpointVersionRequest) (*deployv1.EndpointVersion, error) {
	ep, id, err := e.endpoint(req.GetName())
	if err != nil {
		return nil, err
	}
	return find(ep, id), nil
}

func (e endpointService) ListEndpoints(context.Context, *deployv1.ListEndpointsRequest) (*deployv1.ListEndpointsResponse, error) {
	r := &deployv1.ListEndpointsResponse{}
	for _, ep := range e.s.endpoints {
		r.Endpoints = append(r.Endpoints, ep)
	}
	slices.SortFunc(r.GetEndpoints(), func(a, b *deployv1.Endpoint) int { return strings.Compare(a.GetName(), b.GetName()) })
	return r, nil
}

func (e endpointService) ListEndpointVersions(_ context.Context, req *deployv1.ListEndpointVersionsRequest) (*deployv1.ListEndpointVersionsResponse, error) {
	ep, _, err := e.endpoint(req.GetParent())
	return &deployv1.ListEndpointVersionsResponse{Versions: ep.GetVersions()}, err
}

func (e endpointService) CreateEndpointVersion(_ context.Context, req *deployv1.CreateEndpointVersionRequest) (*longrunningpb.Operation, error) {
	ep, _, err := e.endpoint(req.GetParent())
	if err != nil {
		return nil, err
	}
	others := 0.0
	for _, v := range ep.GetVersions() {
		others += v.GetTrafficPercentile()
	}
	if err := e.check(req.GetVersion(), others).Err(); err != nil {
		return nil, err
	}
	if req.GetValidateOnly() {
		return e.s.done(req.GetVersion())
	}
	if err := e.uploaded(req.GetVersion()); err != nil {
		return nil, err
	}
	e.add(ep, req.GetVersionId(), req.GetVersion())
	return e.deploy(ep, req.GetVersionId(), func() proto.Message { return req.GetVersion() })
}

func (e endpointService) UpdateEndpointVersion(_ context.Context, req *deployv1.UpdateEndpointVersionRequest) (*longrunningpb.Operation, error) {
	ep, id, err := e.endpoint(req.GetVersion().GetName())
	if err != nil {
		return nil, err
	}
	v := find(ep, id)
	if req.GetValidateOnly() {
		return e.s.done(v)
	}
	src, dst := req.GetVersion().ProtoReflect(), v.ProtoReflect()
	for _, p := range req.GetUpdateMask().GetPaths() {
		fd := dst.Descriptor().Fields().ByTextName(p)
		dst.Clear(fd)
		if src.Has(fd) {
			dst.Set(fd, src.Get(fd))
		}
	}
	if slices.Contains(req.GetUpdateMask().GetPaths(), "is_default") {
		find(ep, ep.GetDefaultVersion()).IsDefault = false
		v.IsDefault, ep.DefaultVersion = true, id
	}
	if v.GetType() == deployv1.EndpointVersion_TYPE_CONTROL {
		ep.ControlVersion = id
	}
	share(ep)
	return e.s.done(v)
}

func (e endpointService) DeleteEndpointVersion(_ context.Context, req *deployv1.DeleteEndpointVersionRequest) (*longrunningpb.Operation, error) {
	ep, id, err := e.endpoint(req.GetName())
	if err != nil {
		return nil, err
	}
	if len(ep.GetVersions()) == 1 {
		return nil, apierr.New(apierr.FailedPrecondition, "LAST_VERSION", "%s is the last version; delete the endpoint", id)
	}
	ep.Versions = slices.DeleteFunc(ep.GetVersions(), func(v *deployv1.EndpointVersion) bool { return v == find(ep, id) })
	ep.DefaultVersion = ep.GetVersions()[0].GetName()[strings.LastIndexByte(ep.GetVersions()[0].GetName(), '/')+1:]
	ep.Versions[0].IsDefault = true
	share(ep)
	return e.s.start("delete", ep.GetName(), func() (proto.Message, error) { return ep, nil }), nil
}

func (e endpointService) UpdateEndpoint(_ context.Context, req *deployv1.UpdateEndpointRequest) (*longrunningpb.Operation, error) {
	ep, _, err := e.endpoint(req.GetEndpoint().GetName())
	if err != nil {
		return nil, err
	}
	ep.Tags = req.GetEndpoint().GetTags()
	return e.s.done(ep)
}

func (e endpointService) DeleteEndpoint(_ context.Context, req *deployv1.DeleteEndpointRequest) (*longrunningpb.Operation, error) {
	ep, _, err := e.endpoint(req.GetName())
	if err != nil {
		return nil, err
	}
	return e.s.start("delete", ep.GetName(), func() (proto.Message, error) {
		delete(e.s.endpoints, ep.GetName()[strings.LastIndexByte(ep.GetName(), '/')+1:])
		return &emptypb.Empty{}, nil
	}), nil
}
