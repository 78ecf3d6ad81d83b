package integration

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// refusal is what a caller can act on in an error.
type refusal struct {
	Code       codes.Code
	Reason     string
	Violations []string // fields, sorted
}

// refusedCall is one call, by gRPC and by REST, that has to be refused.
type refusedCall struct {
	name   string
	code   codes.Code
	fields []string // that violations name
	says   []string // parts of the message or of violations
	grpc   func(context.Context, api) error
	method string
	path   string
	body   proto.Message
}

// TestRefusals checks every kind of refusal by gRPC and by REST: they say the
// same, and nothing changes.
func TestRefusals(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		ctx := testContext(t)
		a := apiOf(i)
		registerModel(t, i)
		good := must(a.version(ctx, script))(t)
		full := fillEndpoint(ctx, t, a, good)
		before := must(a.endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: full}))(t)
		for _, call := range slices.Concat(refusedCreations(good), refusedChanges(good, before), refusedReads()) {
			t.Run(call.name, func(t *testing.T) { checkRefused(ctx, t, i.In(t), call) })
		}
		after := must(a.endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: full}))(t)
		if before.GetGeneration() != after.GetGeneration() || len(after.GetVersions()) != 6 {
			t.Errorf("the endpoint changed: generation %d to %d, %d versions", before.GetGeneration(), after.GetGeneration(), len(after.GetVersions()))
		}
		list := must(a.endpoints.ListEndpoints(ctx, &deployv1.ListEndpointsRequest{Parent: workspace}))(t)
		if len(list.GetEndpoints()) != 2 {
			t.Errorf("there are %d endpoints, want the 2 that were made", len(list.GetEndpoints()))
		}
	})
}

// fillEndpoint makes an endpoint "full" with six versions, of which the first has
// 50 and the others 10 percent, and an endpoint "one" with one.
func fillEndpoint(ctx context.Context, t *testing.T, a api, v *deployv1.EndpointVersion) string {
	t.Helper()
	finish := func(o *longrunningpb.Operation, err error) {
		if err := a.finish(ctx, o, err); err != nil {
			t.Fatal(err)
		}
	}
	for endpoint, percentile := range map[string]float64{"full": 50, "one": 100} {
		finish(a.endpoints.CreateEndpoint(ctx, &deployv1.CreateEndpointRequest{
			Parent: workspace, EndpointId: endpoint, VersionId: "version1",
			Version: clone(v, func(v *deployv1.EndpointVersion) { v.TrafficPercentile = percentile }),
		}))
	}
	for n := 2; n <= 6; n++ {
		finish(a.endpoints.CreateEndpointVersion(ctx, &deployv1.CreateEndpointVersionRequest{
			Parent: endpointName("full"), VersionId: fmt.Sprintf("version%d", n),
			Version: clone(v, func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 10 }),
		}))
	}
	return endpointName("full")
}

func refusedCreations(good *deployv1.EndpointVersion) []refusedCall {
	create := func(name string, code codes.Code, fields, says []string, r *deployv1.CreateEndpointRequest) refusedCall {
		r.Parent = workspace
		return refusedCall{
			name: name, code: code, fields: fields, says: says,
			grpc: func(ctx context.Context, a api) error {
				_, err := a.endpoints.CreateEndpoint(ctx, r)
				return err
			},
			method: http.MethodPost, path: "/v1/workspaces/default/endpoints", body: r,
		}
	}
	bad := clone(good, func(v *deployv1.EndpointVersion) {
		v.Resources = &deployv1.ReplicaResources{Cpu: -1, MemoryGb: -1}
		v.Replicas = -1
		v.TrafficPercentile = 101
	})
	return []refusedCall{
		create("bad endpoint name", codes.InvalidArgument, []string{"endpoint_id"}, []string{"lower-case"},
			&deployv1.CreateEndpointRequest{EndpointId: "Bad_Name", Version: good}),
		create("five mistakes", codes.InvalidArgument,
			[]string{"endpoint_id", "version.replicas", "version.resources.cpu", "version.resources.memory_gb", "version.traffic_percentile"}, nil,
			&deployv1.CreateEndpointRequest{EndpointId: "X", Version: bad}),
		create("unknown model", codes.InvalidArgument, []string{"version.models[0]"}, []string{"nothere"},
			&deployv1.CreateEndpointRequest{EndpointId: "fresh", Version: clone(good, func(v *deployv1.EndpointVersion) { v.Models = []string{"nothere:1"} })}),
		create("unknown version of a model", codes.InvalidArgument, []string{"version.models[0]"}, []string{"demo"},
			&deployv1.CreateEndpointRequest{EndpointId: "fresh", Version: clone(good, func(v *deployv1.EndpointVersion) { v.Models = []string{"demo:99"} })}),
		create("unknown compute target", codes.InvalidArgument, []string{"endpoint.compute_target"}, []string{"nowhere"},
			&deployv1.CreateEndpointRequest{EndpointId: "fresh", Endpoint: &deployv1.Endpoint{ComputeTarget: "nowhere"}, Version: good}),
		create("script that was not uploaded", codes.InvalidArgument, []string{"version.entry_script"}, nil,
			&deployv1.CreateEndpointRequest{EndpointId: "fresh", Version: clone(good, func(v *deployv1.EndpointVersion) { v.EntryScript = "other.py" })}),
		create("duplicate endpoint", codes.AlreadyExists, nil, []string{"full"},
			&deployv1.CreateEndpointRequest{EndpointId: "full", Version: good}),
		{
			name: "model without files", code: codes.InvalidArgument, fields: []string{"files", "model_id"},
			grpc: func(ctx context.Context, a api) error {
				_, err := a.models.RegisterModel(ctx, &deployv1.RegisterModelRequest{Parent: workspace, ModelId: "-x"})
				return err
			},
			method: http.MethodPost, path: "/v1/workspaces/default/models:register", body: &deployv1.RegisterModelRequest{ModelId: "-x"},
		},
		{
			name: "compute target below the production minimum", code: codes.InvalidArgument, fields: []string{"compute_target.node_count"}, says: []string{"12 vCPU"},
			grpc: func(ctx context.Context, a api) error {
				_, err := a.targets.CreateComputeTarget(ctx, &computev1.CreateComputeTargetRequest{
					Parent: workspace, ComputeTargetId: "small", ComputeTarget: &computev1.ComputeTarget{NodeSize: "Standard_D3_v2", NodeCount: 2},
				})
				return err
			},
			method: http.MethodPost, path: "/v1/workspaces/default/computeTargets?computeTargetId=small",
			body: &computev1.ComputeTarget{NodeSize: "Standard_D3_v2", NodeCount: 2},
		},
	}
}

