package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/fairlead/fairlead/platform/apierr"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func TestGRPCCallsAreTheCallersOwn(t *testing.T) {
	b := start(t)
	workspaces := authv1.NewWorkspaceServiceClient(b.conn)
	if got, err := workspaces.GetWorkspace(as(t, token), &authv1.GetWorkspaceRequest{Name: "workspaces/default"}); err != nil || got.GetName() != "workspaces/default" {
		t.Errorf("%v, %v", got, err)
	}
	if got := b.auth.metadata().Get("x-request-id"); len(got) != 1 || got[0] == "" {
		t.Errorf("request id at the service: %q", got)
	}
	// Without a token the caller is nobody: the gateway lends it no identity.
	_, err := workspaces.GetWorkspace(t.Context(), &authv1.GetWorkspaceRequest{Name: "workspaces/default"})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
	_, err = authv1.NewEndpointKeyServiceClient(b.conn).EnsureEndpointKeys(t.Context(), &authv1.EnsureEndpointKeysRequest{Name: "n", EndpointUid: "u"})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a method for services only: %v", err)
	}
}

func TestGRPCStreamEndsWhenTheGatewayStops(t *testing.T) {
	b := start(t)
	s, err := deployv1.NewEndpointServiceClient(b.conn).ReadEndpointLogs(as(t, token), &deployv1.ReadEndpointLogsRequest{Name: "workspaces/default/endpoints/e", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.Recv(); err != nil || m.GetLines()[0].GetText() != "first" {
		t.Fatalf("%v, %v", m, err)
	}
	began := time.Now()
	b.stop()
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable || apierr.FromStatus(err).Reason != "STOPPING" {
		t.Errorf("the stream ended with %v, want UNAVAILABLE, STOPPING", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a stream held the gateway up for %s", took)
	}
}

func TestGRPCCancellationReachesTheService(t *testing.T) {
	b := start(t)
	ctx, cancel := context.WithCancel(as(t, token))
	s, err := deployv1.NewEndpointServiceClient(b.conn).ReadEndpointLogs(ctx, &deployv1.ReadEndpointLogsRequest{Name: "workspaces/default/endpoints/e", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-b.deploy.ended
}

func TestGRPCOverHTTP1IsToldSo(t *testing.T) {
	b := start(t)
	a := b.call(t, "POST", "/fairlead.auth.v1.WorkspaceService/GetWorkspace", "", "Content-Type", "application/grpc")
	if a.status != http.StatusHTTPVersionNotSupported || !strings.Contains(a.body, "HTTP/2") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestRESTOverHTTP2(t *testing.T) {
	b := start(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	b.client.Transport = &http.Transport{Protocols: protocols}
	resp, err := b.client.Do(b.request(t, "GET", "/v1/workspaces/default", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("%s %d", resp.Proto, resp.StatusCode)
	}
}

func TestOperationsOfAllServices(t *testing.T) {
	b := start(t)
	ops := longrunningpb.NewOperationsClient(b.conn)
	want := append(names("compute", 3), names("deploy", 4)...)
	for _, size := range []int32{1, 2, 3, 4, 7, 50} {
		var grpcNames, restNames []string
		token := ""
		for {
			part, err := ops.ListOperations(as(t, "a-token"), &longrunningpb.ListOperationsRequest{Name: "workspaces/default", PageSize: size, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(part.GetOperations()); n > int(size) || n == 0 {
				t.Errorf("a page of %d has %d", size, n)
			}
			for _, o := range part.GetOperations() {
				grpcNames = append(grpcNames, o.GetName())
			}
			a := b.call(t, "GET", "/v1/workspaces/default/operations?pageSize="+fmt.Sprint(size%10)+"&pageToken="+token, "")
			var doc struct{ Operations []struct{ Name string } }
			if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
				t.Fatalf("%s: %v", a.body, err)
			}
			for _, o := range doc.Operations {
				restNames = append(restNames, o.Name)
			}
			if token = part.GetNextPageToken(); token == "" {
				break
			}
		}
		if diff := cmp.Diff(want, grpcNames); diff != "" {
			t.Errorf("size %d, gRPC (-want +got):\n%s", size, diff)
		}
		if diff := cmp.Diff(want, restNames); diff != "" {
			t.Errorf("size %d, REST (-want +got):\n%s", size, diff)
		}
	}
	for _, name := range []string{"workspaces/default/operations/compute-a", "workspaces/default/operations/deploy-d"} {
		if o, err := ops.GetOperation(as(t, token), &longrunningpb.GetOperationRequest{Name: name}); err != nil || o.GetName() != name {
			t.Errorf("GetOperation(%s) = %v, %v", name, o, err)
		}
		if o, err := ops.WaitOperation(as(t, token), &longrunningpb.WaitOperationRequest{Name: name}); err != nil || !o.GetDone() {
			t.Errorf("WaitOperation(%s) = %v, %v", name, o, err)
		}
		if a := b.call(t, "POST", "/v1/"+name+":wait", "{}"); a.status != 200 || !strings.Contains(a.body, name) {
			t.Errorf("wait by REST: %d %s", a.status, a.body)
		}
		if a := b.call(t, "POST", "/v1/"+name+":cancel", "{}"); a.status != 400 || !strings.Contains(a.body, name+" has ended") {
			t.Errorf("cancel by REST: %d %s", a.status, a.body)
		}
	}
	for ctx, want := range map[context.Context]codes.Code{as(t, token): codes.NotFound, t.Context(): codes.Unauthenticated} {
		if _, err := ops.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: "workspaces/default/operations/nobody-x"}); status.Code(err) != want {
			t.Errorf("an operation of no service: %v, want %s", err, want)
		}
	}
	_, err := ops.ListOperations(as(t, token), &longrunningpb.ListOperationsRequest{Name: "workspaces/default", PageToken: "made-up"})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a made-up page token: %v", err)
	}
	if a := b.call(t, "GET", "/v1/workspaces/default/operations?pageToken=made-up", ""); a.status != 400 {
		t.Errorf("a made-up page token by REST: %d %s", a.status, a.body)
	}
}

func TestHealth(t *testing.T) {
	b := start(t)
	client := healthpb.NewHealthClient(b.conn)
	for name, want := range map[string]codes.Code{
		"": codes.OK, "deploy": codes.OK, "fairlead.deploy.v1.EndpointService": codes.OK,
		"router": codes.NotFound, "fairlead.router.v1.RouterService": codes.NotFound,
	} {
		got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		if status.Code(err) != want || want == codes.OK && got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("Check(%q) = %v, %v; want %s", name, got, err, want)
		}
	}
	all, err := client.List(t.Context(), &healthpb.HealthListRequest{})
	if err != nil || len(all.GetStatuses()) != 4 {
		t.Errorf("List = %v, %v", all, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("Watch = %v, %v", got, err)
	}
}

var served = []string{
	"fairlead.auth.v1.EndpointKeyService", "fairlead.auth.v1.WorkspaceService",
	"fairlead.compute.v1.ComputeTargetService", "fairlead.compute.v1.WorkloadService",
	"fairlead.deploy.v1.ArtefactService", "fairlead.deploy.v1.EndpointService", "fairlead.deploy.v1.ModelService",
	"fairlead.events.v1.EventService", "google.longrunning.Operations", "grpc.health.v1.Health",
}

func TestReflection(t *testing.T) {
	b := start(t)
	stream, err := reflectionv1.NewServerReflectionClient(b.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(req *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	var listed []string
	for _, s := range ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		listed = append(listed, s.GetName())
	}
	for _, s := range served {
		if !slices.Contains(listed, s) {
			t.Errorf("%s is not listed", s)
		}
	}
	for _, s := range []string{"fairlead.auth.v1.AccessService", "fairlead.deploy.v1.RouteService", "fairlead.router.v1.RouterService"} {
		if slices.Contains(listed, s) { // for services only, or of one that is not there
			t.Errorf("%s is listed", s)
		}
	}
	for _, symbol := range append([]string{
		"fairlead.deploy.v1.Endpoint", "fairlead.compute.v1.ComputeTarget", "fairlead.events.v1.CloudEvent",
		"fairlead.resource.v1.OperationMetadata", "google.rpc.BadRequest", "google.longrunning.Operation",
	}, served...) {
		files := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}}).
			GetFileDescriptorResponse().GetFileDescriptorProto()
		var file descriptorpb.FileDescriptorProto
		if len(files) == 0 || proto.Unmarshal(files[0], &file) != nil || !strings.HasPrefix(symbol, file.GetPackage()+".") {
			t.Errorf("%s is not found", symbol)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end = %v", err)
	}
	old, err := reflectionv1alpha.NewServerReflectionClient(b.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Send(&reflectionv1alpha.ServerReflectionRequest{MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{}}); err != nil { //nolint:staticcheck // older tools ask by it
		t.Fatal(err)
	}
	resp, err := old.Recv()
	if err != nil || len(resp.GetListServicesResponse().GetService()) != len(listed) { //nolint:staticcheck // older tools ask by it
		t.Errorf("v1alpha lists %v, %v", resp, err)
	}
	if err := old.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end = %v", err)
	}
}
