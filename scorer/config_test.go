package scorer_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer"
)

// tree makes files in a new folder.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestParseFlags(t *testing.T) {
	dir := tree(t, "src/score.py", "src/sub/score.py", "azureml-models/m/2/m.pkl", "lock")
	for name, test := range map[string]struct {
		args string
		env  map[string]string
		want func(*scorer.Config)
	}{
		"script alone": {"--entry-script D/src/score.py", nil, func(c *scorer.Config) {}},
		"script below the source folder": {"--source-dir D/src --entry-script sub/score.py", nil, func(c *scorer.Config) {
			c.EntryScript = dir + "/src/sub/score.py"
		}},
		"environment": {"", map[string]string{
			"AZUREML_ENTRY_SCRIPT": "score.py", "AML_APP_ROOT": dir, "AZUREML_SOURCE_DIRECTORY": "src", "AZUREML_MODEL_DIR": dir + "/azureml-models/m/2",
			"WORKER_COUNT": "3", "SCORING_TIMEOUT_MS": "500", "SERVICE_NAME": "s",
		}, func(c *scorer.Config) {
			c.AppRoot = dir
			c.ModelDir, c.ModelsRoot = dir+"/azureml-models/m/2", dir+"/azureml-models"
			c.Workers, c.ServiceName, c.Limits.ScoringTimeout = 3, "s", 500*time.Millisecond
		}},
		"flags win": {"--entry-script D/src/score.py --workers 2 --scoring-timeout 9s", map[string]string{
			"WORKER_COUNT": "3", "SCORING_TIMEOUT_MS": "500", "AZUREML_ENTRY_SCRIPT": "/none.py",
		}, func(c *scorer.Config) { c.Workers, c.Limits.ScoringTimeout = 2, 9*time.Second }},
		"several models": {"--entry-script D/src/score.py --model-dir D/azureml-models", nil, func(c *scorer.Config) {
			c.ModelDir, c.ModelsRoot = dir+"/azureml-models", dir+"/azureml-models"
		}},
		"root given": {"--entry-script D/src/score.py --models-root D/src --model-dir D/azureml-models/m/2", nil, func(c *scorer.Config) {
			c.ModelDir, c.ModelsRoot = dir+"/azureml-models/m/2", dir+"/src"
		}},
		"the rest": {"--listen :0 --address-file D/address --entry-script D/src/score.py --python p --run-dir D/run --supervisor-lock D/lock --orphan-grace 5s --cancel-grace 1s --drain-timeout 4s --max-body 7 --max-queue 8", nil, func(c *scorer.Config) {
			c.AddressFile = dir + "/address"
			c.Listen, c.Python, c.RunDir, c.SupervisorLock, c.OrphanGrace = ":0", "p", dir+"/run", dir+"/lock", 5*time.Second
			c.Limits.CancelGrace, c.Limits.DrainTimeout, c.Limits.MaxBody, c.Limits.MaxQueue = time.Second, 4*time.Second, 7, 8
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want := scorer.DefaultConfig()
			want.EntryScript, want.SourceDir = dir+"/src/score.py", dir+"/src"
			test.want(&want)
			got, err := scorer.ParseFlags(strings.Fields(strings.ReplaceAll(test.args, "D/", dir+"/")), func(k string) string { return test.env[k] }, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseFlagsTellsAllProblems(t *testing.T) {
	env := map[string]string{"WORKER_COUNT": "many"}
	args := []string{"--workers", "0", "--listen", "nowhere", "--model-dir", "/no/such", "--scoring-timeout", "-1s", "--supervisor-lock", "/no/lock", "--max-body", "0", "extra"}
	var output bytes.Buffer
	_, err := scorer.ParseFlags(args, func(k string) string { return env[k] }, &output)
	if want := "scorer: " + err.Error() + "\n"; output.String() != want {
		t.Errorf("wrote %q, want %q", output.String(), want)
	}
	var config *scorer.ConfigError
	if !errors.As(err, &config) || scorer.ExitCode(err) != 3 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		`WORKER_COUNT is "many"`, `unexpected argument "extra"`, "workers is 0", `"nowhere" must be host:port`, "entry-script is missing",
		"model-dir: stat /no/such", "scoring-timeout is -1s", "supervisor-lock: stat /no/lock", "max-body is 0",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestParseFlagsHelp(t *testing.T) {
	var help bytes.Buffer
	_, err := scorer.ParseFlags([]string{"--help"}, func(string) string { return "" }, &help)
	if !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-entry-script") || scorer.ExitCode(err) != 0 {
		t.Errorf("got %v and %q", err, help.String())
	}
	_, err = scorer.ParseFlags([]string{"--wrong"}, func(string) string { return "" }, &help)
	if err == nil || !strings.Contains(err.Error(), "-wrong") {
		t.Errorf("an unknown flag got %v", err)
	}
}
