package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/test/harness"
)

const several = `kind: Endpoint
name: fruit
description: "for people: all of them"
tags: {stage: blue, "on": "yes"}
properties: {origin: test}
authMode: key
telemetryEnabled: true
computeTarget: small
versions:
  - name: blue
    source: blue
    entryScript: main/score.py
    models: ["weights:1", "weights:3"]
    environment: plain:1
    environmentVariables: {COLOUR: blue, EMPTY: ""}
    resources: {cpu: 0.2, memoryGb: 0.2}
    replicas: 2
    requestSettings: {scoringTimeout: 1500ms, maxConcurrentRequestsPerReplica: 3, maxQueueWait: 10s}
    type: control
  - name: green
    source: green
    entryScript: score.py
    models: ["weights:3"]
    environment: plain:2
    autoscale: {minReplicas: 1, maxReplicas: 2, targetUtilizationPercent: 60}
    requestSettings: {maxQueueWait: 10s}
    trafficPercentile: 25
    default: true
---
kind: Endpoint
name: open
authMode: none
versions:
  - name: only
    source: green
    entryScript: score.py
    models: [other]
    requestSettings: {maxQueueWait: 10s}
`

// fillUp makes an installation rich.
func fillUp(t *testing.T, i *harness.Installation) {
	t.Helper()
	dir := writeFiles(t, map[string]string{
		"one/weights.txt": "1", "one/deep/more.txt": "11", "two.txt": "2", "other.txt": "other", "all.yaml": several,
		"blue/main/score.py": steadyScript, "blue/helper.py": "X = 1\n", "green/score.py": steadyScript,
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	i.Run("workspace", "update", "-n", "default", "-d", "the first one", "--add-tag", "cost=42")
	i.Run("computetarget", "create", "-n", "small", "-a", "1", "--cluster-purpose", "DevTest", "--tag", "a=b")
	i.Run("model", "register", "-n", "weights", "-p", at("one"), "--tag", "area=fruit", "--property", "p=1", "-d", "the first", "--model-framework", "Custom")
	i.Run("model", "register", "-n", "weights", "-p", at("other.txt"))
	i.Run("model", "delete", "weights:2")
	i.Run("model", "register", "-n", "weights", "-p", at("two.txt"))
	i.Run("model", "register", "-n", "other", "-p", at("other.txt"))
	i.Run("environment", "register", "-n", "plain", "--env", "OMP_NUM_THREADS=1", "-d", "variables")
	i.Run("environment", "register", "-n", "plain", "--env", "OMP_NUM_THREADS=2", "--tag", "x=y")
	i.Run("apply", "-f", at("all.yaml"))
}

// tree gives all files below a folder with their contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestExportAndImport takes all that an installation holds to an empty one: that
// exports the same, scores the same with the same keys, and a second import
// changes nothing.
func TestExportAndImport(t *testing.T) {
	from, to := harness.Start(t, harness.AllInOne), harness.Start(t, harness.AllInOne)
	fillUp(t, from)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	from.Run("export", "-o", first, "--with-keys")
	if info, err := os.Stat(filepath.Join(first, "default", "keys.yaml")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the keys are in %v, error %v", info, err)
	}
	if r := from.Refused("export", "-o", first); !strings.Contains(r.Stderr, "--overwrite") {
		t.Errorf("exported twice: %v", r)
	}
	from.Run("export", "-o", first, "--with-keys", "--overwrite")

	if out := to.Run("import", first, "--dry-run"); !strings.Contains(out, "endpoint fruit: to be created") || !strings.Contains(out, "model weights:3: to be created") {
		t.Errorf("the dry run says:\n%s", out)
	}
	if models := to.Run("model", "list", "-o", "name"); models != "" {
		t.Errorf("the dry run has made %s", models)
	}
	t.Logf("the import says:\n%s", to.Run("import", first))
	to.Run("export", "-o", second, "--with-keys")
	if diff := cmp.Diff(tree(t, first), tree(t, second)); diff != "" {
		t.Errorf("exported again (-first +second):\n%s", diff)
	}
	if again := to.Run("import", first); !strings.Contains(again, "nothing to change") || strings.Contains(again, "differs") {
		t.Errorf("the second import says:\n%s", again)
	}
	for endpoint, key := range map[string]string{"fruit": keysOf(t, from, "fruit").GetPrimaryKey(), "open": ""} {
		eventuallyScores(t, to, endpoint, key)
		want, got := mustScore(t, from, endpoint, key, nil), mustScore(t, to, endpoint, key, nil)
		if endpoint == "open" && string(want.Body) != string(got.Body) {
			t.Errorf("%s answers %s, it was %s", endpoint, got.Body, want.Body)
		}
	}
	wantMapped(t, to, first)
	wantRefused(t, to, first)
}

// wantMapped imports into a workspace where numbers are taken.
func wantMapped(t *testing.T, to *harness.Installation, export string) {
	t.Helper()
	other := writeFiles(t, map[string]string{"w.txt": "something else"})
	to.Run("workspace", "create", "-n", "team-b")
	to.Run("model", "register", "-w", "team-b", "-n", "weights", "-p", filepath.Join(other, "w.txt"))
	out := to.Run("import", export, "--workspace", "team-b")
	for _, want := range []string{"model weights:1: created as weights:2", "model weights:3: created\n", "model other:1: created\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if shown := to.Run("endpoint", "show", "-w", "team-b", "-n", "fruit", "-o", "json"); !strings.Contains(shown, "workspaces/team-b/models/weights/versions/3") {
		t.Errorf("the endpoint has not the moved model:\n%s", shown)
	}
	if again := to.Run("import", export, "--workspace", "team-b"); !strings.Contains(again, "nothing to change") {
		t.Errorf("the second import says:\n%s", again)
	}
}

// wantRefused breaks an export in several places, and wants all told and nothing done.
func wantRefused(t *testing.T, to *harness.Installation, export string) {
	t.Helper()
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.CopyFS(bad, os.DirFS(export)); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"models/weights/3/files/two.txt": "damaged",
		"environments/plain/3.yaml":      "made_up: 1\n",
		"endpoints/extra.yaml":           "kind: Endpoint\nname: extra\nversions:\n  - name: vvv\n    entryScript: nothere.py\n    models: [\"unknown:7\"]\n  - name: www\n    entryScript: score.py\n    source: fruit/green\n    models: [\"unknown:7\", \"weights:3\"]\n",
	} {
		if err := os.WriteFile(filepath.Join(bad, "default", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := to.Refused("import", bad)
	for _, want := range []string{"nothing was changed", "two.txt: is damaged", "made_up not found", "versions[0].entryScript", "versions[1].models[0]"} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("it does not say %q:\n%s", want, r.Stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(bad, "default", "endpoints", "extra.yaml")); err != nil {
		t.Error(err)
	}
	if shown := to.Run("endpoint", "list", "-o", "name"); strings.Contains(shown, "extra") {
		t.Errorf("there is %s", shown)
	}
}
