package interpreter_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/interpreter"
	"github.com/fairlead/fairlead/services/compute/internal/pythonenv"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

const (
	many = `{"path": "/opt/a", "version": "3.12.1", "packages": {"scikit_learn": "1.2.1", "numpy": "2.0", "pandas": "2.2", "joblib": "1.4", "torch": "2.1", "onnxruntime": "1.2"}}`
	few  = `{"path": "/opt/b", "version": "3.13.0", "packages": {"numpy": "2.1.0", "polars": "1.0"}}`
)

// fake writes a program that says of itself what it is told.
func fake(t *testing.T, dir, says string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "python3")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

func TestTheBestEquippedIsChosen(t *testing.T) {
	var folders []string
	for _, says := range []string{few, many, "no JSON"} {
		folders = append(folders, filepath.Dir(fake(t, t.TempDir(), says)))
	}
	f := interpreter.NewFinder(interpreter.Config{SearchPath: strings.Join(folders, ":")})
	got, err := f.Default(t.Context())
	if err != nil || got.Path != "/opt/a" || len(got.Usual()) != 6 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTheConfiguredOnesCount(t *testing.T) {
	two := fake(t, t.TempDir(), `{"path": "/opt/two", "version": "2.7.18", "packages": {}}`)
	for _, c := range []struct {
		programs   []string
		path, want string
	}{
		{programs: []string{two}, want: "2.7.18"},
		{programs: []string{"/nowhere/python3"}, want: "/nowhere/python3"},
		{programs: []string{"/nowhere/python3", fake(t, t.TempDir(), few)}, path: "/opt/b"},
	} {
		got, err := interpreter.NewFinder(interpreter.Config{Programs: c.programs}).Default(t.Context())
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || got.Path != c.path {
			t.Errorf("%v: %+v, %v", c.programs, got, err)
		}
	}
}

func TestAnAskChoosesByPackages(t *testing.T) {
	own, active := t.TempDir(), t.TempDir()
	f := interpreter.NewFinder(interpreter.Config{
		SearchPath: filepath.Dir(fake(t, t.TempDir(), many)) + ":" + filepath.Dir(fake(t, t.TempDir(), few)),
		VirtualEnv: active, Environments: own,
	})
	ask := &workload.Python{Environment: "e:1", Pip: []string{"polars"}}
	if got, err := f.For(t.Context(), ask); err != nil || got.Path != "/opt/b" {
		t.Errorf("what the less equipped has: %+v, %v", got, err)
	}
	ask = &workload.Python{Environment: "e:2", Pip: []string{"scikit-learn>=1.5", "pandas"}}
	_, err := f.For(t.Context(), ask)
	mismatch, ok := errors.AsType[*pythonenv.MismatchError](err)
	if !ok || mismatch.Have.Path != "/opt/a" || !strings.Contains(err.Error(), "scikit-learn>=1.5 (it has 1.2.1)") ||
		!strings.Contains(err.Error(), filepath.Join(own, pythonenv.Digest(*ask))) {
		t.Fatalf("%v", err)
	}
	// What the message says to do helps.
	program := fake(t, filepath.Join(own, pythonenv.Digest(*ask), "bin"),
		`{"path": "/opt/own", "version": "3.12.1", "packages": {"scikit-learn": "1.5.2", "pandas": "2.2"}}`)
	if err := os.Rename(program, filepath.Join(filepath.Dir(program), "python")); err != nil {
		t.Fatal(err)
	}
	if got, err := f.For(t.Context(), ask); err != nil || got.Path != "/opt/own" {
		t.Errorf("its own environment: %+v, %v", got, err)
	}
}

func TestChangesAreSeen(t *testing.T) {
	dir, packages := t.TempDir(), t.TempDir()
	says := func(version string) string {
		return `{"path": "/opt/a", "version": "3.12.1", "packages": {"numpy": "` + version + `"}, "folders": ["` + packages + `"]}`
	}
	program := fake(t, dir, says("1.0"))
	f := interpreter.NewFinder(interpreter.Config{Programs: []string{program}})
	ask := &workload.Python{Pip: []string{"numpy>=2"}}
	if _, err := f.For(t.Context(), ask); err == nil {
		t.Fatal("1.0 is not 2")
	}
	fake(t, dir, says("2.0.1"))
	if err := os.WriteFile(filepath.Join(packages, "numpy"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.For(t.Context(), ask); err != nil {
		t.Errorf("after the installation: %v", err)
	}
}

func TestRealInterpreter(t *testing.T) {
	f := interpreter.NewFinder(interpreter.FromEnvironment("", ""))
	got, err := f.Default(t.Context())
	if errors.Is(err, interpreter.ErrNone) {
		t.Skip("this machine has no Python")
	}
	if err != nil || !filepath.IsAbs(got.Path) || !strings.HasPrefix(got.Version, "3.") || got.Markers["os_name"] != "posix" {
		t.Errorf("%+v, %v", got, err)
	}
}
