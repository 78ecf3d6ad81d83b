package harness

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/test/repository"
)

// onnxRuntimeVariable names the shared library to the program.
const onnxRuntimeVariable = "FAIRLEAD_ONNXRUNTIME"

// NeedONNXRuntime lets installations that the test starts find ONNX Runtime's
// shared library: the one that the environment names, or what `make onnxruntime`
// has fetched. Without it the test is skipped.
func NeedONNXRuntime(tb testing.TB) {
	tb.Helper()
	if os.Getenv(onnxRuntimeVariable) != "" {
		return
	}
	root, err := repository.Root()
	if err != nil {
		tb.Fatal(err)
	}
	for _, pattern := range []string{".build/onnxruntime/*/libonnxruntime.so.1", "bin/lib/libonnxruntime.so.1"} {
		if found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern))); err == nil && len(found) > 0 {
			tb.Setenv(onnxRuntimeVariable, found[len(found)-1])
			return
		}
	}
	tb.Skipf("ONNX Runtime's library is not here: `make onnxruntime` fetches it, or %s names it", onnxRuntimeVariable)
}

// ModelFile gives the path of one of the small ONNX models that the repository makes.
func ModelFile(tb testing.TB, name string) string {
	tb.Helper()
	root, err := repository.Root()
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(root, "scorer", "internal", "onnx", "testdata", name)
}
