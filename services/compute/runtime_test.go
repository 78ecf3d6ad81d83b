package compute_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
)

const ownServer = `import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
`

func custom(c *computev1.CustomRuntime) *computev1.Runtime {
	return &computev1.Runtime{Kind: &computev1.Runtime_Custom{Custom: c}}
}

func TestAReplicaRunsAServerOfTheUsersOwn(t *testing.T) {
	b := newBench(t)
	spec := b.spec(ownServer, 1)
	spec.Runtime = custom(&computev1.CustomRuntime{Command: []string{"python3", spec.GetEntryScript(), "{port}"}, HealthRoute: "/live"})
	spec.EntryScript = ""
	b.apply("w", spec)
	r := b.awaitState("w", computev1.Workload_STATE_HEALTHY).GetReplicas()[0]
	if r.GetRuntime().GetKind() != "custom" {
		t.Errorf("it reports %v", r.GetRuntime())
	}
}

func TestAScriptReportsItself(t *testing.T) {
	b := newBench(t)
	b.apply("w", b.spec("def init(): pass\ndef run(d): return 1\n", 1))
	r := b.awaitState("w", computev1.Workload_STATE_HEALTHY).GetReplicas()[0]
	if r.GetRuntime().GetKind() != "script" {
		t.Errorf("it reports %v", r.GetRuntime())
	}
}

func TestRuntimesAreChecked(t *testing.T) {
	b := newBench(t)
	tests := map[string]struct {
		change func(*computev1.WorkloadSpec)
		words  string
	}{
		"an image":   {func(s *computev1.WorkloadSpec) { s.Runtime = custom(&computev1.CustomRuntime{Image: "server:1"}) }, "image server:1"},
		"no command": {func(s *computev1.WorkloadSpec) { s.Runtime = custom(&computev1.CustomRuntime{}) }, "spec.runtime.custom.command"},
		"no model": {func(s *computev1.WorkloadSpec) {
			s.Runtime = &computev1.Runtime{Kind: &computev1.Runtime_Onnx{Onnx: &computev1.OnnxRuntime{}}}
		}, "must be one model"},
		"no script": {func(s *computev1.WorkloadSpec) { s.EntryScript = "" }, "spec.entry_script"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spec := b.spec("def init(): pass\ndef run(d): return 1\n", 1)
			test.change(spec)
			_, err := b.workloads.ApplyWorkload(t.Context(), &computev1.ApplyWorkloadRequest{Name: local + "/workloads/w", Spec: spec})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %v, want %q in it", err, test.words)
			}
		})
	}
}
