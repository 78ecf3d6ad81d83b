package conformance_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/test/conformance"
	"github.com/fairlead/fairlead/test/harness"
)

// What holds for a scorer holds through the router, whose names of a model and its versions are the endpoint's.
func TestThroughRouter(t *testing.T) {
	harness.NeedPython(t, "numpy")
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"weights.txt": "weights", "score.py": decorated, "inferenceconfig.json": `{"entryScript": "score.py"}`,
			"deploymentconfig.json": `{"computeType": "AKS", "containerResourceRequirements": {"cpu": 0.1, "memoryInGB": 0.2}, "numReplicas": 1}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		i.Run("model", "register", "-n", "mirror", "-p", filepath.Join(dir, "weights.txt"))
		i.Run("model", "deploy", "-n", "shop", "-m", "mirror:1", "--ct", "local",
			"--ic", filepath.Join(dir, "inferenceconfig.json"), "--dc", filepath.Join(dir, "deploymentconfig.json"))
		var keys struct {
			PrimaryKey string `json:"primaryKey"`
		}
		if err := json.Unmarshal([]byte(i.Run("endpoint", "get-keys", "-n", "shop", "-o", "json")), &keys); err != nil {
			t.Fatal(err)
		}
		check(t, conformance.Target{URL: i.Data, GRPC: strings.TrimPrefix(i.Data, "http://"), Model: "shop", Key: keys.PrimaryKey})
	})
}
