package conformance_test

import (
	"bytes"
	"context"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/test/conformance"
	"github.com/fairlead/fairlead/test/harness"
	"github.com/fairlead/fairlead/test/repository"
)

// A server that is there already; without these flags the test starts our scorer.
var (
	url     = flag.String("url", "", "what is before /v2")
	address = flag.String("grpc", "", "host:port of gRPC without TLS")
	model   = flag.String("model", "", "model to ask")
	version = flag.String("version", "", "version of the model")
	without = flag.String("leave-out", "", "inputs that the model can do without, separated by commas")
	key     = flag.String("key", "", "key to send")
)

// decorated takes and gives tensors of several types.
const decorated = `
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    pass


@input_schema("x", NumpyParameterType(np.ones((1, 3), dtype=np.float32)))
@input_schema("counts", NumpyParameterType(np.ones(2, dtype=np.int8)))
@input_schema("words", NumpyParameterType(np.array(["a"])))
@input_schema("times", StandardPythonParameterType(2))
@output_schema(StandardPythonParameterType({
    "sum": NumpyParameterType(np.ones(1, dtype=np.float32)),
    "counts": NumpyParameterType(np.ones(2, dtype=np.int8)),
    "words": NumpyParameterType(np.array(["a"])),
}))
def run(x, counts, words, times):
    return {"sum": (x.sum(axis=1) * times).tolist(), "counts": counts.tolist(), "words": words.tolist()}
`

func TestConformance(t *testing.T) {
	if *url == "" && *address == "" {
		t.Skip("no server is named: see -url and -grpc")
	}
	check(t, conformance.Target{URL: *url, GRPC: *address, Model: *model, Version: *version, LeaveOut: strings.Split(*without, ","), Key: *key})
}

// A script whose run() is decorated has tensors.
func TestScript(t *testing.T) {
	python := harness.NeedPython(t, "numpy")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "score.py"), []byte(decorated), 0o600); err != nil {
		t.Fatal(err)
	}
	checkScorer(t, modelFolder(t, ""), nil, "--python", python, "--entry-script", filepath.Join(dir, "score.py"))
}

func TestScikitLearn(t *testing.T) {
	python := harness.NeedPython(t, "sklearn", "joblib", "numpy")
	checkScorer(t, modelFolder(t, filepath.Join(harness.NeedAcceptance(t), "models", "sklearn_regression_model.pkl")), []string{"method"}, "--python", python, "--runtime", "scikit-learn")
}

func TestONNX(t *testing.T) {
	if os.Getenv("FAIRLEAD_ONNXRUNTIME") == "" {
		t.Skip("there is no ONNX Runtime here: `make test` fetches it")
	}
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ridge", "iris", "types"} {
		t.Run(name, func(t *testing.T) {
			checkScorer(t, modelFolder(t, filepath.Join(root, "scorer", "internal", "onnx", "testdata", name+".onnx")), nil, "--runtime", "onnx")
		})
	}
}

// modelFolder makes the folder of model m:1 with a copy of file, or an empty one.
func modelFolder(t *testing.T, file string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "azureml-models", "m", "1")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if file == "" {
		return dir
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkScorer starts a scorer and checks it by REST and gRPC, which it has on one port.
func checkScorer(t *testing.T, models string, leaveOut []string, args ...string) {
	t.Helper()
	listens := startScorer(t, append(args, "--model-dir", models))
	check(t, conformance.Target{URL: "http://" + listens, GRPC: listens, Model: "m", Version: "1", LeaveOut: leaveOut})
}

func check(t *testing.T, target conformance.Target) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	report, err := conformance.Run(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	report.Write(&text)
	t.Log("\n" + text.String())
	if failed := report.Failed(); len(failed) > 0 {
		t.Errorf("%d requirements are not met", len(failed))
	}
}

// startScorer runs a scorer until the test ends, and gives its address once it is ready.
func startScorer(t *testing.T, args []string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "address")
	command := exec.Command(harness.Binary(t), append([]string{"scorer", "--listen", "127.0.0.1:0", "--address-file", file}, args...)...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait()
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Log(output.String())
		}
	})
	tick, limit := time.NewTicker(20*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(file); err == nil {
			listens := strings.TrimSpace(string(b))
			if response, err := http.Get("http://" + listens + "/-/ready"); err == nil {
				response.Body.Close()
				if response.StatusCode == http.StatusOK {
					return listens
				}
			}
		}
		select {
		case <-ended:
			t.Fatalf("the scorer ended: %s", output.String())
		case <-limit:
			t.Fatal("the scorer did not become ready")
		case <-tick.C:
		}
	}
}
