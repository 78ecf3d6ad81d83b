// Package pythontest finds what tests with real Python need, and skips the tests that can't have it.
package pythontest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const system = "/usr/bin/python3"

// Interpreter gives the interpreter for tests: FAIRLEAD_TEST_PYTHON, else the system's, else the one on PATH.
func Interpreter(tb testing.TB) string {
	tb.Helper()
	for _, candidate := range []string{os.Getenv("FAIRLEAD_TEST_PYTHON"), system, "python3"} {
		if candidate == "" {
			continue
		}
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	tb.Skip("no Python interpreter: set FAIRLEAD_TEST_PYTHON")
	return ""
}

// Needs skips the test when a module can't be imported.
func Needs(tb testing.TB, module string) {
	tb.Helper()
	if out, err := exec.CommandContext(tb.Context(), Interpreter(tb), "-c", "import "+module).CombinedOutput(); err != nil {
		tb.Skipf("the Python module %s is not there: %s", module, out)
	}
}

// Script writes an entry script into a folder of its own and gives its path.
func Script(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "score.py")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Acceptance gives a path in the folder of recorded cases: FAIRLEAD_ACCEPTANCE, else shared/acceptance beside the checkout.
func Acceptance(tb testing.TB, name string) string {
	tb.Helper()
	if dir := os.Getenv("FAIRLEAD_ACCEPTANCE"); dir != "" {
		return filepath.Join(dir, filepath.FromSlash(name))
	}
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		candidate := filepath.Join(dir, "shared", "acceptance")
		if _, err := os.Stat(candidate); err == nil {
			return filepath.Join(candidate, filepath.FromSlash(name))
		}
	}
	tb.Skip("the recorded cases are not there: set FAIRLEAD_ACCEPTANCE")
	return ""
}
