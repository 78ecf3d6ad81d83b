package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/test/repository"
)

// NeedPython gives an interpreter that has the modules, and skips the test when
// there is none. The program chooses its interpreter from the same ones.
func NeedPython(tb testing.TB, modules ...string) string {
	tb.Helper()
	const probe = "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(m) is None for m in sys.argv[1:]))"
	candidates := []string{"/usr/bin/python3"}
	if onPath, err := exec.LookPath("python3"); err == nil {
		candidates = append(candidates, onPath)
	}
	for _, python := range candidates {
		if exec.Command(python, append([]string{"-c", probe}, modules...)...).Run() == nil {
			return python
		}
	}
	tb.Skipf("no python3 here has %v; on Debian: apt-get install python3-sklearn", modules)
	return ""
}

// AcceptanceVariable names the folder of inputs with known answers.
const AcceptanceVariable = "FAIRLEAD_ACCEPTANCE"

// NeedAcceptance gives the folder of inputs with known answers: the one that the
// environment names, or shared/acceptance beside the checkout or above. Without
// it the test is skipped.
func NeedAcceptance(tb testing.TB) string {
	tb.Helper()
	if given := os.Getenv(AcceptanceVariable); given != "" {
		return given
	}
	dir, err := repository.Root()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		folder := filepath.Join(dir, "shared", "acceptance")
		if _, err := os.Stat(folder); err == nil {
			return folder
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Skipf("there is no folder shared/acceptance, and %s names none", AcceptanceVariable)
		}
		dir = parent
	}
}
