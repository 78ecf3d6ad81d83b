package deploy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// onnx registers a model of the framework Onnx and makes versions of it.
func (b *bed) onnx() func(*deployv1.EndpointVersion) {
	b.t.Helper()
	b.upload("graph")
	_, err := b.models.RegisterModel(b.t.Context(), &deployv1.RegisterModelRequest{
		Parent: "workspaces/default", ModelId: "graph", Files: []*deployv1.ArtefactFile{file("m.onnx", "graph")},
		ModelVersion: &deployv1.ModelVersion{Framework: "Onnx"},
	})
	b.check(err)
	return func(v *deployv1.EndpointVersion) {
		v.Models, v.EntryScript, v.SourceFiles = []string{"graph:1"}, "", nil
	}
}

// spec gives what compute was given for the endpoint's version aaa.
func (b *bed) spec() *computev1.WorkloadSpec {
	b.t.Helper()
	names := b.compute.Workloads()
	if len(names) != 1 {
		b.t.Fatalf("workloads %v", names)
	}
	return b.compute.Spec(names[0])
}

func (b *bed) updateVersion(v *deployv1.EndpointVersion, paths ...string) (*deployv1.EndpointVersion, error) {
	b.t.Helper()
	v.Name = endpointName + "/versions/aaa"
	o, err := b.endpoints.UpdateEndpointVersion(b.t.Context(), &deployv1.UpdateEndpointVersionRequest{
		Version: v, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
	})
	if err != nil {
		return nil, err
	}
	out := &deployv1.EndpointVersion{}
	b.succeeds(o, out)
	return out, nil
}

func TestAModelIsServedWithoutAScript(t *testing.T) {
	b := newBed(t, nil)
	e := b.create(b.onnx())
	if kind := e.GetVersions()[0].GetRuntime().GetKind(); kind != deployv1.Runtime_KIND_ONNX {
		t.Errorf("read back as %s", kind)
	}
	if b.spec().GetRuntime().GetOnnx() == nil || b.spec().GetEntryScript() != "" || len(b.spec().GetModels()) != 1 {
		t.Errorf("asked of compute: %v", b.spec())
	}
	b.register()
	_, err := b.endpoints.CreateEndpoint(t.Context(), &deployv1.CreateEndpointRequest{
		Parent: "workspaces/default", EndpointId: "other", Version: &deployv1.EndpointVersion{Models: []string{"ridge:1"}},
	})
	refused(t, err, "INVALID_ARGUMENT", "version.entry_script", "model ridge has no framework", "--model-framework")
}

func TestARuntimesSettingsAreChanged(t *testing.T) {
	b := newBed(t, nil)
	b.create(b.onnx())
	v, err := b.updateVersion(&deployv1.EndpointVersion{Runtime: &deployv1.Runtime{
		Onnx: &deployv1.OnnxRuntime{ExecutionProviders: []string{"cpu"}, Batching: &deployv1.Batching{MaxSize: 8}},
	}}, "runtime.onnx")
	b.check(err)
	want := &deployv1.Runtime{
		Kind: deployv1.Runtime_KIND_ONNX,
		Onnx: &deployv1.OnnxRuntime{ExecutionProviders: []string{"CPU"}, Batching: &deployv1.Batching{MaxSize: 8, MaxDelay: durationpb.New(2 * time.Millisecond)}},
	}
	if diff := cmp.Diff(want, v.GetRuntime(), protocmp.Transform()); diff != "" || v.GetRevision() != 2 {
		t.Errorf("revision %d (-want +got):\n%s", v.GetRevision(), diff)
	}
	asked := &computev1.Runtime{Kind: &computev1.Runtime_Onnx{Onnx: &computev1.OnnxRuntime{
		ExecutionProviders: []string{"CPU"}, MaxBatchSize: 8, MaxBatchDelay: durationpb.New(2 * time.Millisecond),
	}}}
	b.eventually("compute has the settings", func() bool { return cmp.Equal(asked, b.spec().GetRuntime(), protocmp.Transform()) })
	revisions, err := b.endpoints.ListEndpointVersionRevisions(t.Context(), &deployv1.ListEndpointVersionRevisionsRequest{Parent: endpointName + "/versions/aaa"})
	b.check(err)
	var fields []string
	for _, d := range revisions.GetRevisions()[0].GetDifferences() {
		fields = append(fields, d.GetField())
	}
	if diff := cmp.Diff([]string{"runtime.onnx.batching.maxDelay", "runtime.onnx.batching.maxSize", "runtime.onnx.executionProviders"}, fields); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	_, err = b.updateVersion(&deployv1.EndpointVersion{Runtime: &deployv1.Runtime{Script: &deployv1.ScriptRuntime{Workers: 2}}}, "runtime.script")
	refused(t, err, "INVALID_ARGUMENT", "version.runtime.script", "has no effect with runtime.kind ONNX")
}

