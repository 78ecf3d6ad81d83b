package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/test/harness"
)

// costly takes 200 MB and 20 ms of processor time for a request.
const costly = `
import time


def init():
    global held
    held = bytearray(200 << 20)
    for i in range(0, len(held), 4096):
        held[i] = 1


def run(raw):
    end = time.process_time() + 0.02
    while time.process_time() < end:
        pass
    return len(held)
`

// A profile finds what a script of known cost needs, within wide bounds, and
// leaves nothing behind, also when it fails.
func TestAProfileFindsTheCost(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		dir := writeFiles(t, map[string]string{"score.py": costly, "broken.py": "def init(): raise ValueError('no way')\ndef run(raw): return 1\n", "requests.jsonl": "1\n2\n"})
		at := func(name string) string { return filepath.Join(dir, name) }
		text := i.Run("model", "profile", "-n", "sizing", "-m", modelID, "--es", at("score.py"), "-d", at("requests.jsonl"),
			"--duration", "2s", "--rps", "100", "-t", at("result.json"), "-o", "json")
		var r struct {
			RecommendedCPU    float64 `json:"recommendedCpu"`
			RecommendedMemory float64 `json:"recommendedMemoryInGB"`
			CPUPerRequest     float64 `json:"cpuSecondsPerRequest"`
			SuccessRate       float64 `json:"successRate"`
			PerReplica        float64 `json:"requestsPerSecondPerReplica"`
			Replicas          float64 `json:"replicas"`
		}
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if written, err := os.ReadFile(at("result.json")); err != nil || strings.TrimSpace(string(written)) != strings.TrimSpace(text) {
			t.Errorf("the file has not what was printed: %v", err)
		}
		// On a busy machine latencies say little, and so does what is recommended of
		// processors; what a request takes of them is known in any case.
		if r.CPUPerRequest < 0.015 || r.CPUPerRequest > 0.2 || r.RecommendedCPU < 0.1 || r.RecommendedCPU > 10 {
			t.Errorf("20 ms of a processor for a request are taken for %v s, and %v processors are recommended", r.CPUPerRequest, r.RecommendedCPU)
		}
		if r.RecommendedMemory < 0.26 || r.RecommendedMemory > 2 {
			t.Errorf("for 200 MB, %v GB are recommended", r.RecommendedMemory)
		}
		if r.SuccessRate != 100 || r.PerReplica > 40 || r.Replicas*r.PerReplica < 99 {
			t.Errorf("got %s", text)
		}
		failed := i.Refused("model", "profile", "-n", "sizing", "-m", modelID, "--es", at("broken.py"), "-d", at("requests.jsonl"), "--duration", "1s")
		if !strings.Contains(failed.Stderr, "no way") {
			t.Errorf("why it failed is not said: %v", failed)
		}
		if left := strings.TrimSpace(i.Run("endpoint", "list", "-o", "name")); left != "" {
			t.Errorf("endpoints are left: %s", left)
		}
	})
}

// A package has what was registered, and is the same however often it is made.
func TestAPackageHasWhatWasRegistered(t *testing.T) {
	i := harness.Start(t, harness.AllInOne)
	registerModel(t, i)
	dir := writeFiles(t, map[string]string{
		"src/score.py": script, "src/lib/x.py": "x = 1",
		"conda.yml": "channels: [conda-forge]\ndependencies:\n- python=3.11\n- numpy=1.26\n- pip:\n  - scikit-learn==1.5.*\n  - azureml-defaults\n",
	})
	i.Run("environment", "register", "-n", "sklearn", "-f", filepath.Join(dir, "conda.yml"), "--env", "GREETING=hello")
	for _, name := range []string{"one", "two"} {
		i.Run("model", "package", "-m", "demo", "--es", "score.py", "--sd", filepath.Join(dir, "src"), "-e", "sklearn",
			"--fairlead-image", "example.com/fairlead:1", "--output-path", filepath.Join(dir, name))
	}
	if out, err := exec.Command("diff", "-r", filepath.Join(dir, "one"), filepath.Join(dir, "two")).CombinedOutput(); err != nil {
		t.Errorf("two packages of the same differ: %s", out)
	}
	for name, want := range map[string]string{
		"azureml-models/demo/1/demo.txt": "weights", "azureml-app/lib/x.py": "x = 1",
		"environment/requirements.txt": "scikit-learn==1.5.*\n",
		"environment/conda.yml":        "channels:\n  - \"conda-forge\"\ndependencies:\n  - \"python=3.11\"\n  - \"numpy=1.26\"\n  - \"pip\"\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, "one", name))
		if err != nil || string(got) != want {
			t.Errorf("%s has %q, want %q (%v)", name, got, want, err)
		}
	}
	dockerfile, err := os.ReadFile(filepath.Join(dir, "one", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`ENV GREETING="hello"`, `LABEL fairlead.environment="sklearn:1"`, `ENV AZUREML_MODEL_DIR="/var/azureml-app/azureml-models/demo/1"`} {
		if !strings.Contains(string(dockerfile), line+"\n") {
			t.Errorf("the Dockerfile has no line %s:\n%s", line, dockerfile)
		}
	}
}