func refusedChanges(good *deployv1.EndpointVersion, full *deployv1.Endpoint) []refusedCall {
	addVersion := func(name string, code codes.Code, fields, says []string, id string, v *deployv1.EndpointVersion) refusedCall {
		return refusedCall{
			name: name, code: code, fields: fields, says: says,
			grpc: func(ctx context.Context, a api) error {
				_, err := a.endpoints.CreateEndpointVersion(ctx, &deployv1.CreateEndpointVersionRequest{Parent: full.GetName(), VersionId: id, Version: v})
				return err
			},
			method: http.MethodPost, path: "/v1/" + full.GetName() + "/versions?versionId=" + id, body: v,
		}
	}
	update := func(name string, code codes.Code, fields, says []string, v *deployv1.EndpointVersion) refusedCall {
		return refusedCall{
			name: name, code: code, fields: fields, says: says,
			grpc: func(ctx context.Context, a api) error {
				_, err := a.endpoints.UpdateEndpointVersion(ctx, &deployv1.UpdateEndpointVersionRequest{Version: v})
				return err
			},
			method: http.MethodPatch, path: "/v1/" + v.GetName(), body: v,
		}
	}
	remove := func(name string, code codes.Code, says []string, version, etag string) refusedCall {
		return refusedCall{
			name: name, code: code, says: says,
			grpc: func(ctx context.Context, a api) error {
				_, err := a.endpoints.DeleteEndpointVersion(ctx, &deployv1.DeleteEndpointVersionRequest{Name: version, Etag: etag})
				return err
			},
			method: http.MethodDelete, path: "/v1/" + version + "?etag=" + etag,
		}
	}
	named := func(version string, change func(*deployv1.EndpointVersion)) *deployv1.EndpointVersion {
		v := &deployv1.EndpointVersion{Name: versionName("full", version)}
		change(v)
		return v
	}
	return []refusedCall{
		addVersion("seventh version", codes.FailedPrecondition, nil, []string{"6"}, "version7", good),
		addVersion("bad version name", codes.InvalidArgument, []string{"version_id"}, nil, "V_7", good),
		update("sum above 100", codes.InvalidArgument, []string{"version.traffic_percentile"}, []string{"100"},
			named("version2", func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 11 })),
		update("unknown version", codes.NotFound, nil, []string{"version9"}, named("version9", func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 1 })),
		update("etag of an earlier state", codes.Aborted, nil, nil,
			named("version2", func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 1; v.Etag = "stale" })),
		remove("last version", codes.FailedPrecondition, []string{"last", "endpoint"}, versionName("one", "version1"), ""),
		remove("version with a stale etag", codes.Aborted, nil, versionName("full", "version2"), "stale"),
		{
			name: "model in use", code: codes.FailedPrecondition, says: []string{"full"},
			grpc: func(ctx context.Context, a api) error {
				_, err := a.models.DeleteModelVersion(ctx, &deployv1.DeleteModelVersionRequest{Name: workspace + "/models/demo/versions/1"})
				return err
			},
			method: http.MethodDelete, path: "/v1/workspaces/default/models/demo/versions/1",
		},
		{
			name: "compute target in use", code: codes.FailedPrecondition,
			grpc: func(ctx context.Context, a api) error {
				_, err := a.targets.DeleteComputeTarget(ctx, &computev1.DeleteComputeTargetRequest{Name: workspace + "/computeTargets/local"})
				return err
			},
			method: http.MethodDelete, path: "/v1/workspaces/default/computeTargets/local",
		},
	}
}

