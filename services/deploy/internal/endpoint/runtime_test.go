package endpoint_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

func oneModel(framework string) endpoint.SpecInput {
	return endpoint.SpecInput{Models: []endpoint.ModelRef{{Model: "m", Version: 1}}, Framework: framework}
}

func with(in endpoint.SpecInput, r endpoint.RuntimeInput) endpoint.SpecInput {
	in.Runtime = r
	return in
}

func TestTheRuntimeFollowsFromTheRest(t *testing.T) {
	second := 1 * time.Second
	scripted := source()
	scripted.Framework, scripted.Models = "Onnx", oneModel("").Models
	command := &endpoint.CustomRuntime{Command: []string{"serve"}}
	tests := map[string]struct {
		in   endpoint.SpecInput
		want endpoint.Runtime
	}{
		"a script wins over the framework": {scripted, endpoint.Runtime{Kind: endpoint.Script}},
		"the framework of the only model":  {oneModel("Onnx"), endpoint.Runtime{Kind: endpoint.ONNX}},
		"in any spelling":                  {oneModel("scikit-learn"), endpoint.Runtime{Kind: endpoint.ScikitLearn}},
		"a kind wins over the framework":   {with(oneModel("Onnx"), endpoint.RuntimeInput{Kind: endpoint.ScikitLearn}), endpoint.Runtime{Kind: endpoint.ScikitLearn}},
		"settings say which kind": {
			with(oneModel(""), endpoint.RuntimeInput{ONNX: &endpoint.ONNXInput{ExecutionProviders: []string{"cuda", "CPU"}, MaxBatchSize: 8}}),
			endpoint.Runtime{Kind: endpoint.ONNX, ONNX: &endpoint.ONNXRuntime{
				ExecutionProviders: []string{"CUDA", "CPU"}, MaxBatchSize: 8, MaxBatchDelay: endpoint.DefaultBatchDelay,
			}},
		},
		"a server of the user's own": {with(endpoint.SpecInput{}, endpoint.RuntimeInput{Custom: command}), endpoint.Runtime{Kind: endpoint.Custom, Custom: command}},
		"settings that say nothing": {
			with(source(), endpoint.RuntimeInput{Kind: endpoint.Script, Script: &endpoint.ScriptRuntime{}}), endpoint.Runtime{Kind: endpoint.Script},
		},
		"a delay of batches": {
			with(oneModel("Onnx"), endpoint.RuntimeInput{ONNX: &endpoint.ONNXInput{MaxBatchSize: 2, MaxBatchDelay: &second}}),
			endpoint.Runtime{Kind: endpoint.ONNX, ONNX: &endpoint.ONNXRuntime{MaxBatchSize: 2, MaxBatchDelay: second}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var bad apierr.Violations
			got := test.in.Spec("version", &bad)
			if err := bad.Err(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Runtime); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEverythingWrongWithARuntimeIsTold(t *testing.T) {
	hour := time.Hour
	two := endpoint.SpecInput{Models: []endpoint.ModelRef{{Model: "a", Version: 1}, {Model: "b", Version: 1}}}
	unknown := endpoint.SpecInput{ModelsUnknown: true}
	tests := map[string]struct {
		in   endpoint.SpecInput
		want []string // fields
	}{
		"nothing to serve":               {endpoint.SpecInput{}, []string{"version.entry_script"}},
		"a framework that needs one":     {oneModel("TensorFlow"), []string{"version.entry_script"}},
		"several models":                 {two, []string{"version.entry_script"}},
		"models that were not found":     {unknown, nil},
		"one that is not found for ONNX": {with(unknown, endpoint.RuntimeInput{Kind: endpoint.ONNX}), nil},
		"two models for ONNX":            {with(two, endpoint.RuntimeInput{Kind: endpoint.ONNX}), []string{"version.models"}},
		"a server without a command":     {with(endpoint.SpecInput{}, endpoint.RuntimeInput{Kind: endpoint.Custom}), []string{"version.runtime.custom"}},
		"settings of all others": {
			with(source(), endpoint.RuntimeInput{
				Kind:   endpoint.Custom,
				Script: &endpoint.ScriptRuntime{Workers: -1, ThreadsPerWorker: 257, MaxWorkerMemoryGB: -1},
				ONNX:   &endpoint.ONNXInput{ExecutionProviders: []string{"TPU", "cpu", "CPU"}, MaxBatchSize: 5000, MaxBatchDelay: &hour},
				Custom: &endpoint.CustomRuntime{Image: "a b", Port: -1, HealthRoute: "x", ReadinessRoute: "/a b", ScoringRoute: "/#"},
			}),
			[]string{
				"version.entry_script", "version.runtime.script", "version.runtime.script.workers", "version.runtime.script.threads_per_worker",
				"version.runtime.script.max_worker_memory_gb", "version.runtime.onnx", "version.runtime.onnx.execution_providers",
				"version.runtime.onnx.execution_providers", "version.runtime.onnx.batching.max_size", "version.runtime.onnx.batching.max_delay",
				"version.runtime.custom.image", "version.runtime.custom.port",
				"version.runtime.custom.health_route", "version.runtime.custom.readiness_route", "version.runtime.custom.scoring_route",
			},
		},
		"a delay without a size": {
			with(oneModel("Onnx"), endpoint.RuntimeInput{ONNX: &endpoint.ONNXInput{MaxBatchDelay: &hour}}),
			[]string{"version.runtime.onnx.batching.max_delay", "version.runtime.onnx.batching.max_delay"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var bad apierr.Violations
			test.in.Spec("version", &bad)
			var got []string
			if e, ok := errors.AsType[*apierr.Error](bad.Err()); ok {
				for _, v := range e.Violations {
					got = append(got, v.Field)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, bad)
			}
		})
	}
}

// What was stored before there were runtimes runs a script, and an update that
// says so changes nothing.
func TestSpecsFromBeforeRuntimes(t *testing.T) {
	var bad apierr.Violations
	now := source().Spec("version", &bad)
	stored, err := json.Marshal(now)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(stored, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "runtime")
	if stored, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	var old endpoint.Spec
	if err := json.Unmarshal(stored, &old); err != nil {
		t.Fatal(err)
	}
	if old.RuntimeKind() != endpoint.Script || !old.Equal(now) || !now.Equal(old) {
		t.Errorf("stored before: %+v, now %+v", old, now)
	}
}

// source files are checked with every runtime.
func TestSourceFilesWithoutScript(t *testing.T) {
	in := oneModel("Onnx")
	in.SourceFiles = []bundle.File{{Path: "../x"}}
	var bad apierr.Violations
	in.Spec("version", &bad)
	if len(bad) != 1 || bad[0].Field != "version.source_files" {
		t.Errorf("violations %v", bad)
	}
}
