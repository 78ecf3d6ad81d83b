package integration

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// server is a model server of the user's own.
const server = `import http.server
import json
import os
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({"path": self.path})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        models = sorted(os.listdir(os.environ["AZUREML_MODEL_DIR"]))
        self.answer({"path": self.path, "body": body, "colour": os.environ["COLOUR"], "models": models})

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
`

const serving = `kind: Endpoint
name: own
authMode: none
versions:
  - name: one
    models: ["demo:1"]
    source: src
    environmentVariables: {COLOUR: blue}
    requestSettings: {maxQueueWait: 10s}
    runtime:
      kind: custom
      custom:
        command: [python3, server.py, "{port}"]
        healthRoute: /healthy
        scoringRoute: /predict
`

// TestAServerOfTheUsersOwn serves an endpoint by a server that the user brings,
// and changes it while requests go on.
func TestAServerOfTheUsersOwn(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		dir := writeFiles(t, map[string]string{"src/server.py": server, "own.yaml": serving})
		file := filepath.Join(dir, "own.yaml")
		i.Run("apply", "-f", file)
		i.Run("diff", "-f", file) // exit code 0: no difference
		answer := mustScore(t, i, "own", "", nil)
		if want := `{"path": "/predict", "body": {"n": 1}, "colour": "blue", "models": ["demo.txt"]}`; string(answer.Body) != want {
			t.Errorf("it answers %s, want %s", answer.Body, want)
		}
		if got := showEndpoint(t, i, "own").GetVersions()[0].GetReplicaStatuses()[0].GetRuntime(); got != "custom" {
			t.Errorf("the replica reports the runtime %q", got)
		}

		clients := startTraffic(t, i, "own", "")
		clients.awaitMore(t, 30)
		if err := os.WriteFile(file, []byte(strings.Replace(serving, "COLOUR: blue", "COLOUR: green", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		i.Run("apply", "-f", file)
		clients.awaitMore(t, 30)
		clients.end(t)
		if answer := mustScore(t, i, "own", "", nil); !strings.Contains(string(answer.Body), "green") {
			t.Errorf("after the change it answers %s", answer.Body)
		}

		// An image is for targets that run containers.
		if err := os.WriteFile(file, []byte(strings.Replace(serving, `command: [python3, server.py, "{port}"]`, "image: server:1", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := i.Refused("apply", "-f", file); !strings.Contains(r.Stderr, "versions[0].runtime.custom.image: names the image server:1") {
			t.Errorf("an image is refused with:\n%s", r.Stderr)
		}
	})
}

const scripted = `kind: Endpoint
name: tuned
versions:
  - name: one
    entryScript: score.py
    requestSettings: {maxQueueWait: 10s, maxConcurrentRequestsPerReplica: 2}
    runtime: {kind: script, script: %s}
`

// TestWorkersAreChanged changes how the workers of a script run while requests go on.
func TestWorkersAreChanged(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		dir := writeFiles(t, map[string]string{"score.py": script})
		file := filepath.Join(dir, "tuned.yaml")
		apply := func(settings string) {
			t.Helper()
			if err := os.WriteFile(file, fmt.Appendf(nil, scripted, settings), 0o600); err != nil {
				t.Fatal(err)
			}
			i.Run("apply", "-f", file)
		}
		apply("{}")
		clients := startTraffic(t, i, "tuned", keysOf(t, i, "tuned").GetPrimaryKey())
		for _, settings := range []string{"{workers: 2}", "{workers: 1, threadsPerWorker: 2}", "{preload: true}", "{maxWorkerMemoryGb: 0.5}"} {
			clients.awaitMore(t, 30)
			apply(settings)
			i.Run("diff", "-f", file)
			clients.mustNotHaveFailed(t)
			if t.Failed() {
				t.Fatalf("after the change to %s", settings)
			}
		}
		clients.awaitMore(t, 30)
		clients.end(t)
		i.Run("endpoint", "rollback", "-n", "tuned", "--revision", "2")
		v := showEndpoint(t, i, "tuned").GetVersions()[0]
		if got := v.GetRuntime().GetScript().GetWorkers(); got != 2 {
			t.Errorf("after going back to revision 2 it has %d workers: %v", got, v.GetRuntime())
		}
	})
}

// rows is a request with one row of ten features.
const rows = `{"data": [[59.0, 2.0, 32.1, 101.0, 157.0, 93.2, 38.0, 4.0, 4.8598, 87.0]]}`

// TestONNXWithoutAScript deploys a registered ONNX model as it is.
func TestONNXWithoutAScript(t *testing.T) {
	harness.NeedONNXRuntime(t)
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		i.Run("model", "register", "-n", "ridge", "-p", harness.ModelFile(t, "ridge.onnx"), "--model-framework", "Onnx")
		i.Run("model", "deploy", "-n", "ridge", "-m", "ridge:1", "--dc", deploymentConfig(t, nil))
		answer, err := i.Score(testContext(t), "ridge", keysOf(t, i, "ridge").GetPrimaryKey(), []byte(rows), nil)
		if err != nil || answer.Status != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		var outputs map[string][][]float64
		if err := json.Unmarshal(answer.Body, &outputs); err != nil {
			t.Fatalf("%v in %s", err, answer.Body)
		}
		for name, got := range outputs {
			if want := 205.7706348498851; len(outputs) != 1 || len(got) != 1 || math.Abs(got[0][0]-want) > 1e-3 {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		v := showEndpoint(t, i, "ridge").GetVersions()[0]
		if v.GetRuntime().GetKind() != deployv1.Runtime_KIND_ONNX || v.GetReplicaStatuses()[0].GetExecutionProvider() == "" {
			t.Errorf("runtime %v, replicas %v", v.GetRuntime(), v.GetReplicaStatuses())
		}
		i.Run("endpoint", "update", "-n", "ridge", "--cc", "0.2") // keeps it
		if kind := showEndpoint(t, i, "ridge").GetVersions()[0].GetRuntime().GetKind(); kind != deployv1.Runtime_KIND_ONNX {
			t.Errorf("after an update it is %s", kind)
		}
	})
}

// TestScikitLearnWithoutAScript deploys a registered scikit-learn model as it is.
func TestScikitLearnWithoutAScript(t *testing.T) {
	harness.NeedPython(t, "sklearn", "joblib", "numpy")
	folder := harness.NeedAcceptance(t)
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		const model = "sklearn_regression_model.pkl"
		i.Run("model", "register", "-n", "diabetes", "-p", filepath.Join(folder, "models", model), "--model-framework", "ScikitLearn")
		i.Run("model", "deploy", "-n", "diabetes", "-m", "diabetes:1")
		answer, err := i.Score(testContext(t), "diabetes", keysOf(t, i, "diabetes").GetPrimaryKey(), []byte(`{"data": [[1,2,3,4,5,6,7,8,9,10]]}`), nil)
		if err != nil || answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), "11055.97724552") {
			t.Errorf("%v %s, %v", answer, answer.Body, err)
		}
		i.Run("model", "register", "-n", "other", "-p", filepath.Join(folder, "models", model))
		r := i.Refused("model", "deploy", "-n", "other", "-m", "other:1")
		if !strings.Contains(r.Stderr, "model other has no framework") {
			t.Errorf("a model without a framework is refused with:\n%s", r.Stderr)
		}
		i.Run("model", "deploy", "-n", "other", "-m", "other:1", "--runtime", "scikit-learn")
	})
}
