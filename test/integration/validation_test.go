package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/test/harness"
)

// TestMistakesAreToldAtOnce gives the command line what people get wrong.
func TestMistakesAreToldAtOnce(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		t.Run("five in the files", func(t *testing.T) { fiveMistakes(t, i.In(t)) })
		t.Run("in files, flags and the request", func(t *testing.T) { mistakesEverywhere(t, i.In(t)) })
		t.Run("validate only", func(t *testing.T) { validateOnly(t, i.In(t)) })
		t.Run("not signed in", func(t *testing.T) { notSignedIn(t, i.In(t)) })
	})
}

func fiveMistakes(t *testing.T, i *harness.Installation) {
	dc := deploymentConfig(t, map[string]any{
		"containerResourceRequirements": map[string]any{"cpu": -1, "memoryInGB": -2},
		"scoringTimeoutMs":              900_000,
		"numReplicas":                   -1,
		"keys":                          map[string]any{"primaryKey": "short"},
	})
	for _, more := range [][]string{nil, {"--validate-only"}} {
		args := append([]string{"model", "deploy", "-n", "shop", "-m", modelID, "--ic", inferenceConfig(t, script), "--dc", dc, "--ct", "local"}, more...)
		r := i.Refused(args...)
		wantViolations(t, r, "containerResourceRequirements.cpu", "containerResourceRequirements.memoryInGB", "scoringTimeoutMs", "numReplicas", "keys.primaryKey")
	}
	wantNoEndpoint(t, i)
}

// mistakesEverywhere has one mistake in each place that can hold one.
func mistakesEverywhere(t *testing.T, i *harness.Installation) {
	dir := writeFiles(t, map[string]string{"inferenceconfig.json": `{"entryScript": "missing.py"}`})
	r := i.Refused("model", "deploy", "-n", "Bad_Name", "-m", "nothere:7", "--ct", "nowhere", "--tp", "120",
		"--ic", filepath.Join(dir, "inferenceconfig.json"), "--dc", deploymentConfig(t, map[string]any{"maxQueueWaitMs": -5}))
	wantViolations(t, r, "-n", "-m nothere:7", "--ct", "--tp", "entryScript", "maxQueueWaitMs")
	wantNoEndpoint(t, i)
}

func validateOnly(t *testing.T, i *harness.Installation) {
	out := i.Run("model", "deploy", "-n", "shop", "-m", modelID, "--ic", inferenceConfig(t, script), "--dc", deploymentConfig(t, nil),
		"--ct", "local", "--validate-only", "-o", "json")
	if !strings.Contains(out, "score.py") {
		t.Errorf("the specification that would be deployed does not show the script:\n%s", out)
	}
	wantNoEndpoint(t, i)
}

func notSignedIn(t *testing.T, i *harness.Installation) {
	dir := writeFiles(t, map[string]string{"token": "flt_wrong"})
	r := i.Refused("endpoint", "list", "--token-file", filepath.Join(dir, "token"))
	if r.Code != 4 {
		t.Errorf("a wrong token gives exit code %d, want 4: %v", r.Code, r)
	}
	request, err := http.NewRequestWithContext(testContext(t), http.MethodGet, i.Server+"/v1/workspaces/default/endpoints", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := i.Do(request)
	if err != nil || answer.Status != http.StatusUnauthorized {
		t.Errorf("a call without a token is answered with %v, %v; want 401", answer, err)
	}
}

// wantViolations checks that each field has one line of its own, and no other has.
func wantViolations(t *testing.T, r harness.Result, fields ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(r.Stderr) {
		if strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "   ") {
			field, description, _ := strings.Cut(strings.TrimSpace(line), ": ")
			got = append(got, field)
			if description == "" {
				t.Errorf("nothing says what is wrong with %s", field)
			}
		}
	}
	sorted := cmp.Transformer("set", func(all []string) map[string]int {
		set := map[string]int{}
		for _, one := range all {
			set[one]++
		}
		return set
	})
	if diff := cmp.Diff(fields, got, sorted); diff != "" {
		t.Errorf("the fields that are told to be wrong (-want +got):\n%s\n%v", diff, r)
	}
}

func wantNoEndpoint(t *testing.T, i *harness.Installation) {
	t.Helper()
	if out := strings.TrimSpace(i.Run("endpoint", "list", "-o", "json")); out != "[]" {
		t.Errorf("endpoints were made: %s", out)
	}
	if len(i.Replicas()) > 0 {
		t.Errorf("replicas were started: %v", i.Replicas())
	}
}

// TestTokenFile checks that only its owner can read the administrator's token.
func TestTokenFile(t *testing.T) {
	i := harness.Start(t, harness.AllInOne)
	info, err := os.Stat(i.TokenPath())
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the token's file has mode %v, want 0600", mode)
	}
	i.Kill("auth", 15)
	before := i.Token
	i.Restart("auth")
	if out := i.Run("workspace", "list", "-o", "name"); strings.TrimSpace(out) != "default" {
		t.Errorf("the workspaces are %q, want default", out)
	}
	if i.Token != before {
		t.Error("the token changed with a restart")
	}
}