// The kind that is said last holds, with its settings and no others.
func TestAnotherRuntimeTakesItsPlace(t *testing.T) {
	b := newBed(t, nil)
	b.create(b.onnx())
	kind := func(v *deployv1.EndpointVersion, err error) deployv1.Runtime_Kind {
		t.Helper()
		b.check(err)
		return v.GetRuntime().GetKind()
	}
	_, err := b.updateVersion(&deployv1.EndpointVersion{Runtime: &deployv1.Runtime{Onnx: &deployv1.OnnxRuntime{ExecutionProviders: []string{"cpu"}}}}, "runtime.onnx")
	b.check(err)
	given := b.version(nil)
	if got := kind(b.updateVersion(given, "entry_script", "source_files")); got != deployv1.Runtime_KIND_SCRIPT {
		t.Errorf("with a script it is %s", got)
	}
	custom := &deployv1.Runtime{Kind: deployv1.Runtime_KIND_CUSTOM, Custom: &deployv1.CustomRuntime{Command: []string{"serve"}}}
	v, err := b.updateVersion(&deployv1.EndpointVersion{Runtime: custom}, "runtime")
	if got := kind(v, err); got != deployv1.Runtime_KIND_CUSTOM || v.GetEntryScript() != "" {
		t.Errorf("with a server of one's own it is %s, script %q", got, v.GetEntryScript())
	}
	if got := kind(b.updateVersion(&deployv1.EndpointVersion{}, "runtime")); got != deployv1.Runtime_KIND_ONNX {
		t.Errorf("with nothing said it is %s", got)
	}
	script := &deployv1.Runtime{Kind: deployv1.Runtime_KIND_SCRIPT, Script: &deployv1.ScriptRuntime{Workers: 2, ThreadsPerWorker: 3, Preload: true, MaxWorkerMemoryGb: 0.5}}
	given.Runtime = script
	if got := kind(b.updateVersion(given, "runtime", "entry_script")); got != deployv1.Runtime_KIND_SCRIPT {
		t.Errorf("with a script's settings it is %s", got)
	}
	asked := &computev1.ScriptRuntime{Workers: 2, ThreadsPerWorker: 3, Preload: true, MaxWorkerMemoryBytes: 1 << 29}
	b.eventually("compute has the settings", func() bool { return cmp.Equal(asked, b.spec().GetRuntime().GetScript(), protocmp.Transform()) })
}

// A target that runs no containers says so before anything is stored.
func TestAnImageIsForTargetsWithContainers(t *testing.T) {
	b := newBed(t, nil)
	b.compute.Refuse("spec.runtime.custom.image", "names an image, but replicas are processes")
	_, err := b.endpoints.CreateEndpoint(t.Context(), b.createRequest(func(v *deployv1.EndpointVersion) {
		v.EntryScript, v.Runtime = "", &deployv1.Runtime{Custom: &deployv1.CustomRuntime{Image: "server:1"}}
	}))
	refused(t, err, "INVALID_ARGUMENT", "version.runtime.custom.image", "replicas are processes")
}

func TestRoutesTellTheRuntime(t *testing.T) {
	b := newBed(t, nil)
	b.create(b.onnx())
	stream, err := b.routes.WatchRoutes(t.Context(), &deployv1.WatchRoutesRequest{})
	b.check(err)
	for {
		answer, err := stream.Recv()
		b.check(err)
		if route := answer.GetChanged(); route != nil {
			if got := route.GetVersions()[0].GetRuntime(); got != deployv1.Runtime_KIND_ONNX {
				t.Errorf("the route says %s", got)
			}
			return
		}
	}
}
