package catalogue

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMethod(t *testing.T) {
	c := Read()
	for name, want := range map[string]Method{
		"/fairlead.auth.v1.WorkspaceService/GetWorkspace":            {Owner: "auth", Public: true},
		"/fairlead.auth.v1.AccessService/CheckAccess":                {Owner: "auth"},
		"/fairlead.auth.v1.EndpointKeyService/ListEndpointKeys":      {Owner: "auth", Public: true},
		"/fairlead.auth.v1.EndpointKeyService/EnsureEndpointKeys":    {Owner: "auth"},
		"/fairlead.deploy.v1.EndpointService/ReadEndpointLogs":       {Owner: "deploy", Public: true, Streams: true},
		"/fairlead.deploy.v1.RouteService/WatchRoutes":               {Owner: "deploy", Streams: true},
		"/fairlead.compute.v1.ComputeTargetService/GetComputeTarget": {Owner: "compute", Public: true},
		"/fairlead.compute.v1.WorkloadService/ApplyWorkload":         {Owner: "compute"},
		"/fairlead.router.v1.RouterService/GetRouteTable":            {Owner: "router", Public: true},
		"/fairlead.events.v1.EventService/WatchEvents":               {Owner: "events", Public: true, Streams: true},
	} {
		if got, ok := c.Method(name); !ok || got != want {
			t.Errorf("Method(%s) = %+v, %v; want %+v", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "/", "/fairlead.auth.v1.WorkspaceService/Nothing", "/google.longrunning.Operations/GetOperation"} {
		if got, ok := c.Method(name); ok {
			t.Errorf("Method(%q) = %+v, want none", name, got)
		}
	}
}

func TestServicesAreThePublicOnesOfTheOwners(t *testing.T) {
	want := []string{
		"fairlead.compute.v1.ComputeTargetService", "fairlead.compute.v1.WorkloadService", "fairlead.events.v1.EventService",
	}
	if diff := cmp.Diff(want, Read().Services("compute", "events", "unknown")); diff != "" {
		t.Errorf("Services (-want +got):\n%s", diff)
	}
}

func TestOwner(t *testing.T) {
	for name, want := range map[string]string{
		"fairlead.deploy.v1.EndpointService": "deploy",
		"google.longrunning.Operations":      "",
		"fairlead.":                          "",
		"fairleadx.deploy.v1.S":              "",
		"":                                   "",
	} {
		if got := Owner(name); got != want {
			t.Errorf("Owner(%q) = %q, want %q", name, got, want)
		}
	}
}
