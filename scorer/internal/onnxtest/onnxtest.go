// Package onnxtest finds ONNX Runtime's library and the small models for tests. Its functions may be called from any goroutine of a
// test.
package onnxtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/fairlead/fairlead/scorer/internal/onnx"
)

// Library gives the path of ONNX Runtime's library: what the environment names, else what `make onnxruntime` has fetched. Without
// one the test is skipped.
func Library(t testing.TB) string {
	t.Helper()
	asked := os.Getenv(onnx.LibraryVariable)
	if asked == "" {
		asked = filepath.Join(folder(), "..", "..", "..", "bin", "lib")
		if _, err := os.Stat(asked); err != nil {
			t.Skip("there is no ONNX Runtime here: `make onnxruntime` fetches it")
		}
	}
	found, err := onnx.FindLibrary(asked, "")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Model gives the path of a model, for example "digits".
func Model(name string) string {
	return filepath.Join(folder(), "..", "onnx", "testdata", name+".onnx")
}

// Reference has inputs of a model with what it must answer.
type Reference struct {
	Input  [][]float64 `json:"input"`
	Output [][]float64 `json:"output"`
	// Label are the classes of iris, Digit those of digits.
	Label []int64 `json:"label"`
	Digit []int64 `json:"digit"`
}

// ReferenceOf gives what is known of a model.
func ReferenceOf(t testing.TB, name string) Reference {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder(), "..", "onnx", "testdata", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Reference{}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all[name]
}

// folder is that of this file.
func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}
