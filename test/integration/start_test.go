package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/fairlead/fairlead/test/harness"
)

// residentBudget is what a user may expect of the one binary.
const residentBudget = 100 << 20

// TestMemory bounds what an idle installation holds, and tells how long the start
// and a first deployment took.
func TestMemory(t *testing.T) {
	harness.Binary(t) // which is not measured
	began := time.Now()
	i := harness.Start(t, harness.AllInOne)
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	if resident := residentBytes(t, i.PID("up")); resident > residentBudget {
		t.Errorf("an idle installation has %d MiB of memory, more than %d", resident>>20, residentBudget>>20)
	} else {
		t.Logf("%d MiB resident", resident>>20)
	}
	registerModel(t, i)
	began = time.Now()
	mustScore(t, i, "shop", deploy(t, i, "shop", script, nil), nil)
	t.Logf("first answer %v after the deployment began", time.Since(began).Round(time.Millisecond))
}

// residentBytes reads what a process has of the machine's memory.
func residentBytes(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(string(line), "VmRSS: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	t.Fatal("the system does not tell the memory of a process")
	return 0
}

// TestSelfDescription asks the control plane what it is.
func TestSelfDescription(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		ctx := testContext(t)
		for _, path := range []string{"/healthz", "/readyz", "/v1/version", "/"} {
			answer, err := i.REST(ctx, http.MethodGet, path, nil)
			if err != nil || answer.Status != http.StatusOK {
				t.Errorf("%s is answered with %v, %v", path, answer, err)
			}
		}
		answer := must(i.REST(ctx, http.MethodGet, "/openapi.json", nil))(t)
		var document struct {
			Paths map[string]json.RawMessage `json:"paths"`
		}
		if err := answer.Decode(&document); err != nil || len(document.Paths) < 20 {
			t.Errorf("the OpenAPI document has %d paths: %v", len(document.Paths), err)
		}
		healthy := must(grpc_health_v1.NewHealthClient(i.Conn()).Check(ctx, &grpc_health_v1.HealthCheckRequest{}))(t)
		if healthy.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("the health is %v", healthy.GetStatus())
		}
		reflectServices(t, i)
	})
}

// reflectServices asks for the services and for the file of one, as grpcurl does.
func reflectServices(t *testing.T, i *harness.Installation) {
	t.Helper()
	stream := must(grpc_reflection_v1.NewServerReflectionClient(i.Conn()).ServerReflectionInfo(testContext(t)))(t)
	ask := func(r *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		return must(stream.Recv())(t)
	}
	found := map[string]bool{}
	for _, s := range ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}).GetListServicesResponse().GetService() {
		found[s.GetName()] = true
	}
	for _, want := range []string{
		"fairlead.auth.v1.WorkspaceService", "fairlead.auth.v1.EndpointKeyService", "fairlead.compute.v1.ComputeTargetService",
		"fairlead.deploy.v1.EndpointService", "fairlead.deploy.v1.ModelService", "fairlead.deploy.v1.ArtefactService",
		"fairlead.events.v1.EventService", "google.longrunning.Operations",
	} {
		if !found[want] {
			t.Errorf("reflection does not list %s", want)
		}
		file := ask(&grpc_reflection_v1.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: want},
		})
		if len(file.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("reflection does not describe %s: %v", want, file.GetErrorResponse())
		}
	}
}
