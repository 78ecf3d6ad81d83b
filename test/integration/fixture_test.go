package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

const (
	workspace = "workspaces/default"
	// modelID is a model whose content no script reads.
	modelID = "demo:1"
)

// script needs no packages. A request says what it shall do.
const script = `
import json
import os
import time


def init():
    print("ready to answer")


def run(raw):
    wish = json.loads(raw)
    time.sleep(wish.get("sleep", 0))
    if "raise" in wish:
        raise ValueError(wish["raise"])
    if "exit" in wish:
        os._exit(wish["exit"])
    return {"echo": wish, "pid": os.getpid()}
`

// testContext ends with the test, or after a minute.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// writeFiles makes a folder with files.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// registerModel registers a model of one small file; its first version is modelID.
func registerModel(t *testing.T, i *harness.Installation) {
	t.Helper()
	dir := writeFiles(t, map[string]string{"demo.txt": "weights"})
	i.Run("model", "register", "-n", "demo", "-p", filepath.Join(dir, "demo.txt"))
}

// inferenceConfig makes a folder with an entry script and gives the path of its
// inference configuration.
func inferenceConfig(t *testing.T, script string) string {
	t.Helper()
	dir := writeFiles(t, map[string]string{"score.py": script, "inferenceconfig.json": `{"entryScript": "score.py"}`})
	return filepath.Join(dir, "inferenceconfig.json")
}

// deploymentConfig writes a deployment configuration: a small replica, and what is given.
func deploymentConfig(t *testing.T, settings map[string]any) string {
	t.Helper()
	all := map[string]any{
		"computeType":                   "AKS",
		"containerResourceRequirements": map[string]any{"cpu": 0.1, "memoryInGB": 0.1},
		"numReplicas":                   1,
	}
	maps.Copy(all, settings)
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	dir := writeFiles(t, map[string]string{"deploymentconfig.json": string(raw)})
	return filepath.Join(dir, "deploymentconfig.json")
}

// deploy puts the registered model behind an endpoint and gives its primary key.
func deploy(t *testing.T, i *harness.Installation, endpoint, script string, settings map[string]any) string {
	t.Helper()
	i.Run("model", "deploy", "-n", endpoint, "-m", modelID, "--ct", "local",
		"--ic", inferenceConfig(t, script), "--dc", deploymentConfig(t, settings))
	return keysOf(t, i, endpoint).GetPrimaryKey()
}

func keysOf(t *testing.T, i *harness.Installation, endpoint string) *authv1.EndpointKeys {
	t.Helper()
	keys := &authv1.EndpointKeys{}
	unmarshal(t, i.Run("endpoint", "get-keys", "-n", endpoint, "-o", "json"), keys)
	if keys.GetPrimaryKey() == "" || keys.GetSecondaryKey() == "" || keys.GetPrimaryKey() == keys.GetSecondaryKey() {
		t.Fatalf("the endpoint %s has not two keys", endpoint)
	}
	return keys
}

func showEndpoint(t *testing.T, i *harness.Installation, endpoint string) *deployv1.Endpoint {
	t.Helper()
	e := &deployv1.Endpoint{}
	unmarshal(t, i.Run("endpoint", "show", "-n", endpoint, "-o", "json"), e)
	return e
}

func unmarshal(t *testing.T, text string, into proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%T: %v in\n%s", into, err, text)
	}
}

// wish is a request to script.
func wish(format string, args ...any) []byte { return fmt.Appendf(nil, format, args...) }

// mustScore scores an endpoint; anything but 200 fails the test.
func mustScore(t *testing.T, i *harness.Installation, endpoint, key string, header http.Header) harness.Answer {
	t.Helper()
	answer, err := i.Score(testContext(t), endpoint, key, wish(`{"n": 1}`), header)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != http.StatusOK {
		t.Fatalf("scoring %s: %v", endpoint, answer)
	}
	return answer
}

// eventuallyScores waits until an endpoint answers.
func eventuallyScores(t *testing.T, i *harness.Installation, endpoint, key string) {
	t.Helper()
	ctx := testContext(t)
	harness.Eventually(t, 20*time.Second, "endpoint "+endpoint+" answers", func() error {
		answer, err := i.Score(ctx, endpoint, key, wish(`{}`), nil)
		if err == nil && answer.Status != http.StatusOK {
			err = fmt.Errorf("%v", answer)
		}
		return err
	})
}

func endpointName(endpoint string) string { return workspace + "/endpoints/" + endpoint }

func versionName(endpoint, version string) string {
	return endpointName(endpoint) + "/versions/" + version
}
