package interpreter_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/interpreter"
)

// fake writes a program that says of itself what it is told.
func fake(t *testing.T, says string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "python3"), []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTheBestEquippedIsChosen(t *testing.T) {
	many := `{"path": "/opt/a", "version": "3.12.1", "packages": ["sklearn", "numpy", "pandas", "joblib", "torch", "onnxruntime"]}`
	few := `{"path": "/opt/b", "version": "3.13.0", "packages": ["numpy"]}`
	path := strings.Join([]string{t.TempDir(), fake(t, few), fake(t, many), fake(t, "no JSON")}, ":")
	got, err := interpreter.Choose(t.Context(), "", path)
	if err != nil || got.Path != "/opt/a" || len(got.Packages) != 6 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTheConfiguredOneCounts(t *testing.T) {
	two := fake(t, `{"path": "/opt/two", "version": "2.7.18", "packages": []}`)
	if _, err := interpreter.Choose(t.Context(), filepath.Join(two, "python3"), ""); err == nil || !strings.Contains(err.Error(), "2.7.18") {
		t.Errorf("Python 2: %v", err)
	}
	if _, err := interpreter.Choose(t.Context(), "/nowhere/python3", ""); err == nil || !strings.Contains(err.Error(), "/nowhere/python3") {
		t.Errorf("missing: %v", err)
	}
}

func TestRealInterpreter(t *testing.T) {
	got, err := interpreter.Choose(t.Context(), "", os.Getenv("PATH"))
	if errors.Is(err, interpreter.ErrNone) {
		t.Skip("this machine has no Python")
	}
	if err != nil || !filepath.IsAbs(got.Path) || !strings.HasPrefix(got.Version, "3.") {
		t.Errorf("%+v, %v", got, err)
	}
}