func refusedReads() []refusedCall {
	return []refusedCall{
		{
			name: "unknown endpoint", code: codes.NotFound, says: []string{"nothere"},
			grpc: func(ctx context.Context, a api) error {
				_, err := a.endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: endpointName("nothere")})
				return err
			},
			method: http.MethodGet, path: "/v1/" + endpointName("nothere"),
		},
		{
			name: "unknown model", code: codes.NotFound, says: []string{"nothere"},
			grpc: func(ctx context.Context, a api) error {
				_, err := a.models.GetModelVersion(ctx, &deployv1.GetModelVersionRequest{Name: workspace + "/models/nothere/versions/1"})
				return err
			},
			method: http.MethodGet, path: "/v1/workspaces/default/models/nothere/versions/1",
		},
		{
			name: "unknown workspace", code: codes.NotFound, says: []string{"elsewhere"},
			grpc: func(ctx context.Context, a api) error {
				_, err := a.endpoints.ListEndpoints(ctx, &deployv1.ListEndpointsRequest{Parent: "workspaces/elsewhere"})
				return err
			},
			method: http.MethodGet, path: "/v1/workspaces/elsewhere/endpoints",
		},
		{
			name: "unknown operation", code: codes.NotFound,
			grpc: func(ctx context.Context, a api) error {
				_, err := a.operations.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: workspace + "/operations/deploy-nothere"})
				return err
			},
			method: http.MethodGet, path: "/v1/workspaces/default/operations/deploy-nothere",
		},
		{
			name: "bad page token", code: codes.InvalidArgument, fields: []string{"page_token"},
			grpc: func(ctx context.Context, a api) error {
				_, err := a.models.ListModels(ctx, &deployv1.ListModelsRequest{Parent: workspace, PageToken: "!"})
				return err
			},
			method: http.MethodGet, path: "/v1/workspaces/default/models?pageToken=!",
		},
	}
}

func checkRefused(ctx context.Context, t *testing.T, i *harness.Installation, call refusedCall) {
	byGRPC := status.Convert(call.grpc(ctx, apiOf(i))).Proto()
	want := refusal{Code: call.code, Violations: call.fields}
	got := refusalOf(byGRPC)
	if got.Reason == "" {
		t.Errorf("there is no reason for programs in %v", byGRPC)
	}
	want.Reason = got.Reason
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("by gRPC (-want +got):\n%s\n%v", diff, byGRPC)
	}
	for _, part := range call.says {
		if !strings.Contains(byGRPC.String(), part) {
			t.Errorf("the answer does not say %q: %v", part, byGRPC)
		}
	}
	byREST := restStatus(ctx, t, i, call)
	if diff := cmp.Diff(got, refusalOf(byREST)); diff != "" {
		t.Errorf("REST differs from gRPC (-gRPC +REST):\n%s", diff)
	}
	if byGRPC.GetMessage() != byREST.GetMessage() {
		t.Errorf("REST says %q, gRPC %q", byREST.GetMessage(), byGRPC.GetMessage())
	}
}

// restStatus makes the call by REST and reads the error.
func restStatus(ctx context.Context, t *testing.T, i *harness.Installation, call refusedCall) *statuspb.Status {
	t.Helper()
	var body any
	if call.body != nil {
		raw, err := protojson.Marshal(call.body)
		if err != nil {
			t.Fatal(err)
		}
		body = rawJSON(raw)
	}
	answer, err := i.REST(ctx, call.method, call.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if want := httpStatus(call.code); answer.Status != want {
		t.Errorf("by REST the status is %d, want %d", answer.Status, want)
	}
	s := &statuspb.Status{}
	unmarshal(t, string(answer.Body), s)
	return s
}

// rawJSON is JSON that is sent as it is.
type rawJSON []byte

// MarshalJSON gives it.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

func httpStatus(code codes.Code) int {
	switch code {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	default:
		return http.StatusInternalServerError
	}
}

func refusalOf(s *statuspb.Status) refusal {
	r := refusal{Code: codes.Code(s.GetCode())} //nolint:gosec // codes are small
	for _, d := range s.GetDetails() {
		detail, err := d.UnmarshalNew()
		if err != nil {
			continue
		}
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			r.Reason = d.GetReason()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				r.Violations = append(r.Violations, v.GetField())
			}
		}
	}
	slices.Sort(r.Violations)
	return r
}
