package local

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func TestTheScorerIsToldWhatAnswers(t *testing.T) {
	tests := map[string]struct {
		spec workload.Spec
		want string
	}{
		"a script":                      {workload.Spec{EntryScript: "score.py", MaxConcurrent: 3}, "--runtime script --entry-script score.py --workers 3"},
		"as many workers as the script": {workload.Spec{EntryScript: "s.py", Environment: map[string]string{"WORKER_COUNT": "5"}}, "--runtime script --entry-script s.py --workers 5"},
		"workers of the settings": {
			workload.Spec{
				EntryScript: "s.py", MaxConcurrent: 9, Environment: map[string]string{"WORKER_COUNT": "5"},
				Runtime: &workload.Runtime{Kind: workload.Script, Workers: workload.Workers{Count: 2, Threads: 4, Preload: true, MaxMemoryBytes: 1 << 20}},
			},
			"--runtime script --entry-script s.py --workers 2 --threads 4 --preload --worker-memory 1048576",
		},
		"workers with threads": {
			workload.Spec{MaxConcurrent: 9, Runtime: &workload.Runtime{Kind: workload.ScikitLearn, Workers: workload.Workers{Threads: 4}}},
			"--runtime scikit-learn --workers 3 --threads 4",
		},
		"an ONNX model": {workload.Spec{Runtime: &workload.Runtime{Kind: workload.ONNX}}, "--runtime onnx"},
		"an ONNX model in batches": {
			workload.Spec{Runtime: &workload.Runtime{Kind: workload.ONNX, ONNX: workload.ONNXSettings{
				ExecutionProviders: []string{"CUDA", "CPU"}, MaxBatchSize: 8, MaxBatchDelay: 2 * time.Millisecond,
			}}},
			"--runtime onnx --execution-providers CUDA,CPU --max-batch-size 8 --max-batch-delay 2ms",
		},
		"a server": {
			workload.Spec{MaxConcurrent: 2, Runtime: &workload.Runtime{Kind: workload.Custom, Custom: workload.CustomSettings{
				Command: []string{"serve", "--port={port}", `a "b"`}, Port: 9000, GRPC: true, HealthRoute: "/h", ReadinessRoute: "/r", ScoringRoute: "/s",
			}}},
			`--runtime custom --custom-command ["serve","--port={port}","a \"b\""] --custom-protocol grpc --custom-concurrency 2 --custom-port 9000 ` +
				"--custom-health-route /h --custom-ready-route /r --custom-scoring-route /s",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			flags, err := runtimeFlags(test.spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, strings.Join(flags, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatAScorerReports(t *testing.T) {
	tests := map[string]struct {
		answer string
		want   replica.Report
	}{
		"all": {`{"runtime":"onnx","execution_provider":"cuda","accelerators":["A100"],"more":1}`,
			replica.Report{Runtime: "onnx", ExecutionProvider: "cuda", Accelerators: []string{"A100"}}},
		"a script":          {`{"runtime":"script","workers":{}}`, replica.Report{Runtime: "script"}},
		"an older scorer":   {`{"service":"x"}`, replica.Report{}},
		"what is no answer": {`<html>`, replica.Report{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, report([]byte(test.answer))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
