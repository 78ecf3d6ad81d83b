package scorer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/fairlead/fairlead/scorer/internal/gate"
	"github.com/fairlead/fairlead/scorer/internal/oip"
	"github.com/fairlead/fairlead/scorer/internal/python"
	"github.com/fairlead/fairlead/scorer/internal/schematensor"
	"github.com/fairlead/fairlead/scorer/internal/script"
	"github.com/fairlead/fairlead/scorer/internal/swagger"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// assembleScript makes the runtime that answers with an entry script.
func assembleScript(cfg Config, deps Deps) (*parts, error) {
	own, err := swagger.ReadFiles(cfg.SourceDir, filepath.Dir(cfg.EntryScript), cfg.AppRoot)
	if err != nil {
		return nil, &ConfigError{[]error{err}}
	}
	interpreter, err := exec.LookPath(cfg.Python)
	if err != nil {
		return nil, &ConfigError{[]error{fmt.Errorf("python: %w", err)}}
	}
	if cfg.Python, err = filepath.Abs(interpreter); err != nil {
		return nil, fmt.Errorf("find the interpreter: %w", err)
	}
	clean := func() {}
	if cfg.RunDir == "" {
		if cfg.RunDir, err = os.MkdirTemp("", "fairlead-scorer-"); err != nil {
			return nil, fmt.Errorf("make a folder for the worker program: %w", err)
		}
		clean = func() { os.RemoveAll(cfg.RunDir) }
	}
	if err := python.Unpack(cfg.RunDir); err != nil {
		clean()
		return nil, err
	}
	pool := worker.New(workerConfig(cfg, deps.Environ), worker.Deps{Log: deps.Log, Stdout: deps.Stdout, Stderr: deps.Stderr})
	runtime := script.New(script.Config{MaxBody: cfg.Limits.MaxBody, FormBody: cfg.FormBody}, script.Deps{Pool: pool, Log: deps.Log})
	return &parts{
		runtime: runtime, model: scriptTensors(pool), schemas: runtime.Schemas, ownSwagger: own, gate: gate.New(), close: clean,
	}, nil
}

// scriptTensors gives the model that answers in tensors when the script's schema maps to them. What the script is, does not change.
func scriptTensors(pool *worker.Pool) func() (oip.Model, error) {
	return sync.OnceValues(func() (oip.Model, error) {
		return schematensor.New(pool, pool.Facts())
	})
}

func workerConfig(cfg Config, environ []string) worker.Config {
	// Of a variable that is there twice, the last counts: the first line gives defaults.
	env := append([]string{"PYTHONDONTWRITEBYTECODE=1", "AML_APP_ROOT=" + cfg.SourceDir}, environ...)
	env = append(env, "PYTHONUNBUFFERED=1", "AZUREML_LOG_LEVEL="+cfg.LogLevel, "AZUREML_ENTRY_SCRIPT="+cfg.EntryScript)
	if cfg.ModelDir != "" {
		env = append(env, "AZUREML_MODEL_DIR="+cfg.ModelDir)
	}
	if cfg.ModelsRoot != "" {
		env = append(env, "FAIRLEAD_MODELS_ROOT="+cfg.ModelsRoot)
	}
	return worker.Config{
		Python: cfg.Python, Program: filepath.Join(cfg.RunDir, python.Worker),
		Script: cfg.EntryScript, SourceDir: cfg.SourceDir, Env: env,
		Workers: cfg.Workers, Threads: cfg.Threads, Preload: cfg.Preload, MaxMemory: cfg.WorkerMemory, MaxQueue: cfg.Limits.MaxQueue,
		Timeout: cfg.Limits.runLimit(), CancelGrace: cfg.Limits.CancelGrace, MemoryLimited: cfg.MemoryLimited,
	}
}
