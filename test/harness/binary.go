package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/fairlead/fairlead/test/repository"
)

// BinaryVariable names the program to test; without it the harness builds one.
const BinaryVariable = "FAIRLEAD_BIN"

// Binary gives the path of the program.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

var binary = sync.OnceValues(func() (string, error) {
	if given := os.Getenv(BinaryVariable); given != "" {
		return filepath.Abs(given)
	}
	root, err := repository.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, ".build", "test", "fairlead")
	build := exec.Command("go", "build", "-o", path, "./cmd/fairlead")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, output)
	}
	return path, nil
})
