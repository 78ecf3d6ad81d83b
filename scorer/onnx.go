package scorer

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/batching"
	"github.com/fairlead/fairlead/scorer/internal/gate"
	"github.com/fairlead/fairlead/scorer/internal/oip"
	"github.com/fairlead/fairlead/scorer/internal/onnx"
	"github.com/fairlead/fairlead/scorer/internal/onnxruntime"
)

// ONNXConfig is what a user decides about a scorer of an ONNX model.
type ONNXConfig struct {
	// ModelFile is the model; by default the only one in ModelDir, or the one named model.onnx.
	ModelFile string
	// Library is ONNX Runtime's shared library or its folder; by default it is looked for.
	Library string
	// Providers are execution providers in the order in which they are tried, separated by commas; by default all.
	Providers string
	// Threads is how many threads compute one request; 0 means as many as OMP_NUM_THREADS says, or processors are there.
	Threads int
	// MaxBatchSize is the most rows that are computed together; with 1 each request is by itself.
	MaxBatchSize int
	// MaxBatchDelay is how long a request may wait for others.
	MaxBatchDelay time.Duration
}

// modelEnding is how the names of ONNX models end.
const modelEnding = ".onnx"

func defaultONNX() ONNXConfig {
	return ONNXConfig{MaxBatchSize: 1, MaxBatchDelay: 2 * time.Millisecond}
}

func (c *ONNXConfig) bind(f *flag.FlagSet) {
	f.StringVar(&c.ModelFile, "model-file", c.ModelFile, "ONNX `file`; by default the only one below the model folder, or model.onnx")
	f.StringVar(&c.Library, "onnxruntime-library", c.Library, "ONNX Runtime's shared library, a `file` or its folder ("+onnx.LibraryVariable+")")
	f.StringVar(&c.Providers, "execution-providers", c.Providers, "`order` in which they are tried: tensorrt, cuda, openvino, cpu; by default this one")
	f.IntVar(&c.Threads, "compute-threads", c.Threads, "`number` of threads that compute one request; 0 means OMP_NUM_THREADS, or all processors")
	f.IntVar(&c.MaxBatchSize, "max-batch-size", c.MaxBatchSize, "most `rows` that are computed together; 1 means each request by itself")
	f.DurationVar(&c.MaxBatchDelay, "max-batch-delay", c.MaxBatchDelay, "how `long` a request may wait for others to be computed with")
}

// check lists what is wrong, but for the model itself.
func (c ONNXConfig) check(modelDir string) []error {
	var problems []error
	if c.ModelFile == "" && modelDir == "" {
		problems = append(problems, errors.New("model-file is missing: give the ONNX file, or the folder that has it as model-dir"))
	}
	if _, err := onnx.ParseProviders(c.Providers); err != nil {
		problems = append(problems, fmt.Errorf("execution-providers: %w", err))
	}
	if c.Threads < 0 {
		problems = append(problems, fmt.Errorf("compute-threads is %d, it can't be negative", c.Threads))
	}
	if c.MaxBatchSize < 1 {
		problems = append(problems, fmt.Errorf("max-batch-size is %d, it must be at least 1", c.MaxBatchSize))
	}
	if c.MaxBatchDelay < 0 {
		problems = append(problems, fmt.Errorf("max-batch-delay is %v, it can't be negative", c.MaxBatchDelay))
	}
	return problems
}

// findModel gives the path of the model.
func (c ONNXConfig) findModel(modelDir string) (string, error) {
	if c.ModelFile != "" {
		info, err := os.Stat(c.ModelFile)
		if err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a folder, it must be an ONNX file", c.ModelFile)
		}
		return c.ModelFile, err
	}
	found, err := modelsBelow(modelDir)
	if err != nil {
		return "", err
	}
	return onlyModel(modelDir, found)
}

func modelsBelow(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.EqualFold(filepath.Ext(path), modelEnding) {
			found = append(found, path)
		}
		return err
	})
	return found, err
}

// onlyModel gives the one model among those of a folder.
func onlyModel(dir string, found []string) (string, error) {
	if len(found) == 1 {
		return found[0], nil
	}
	if len(found) == 0 {
		return "", fmt.Errorf("there is no file that ends with %s below %s", modelEnding, dir)
	}
	if main := filepath.Join(dir, "model"+modelEnding); slices.Contains(found, main) {
		return main, nil
	}
	for i, path := range found {
		if relative, err := filepath.Rel(dir, path); err == nil {
			found[i] = relative
		}
	}
	return "", fmt.Errorf("%s has several models: %s; name one", dir, strings.Join(found, ", "))
}

// threads is how many threads compute a request: what the replica may use of the machine.
func (c ONNXConfig) threads(environ []string) int {
	if c.Threads > 0 {
		return c.Threads
	}
	if n, err := strconv.Atoi(variable(environ, "OMP_NUM_THREADS")); err == nil && n > 0 {
		return n
	}
	return goruntime.GOMAXPROCS(0)
}

// variable gives the value of a variable of an environment, of which the last counts.
func variable(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// assembleONNX makes the runtime that answers with an ONNX model.
func assembleONNX(cfg Config, deps Deps) (*parts, error) {
	providers, err := onnx.ParseProviders(cfg.ONNX.Providers)
	if err != nil {
		return nil, &ConfigError{[]error{fmt.Errorf("execution-providers: %w", err)}}
	}
	model, err := cfg.ONNX.findModel(cfg.ModelDir)
	if err != nil {
		return nil, &StartError{Reason: onnxruntime.ModelError, Cause: err.Error()}
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	library, err := onnx.FindLibrary(first(cfg.ONNX.Library, variable(deps.Environ, onnx.LibraryVariable)), program)
	if err != nil {
		return nil, &StartError{Reason: onnxruntime.LibraryMissing, Cause: err.Error()}
	}
	runtime := onnxruntime.New(onnxruntime.Config{
		Model: onnx.Config{
			Model: model, Library: library, Name: cfg.ServiceName, Threads: cfg.ONNX.threads(deps.Environ), Providers: providers,
		},
		Batching: batching.Config{
			Limits:   batching.Limits{MaxSize: cfg.ONNX.MaxBatchSize, MaxDelay: cfg.ONNX.MaxBatchDelay},
			MaxQueue: cfg.Limits.MaxQueue,
		},
		Limit: cfg.Limits.runLimit(), MaxBody: cfg.Limits.MaxBody,
	}, deps.Log)
	return &parts{
		runtime: runtime, model: func() (oip.Model, error) { return runtime.Tensors() }, gate: gate.New(),
		schemas: runtime.Schemas, close: func() {},
	}, nil
}
