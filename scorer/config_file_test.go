package scorer_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer"
)

// sourceWith makes a folder with an entry script and other files.
func sourceWith(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["score.py"] = ""
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestConfigFile(t *testing.T) {
	const three = `{"WORKER_COUNT": 3, "SCORING_TIMEOUT_MS": "500"}`
	for name, test := range map[string]struct {
		files   map[string]string
		args    string
		env     map[string]string
		workers int
		timeout time.Duration
	}{
		"none":                    {map[string]string{}, "", nil, 1, time.Hour},
		"beside the script":       {map[string]string{"config.json": three}, "", nil, 3, 500 * time.Millisecond},
		"in the app root":         {map[string]string{"root/config.json": three, "config.json": `{"WORKER_COUNT": 9}`}, "", map[string]string{"AML_APP_ROOT": "D/root"}, 3, 500 * time.Millisecond},
		"named by the variable":   {map[string]string{"c.json": three, "config.json": `{"WORKER_COUNT": 9}`}, "", map[string]string{"AZUREML_CONFIG_FILE": "D/c.json"}, 3, 500 * time.Millisecond},
		"beside, by name":         {map[string]string{"c.json": three}, "", map[string]string{"AZUREML_CONFIG_FILE": "c.json"}, 3, 500 * time.Millisecond},
		"named by the flag":       {map[string]string{"c.json": three, "d.json": `{}`}, "--config-file D/c.json", map[string]string{"AZUREML_CONFIG_FILE": "D/d.json"}, 3, 500 * time.Millisecond},
		"named, but empty":        {map[string]string{"c.json": "", "config.json": three}, "", map[string]string{"AZUREML_CONFIG_FILE": "D/c.json"}, 3, 500 * time.Millisecond},
		"the environment wins":    {map[string]string{"config.json": three}, "", map[string]string{"WORKER_COUNT": "4"}, 4, 500 * time.Millisecond},
		"flags win":               {map[string]string{"config.json": three}, "--workers 5 --scoring-timeout 7s", map[string]string{"WORKER_COUNT": "4"}, 5, 7 * time.Second},
		"the other names":         {map[string]string{"config.json": `{"scoring_timeout": 20.0}`}, "", nil, 1, 20 * time.Millisecond},
		"null is not set":         {map[string]string{"config.json": `{"WORKER_COUNT": null}`}, "", nil, 1, time.Hour},
		"a mark at the beginning": {map[string]string{"config.json": "\ufeff" + three}, "", nil, 3, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			dir := sourceWith(t, test.files)
			here := func(s string) string { return strings.ReplaceAll(s, "D/", dir+"/") }
			args := append([]string{"--entry-script", dir + "/score.py"}, strings.Fields(here(test.args))...)
			cfg, err := scorer.ParseFlags(args, func(k string) string { return here(test.env[k]) }, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Workers != test.workers || cfg.Limits.ScoringTimeout != test.timeout {
				t.Errorf("got %d workers, %v; want %d, %v", cfg.Workers, cfg.Limits.ScoringTimeout, test.workers, test.timeout)
			}
		})
	}
}

func TestConfigFileProblems(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"bad values": {
			`{"SCORING_TIMEOUT_MS": "soon", "WORKER_COUNT": 1.5, "AML_MODEL_DC_STORAGE_ENABLED": "maybe", "AZUREML_DEBUG_PORT": 0, "AZUREML_LOG_LEVEL": "LOUD", "AML_CORS_ORIGINS": "a("}`,
			[]string{
				`SCORING_TIMEOUT_MS in config.json is "soon", it must be a whole number`, `WORKER_COUNT in config.json is "1.5"`, `AML_MODEL_DC_STORAGE_ENABLED in config.json is "maybe", it must be true or false`,
				`AZUREML_DEBUG_PORT in config.json is "0", it must be a port from 1 to 65535`, `log-level is "LOUD"`, `cors-origins: the origin "a("`,
			},
		},
		"no object":    {`[1]`, []string{"must be a JSON object with settings"}},
		"null":         {`null`, []string{"must be a JSON object with settings"}},
		"two objects":  {`{} {}`, []string{"has more than one JSON object"}},
		"not JSON":     {`{`, []string{"must be a JSON object with settings"}},
		"wrong nested": {`{"WORKER_COUNT": [1]}`, []string{`WORKER_COUNT in config.json is "[1]"`}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := sourceWith(t, map[string]string{"config.json": test.text})
			_, err := scorer.ParseFlags([]string{"--entry-script", dir + "/score.py"}, func(string) string { return "" }, io.Discard)
			if scorer.ExitCode(err) != 3 {
				t.Fatalf("got %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, err)
				}
			}
		})
	}
}

func TestSettings(t *testing.T) {
	dir := sourceWith(t, map[string]string{"config.json": `{"subscription_id": "x", "AZUREML_ENTRY_SCRIPT": "/no/such.py"}`, "src/lib.py": ""})
	env := map[string]string{
		"AML_APP_ROOT": dir, "AZUREML_SOURCE_DIRECTORY": "src", "AZUREML_ENTRY_SCRIPT": "score.py", // above the source folder, as the old product had it
		"SERVER_PORT": "6001", "HEALTH_PORT": "6002", "SEPERATE_HEALTH_ENDPOINT": "true", "WORKER_TIMEOUT": "20", "WORKER_PRELOAD": "TRUE",
		"AML_CORS_ORIGINS": "a.example", "AZUREML_LOG_LEVEL": "debug", "SERVER_VERSION_LOG_RESPONSE_ENABLED": "notgood", "SERVICE_VERSION": "2",
		"AML_APP_INSIGHTS_ENABLED": "asdf",
	}
	got, err := scorer.ParseFlags(nil, func(k string) string { return env[k] }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := scorer.DefaultConfig()
	want.AppRoot, want.SourceDir, want.EntryScript = dir, dir+"/src", dir+"/score.py"
	want.Listen, want.HealthPort, want.Limits.WorkerTimeout, want.Preload = "127.0.0.1:6001", 6002, 20*time.Second, true
	want.CORSOrigins, want.LogLevel, want.HideVersion, want.ServiceVersion = "a.example", "debug", true, "2"
	want.Notes = []string{"settings in " + dir + "/config.json that the scorer does not know: subscription_id"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	env["SEPERATE_HEALTH_ENDPOINT"] = "no"
	if got, err = scorer.ParseFlags(nil, func(k string) string { return env[k] }, io.Discard); err != nil || got.HealthPort != 0 {
		t.Errorf("without a separate endpoint there is none: %d %v", got.HealthPort, err)
	}
}

func FuzzConfigFile(f *testing.F) {
	f.Add(`{"WORKER_COUNT": 3, "SCORING_TIMEOUT_MS": "500", "x": {"y": [1.0, null]}}`)
	f.Add(`{"SERVER_PORT": 1e3, "AML_CORS_ORIGINS": "*, a(", "AZUREML_LOG_LEVEL": "\u0000"}`)
	f.Add(`[]`)
	dir := sourceWith(f, map[string]string{})
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "c.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"--entry-script", dir + "/score.py", "--source-dir", dir, "--config-file", path}
		_, err := scorer.ParseFlags(args, func(string) string { return "" }, io.Discard)
		var config *scorer.ConfigError
		if err != nil && !errors.As(err, &config) {
			t.Errorf("%q gave %v", text, err)
		}
	})
}
