package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFindLibrary(t *testing.T) {
	root := t.TempDir()
	file := func(path string) string {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	beside := file("bin/lib/libonnxruntime.so.1")
	sibling := file("usr/lib/libonnxruntime.so")
	release := file("release/libonnxruntime.so.1.24.3")
	for name, test := range map[string]struct{ asked, program, want string }{
		"the file":                      {asked: release, want: release},
		"its folder":                    {asked: filepath.Join(root, "bin/lib"), want: beside},
		"under its full version":        {asked: filepath.Join(root, "release"), want: release},
		"beside the program":            {program: filepath.Join(root, "bin/fairlead"), want: beside},
		"in the folder of libraries":    {program: filepath.Join(root, "usr/bin/fairlead"), want: sibling},
		"what is asked for comes first": {asked: release, program: filepath.Join(root, "bin/fairlead"), want: release},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := FindLibrary(test.asked, test.program); err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		_, err := FindLibrary(filepath.Join(root, "none"), filepath.Join(root, "bin/fairlead"))
		var library *LibraryError
		if !errors.As(err, &library) || !strings.Contains(err.Error(), "make onnxruntime") || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
	})
}

func TestParseProviders(t *testing.T) {
	for text, want := range map[string][]Provider{
		"":                                {TensorRT, CUDA, OpenVINO, CPU},
		"cpu":                             {CPU},
		"CUDA":                            {CUDA, CPU},
		"cpu, OpenVINO,cuda,openvino":     {OpenVINO, CUDA, CPU},
		"CUDAExecutionProvider,TensorRT ": {CUDA, TensorRT, CPU},
	} {
		got, err := ParseProviders(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
	_, err := ParseProviders("cuda,gpu,tpu")
	if err == nil || !strings.Contains(err.Error(), `"gpu", "tpu"`) {
		t.Errorf("got %v", err)
	}
}

func TestChoose(t *testing.T) {
	broken := map[Provider]error{TensorRT: errors.New("no\nlibrary"), CUDA: errors.New("no device")}
	open := func(p Provider) (string, error) { return "on " + string(p), broken[p] }
	got, choice, err := choose([]Provider{TensorRT, CUDA, CPU}, open)
	want := Choice{Provider: CPU, Refused: []Refusal{{TensorRT, "no library"}, {CUDA, "no device"}}}
	if diff := cmp.Diff(want, choice); diff != "" || got != "on cpu" || err != nil {
		t.Errorf("got %q, %v %s", got, err, diff)
	}
	if _, _, err := choose([]Provider{TensorRT, CUDA}, open); !errors.Is(err, broken[CUDA]) {
		t.Errorf("got %v", err)
	}
}
