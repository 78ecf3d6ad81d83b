package scorer

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Config is what a user decides about a scorer.
type Config struct {
	// Listen is the address to serve on; port 0 picks a free one.
	Listen string
	// AddressFile, if not empty, is written with the bound address as soon as the scorer listens.
	AddressFile string
	// ServiceName names the service in status answers.
	ServiceName string
	// EntryScript is the Python file with init() and run(), absolute or below SourceDir.
	EntryScript string
	// SourceDir is the folder the script runs in; by default the script's own.
	SourceDir string
	// ModelDir is AZUREML_MODEL_DIR for the script: <root>/<name>/<version> for one model, the root for several.
	ModelDir string
	// ModelsRoot has the models as <name>/<version>/<files>; by default it is found from ModelDir.
	ModelsRoot string
	// Python is the interpreter.
	Python string
	// Workers is the number of Python processes, each answering one request at a time.
	Workers int
	// RunDir is a private folder for the worker program; by default a temporary one.
	RunDir string
	// SupervisorLock is the file on which the supervising process holds an exclusive lock; empty for none.
	SupervisorLock string
	// OrphanGrace is how long a scorer whose supervisor is gone waits for a new one.
	OrphanGrace time.Duration
	// FailureFile gets the reason and cause when the script can't serve; empty for none.
	FailureFile string
	// MemoryLimited says that the supervisor ends what uses too much memory.
	MemoryLimited bool
	// Limits bounds requests.
	Limits Limits
}

// Limits bounds requests.
type Limits struct {
	// ScoringTimeout is how long one run() may take.
	ScoringTimeout time.Duration
	// CancelGrace is how long a run() may go on once its caller is gone.
	CancelGrace time.Duration
	// DrainTimeout is how long running requests may go on once the scorer is told to end.
	DrainTimeout time.Duration
	// MaxBody is the longest request body, in bytes.
	MaxBody int64
	// MaxQueue is how many requests may wait for a worker.
	MaxQueue int
}

const modelsFolder = "azureml-models"

// ConfigError lists everything that is wrong with a configuration.
type ConfigError struct{ problems []error }

func (e *ConfigError) Error() string {
	texts := make([]string, len(e.problems))
	for i, p := range e.problems {
		texts[i] = p.Error()
	}
	return "the scorer's configuration is wrong: " + strings.Join(texts, "; ")
}

// Unwrap gives the problems one by one.
func (e *ConfigError) Unwrap() []error { return e.problems }

// DefaultConfig gives the configuration of a scorer that is told nothing but its script.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:5001", ServiceName: "ML service", Python: "python3", Workers: 1,
		Limits: Limits{
			ScoringTimeout: time.Hour, CancelGrace: 2 * time.Second, DrainTimeout: 30 * time.Second,
			MaxBody: 100 << 20, MaxQueue: 256,
		},
	}
}

// ParseFlags reads a configuration from flags; what no flag says comes from the old product's environment variables.
// It returns flag.ErrHelp when help is asked for, else a *ConfigError with all problems. Either is also written to output.
func ParseFlags(args []string, env func(string) string, output io.Writer) (Config, error) {
	cfg, problems := fromEnv(DefaultConfig(), env)
	flags := flag.NewFlagSet("scorer", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	cfg.bind(flags)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(output)
		flags.PrintDefaults()
		return Config{}, flag.ErrHelp
	case err != nil:
		problems = append(problems, err)
	case flags.NArg() > 0:
		problems = append(problems, fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	cfg, more := cfg.complete()
	if problems = append(problems, more...); len(problems) > 0 {
		err := &ConfigError{problems}
		writeError(output, err)
		return Config{}, err
	}
	return cfg, nil
}

func (c *Config) bind(f *flag.FlagSet) {
	f.StringVar(&c.Listen, "listen", c.Listen, "`address` to serve on; port 0 picks a free one")
	f.StringVar(&c.AddressFile, "address-file", c.AddressFile, "`file` to write the bound address to")
	f.StringVar(&c.FailureFile, "failure-file", c.FailureFile, "`file` to write the reason to when the script can't serve")
	f.BoolVar(&c.MemoryLimited, "memory-limited", c.MemoryLimited, "there is a memory limit; for the words about a process that was killed")
	f.StringVar(&c.ServiceName, "service-name", c.ServiceName, "`name` of the service in status answers (SERVICE_NAME)")
	f.StringVar(&c.EntryScript, "entry-script", c.EntryScript, "Python `file` with init() and run() (AZUREML_ENTRY_SCRIPT)")
	f.StringVar(&c.SourceDir, "source-dir", c.SourceDir, "`folder` the script runs in (AZUREML_SOURCE_DIRECTORY below AML_APP_ROOT)")
	f.StringVar(&c.ModelDir, "model-dir", c.ModelDir, "model `folder` for the script (AZUREML_MODEL_DIR)")
	f.StringVar(&c.ModelsRoot, "models-root", c.ModelsRoot, "`folder` with models as <name>/<version>/<files>")
	f.StringVar(&c.Python, "python", c.Python, "Python `interpreter`")
	f.IntVar(&c.Workers, "workers", c.Workers, "`number` of Python processes (WORKER_COUNT)")
	f.StringVar(&c.RunDir, "run-dir", c.RunDir, "private `folder` for the worker program; a temporary one by default")
	f.StringVar(&c.SupervisorLock, "supervisor-lock", c.SupervisorLock, "lock `file` held by the supervising process")
	f.DurationVar(&c.OrphanGrace, "orphan-grace", c.OrphanGrace, "how `long` to wait for a new supervisor")
	l := &c.Limits
	f.DurationVar(&l.ScoringTimeout, "scoring-timeout", l.ScoringTimeout, "how `long` one run() may take (SCORING_TIMEOUT_MS)")
	f.DurationVar(&l.CancelGrace, "cancel-grace", l.CancelGrace, "how `long` a run() may go on once its caller is gone")
	f.DurationVar(&l.DrainTimeout, "drain-timeout", l.DrainTimeout, "how `long` running requests may go on at the end")
	f.Int64Var(&l.MaxBody, "max-body", l.MaxBody, "longest request body in `bytes`")
	f.IntVar(&l.MaxQueue, "max-queue", l.MaxQueue, "how `many` requests may wait for a worker")
}

// fromEnv takes over what the old product's environment variables say.
func fromEnv(c Config, env func(string) string) (Config, []error) {
	var problems []error
	number := func(name string, set func(int)) {
		text := env(name)
		if text == "" {
			return
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s is %q, it must be a whole number", name, text))
			return
		}
		set(n)
	}
	number("WORKER_COUNT", func(n int) { c.Workers = n })
	number("SCORING_TIMEOUT_MS", func(n int) { c.Limits.ScoringTimeout = time.Duration(n) * time.Millisecond })
	if name := env("SERVICE_NAME"); name != "" {
		c.ServiceName = name
	}
	c.EntryScript = env("AZUREML_ENTRY_SCRIPT")
	c.ModelDir = env("AZUREML_MODEL_DIR")
	c.SourceDir = env("AML_APP_ROOT")
	if source := env("AZUREML_SOURCE_DIRECTORY"); filepath.IsAbs(source) {
		c.SourceDir = source
	} else if source != "" {
		c.SourceDir = filepath.Join(c.SourceDir, source)
	}
	return c, problems
}

// complete makes paths absolute, fills in what follows from the rest, and checks everything.
func (c Config) complete() (Config, []error) {
	problems := c.checkNumbers()
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		problems = append(problems, fmt.Errorf("listen: %q must be host:port", c.Listen))
	}
	for _, p := range []*string{&c.SourceDir, &c.ModelDir, &c.ModelsRoot, &c.RunDir, &c.SupervisorLock, &c.AddressFile, &c.FailureFile} {
		if *p == "" {
			continue
		}
		absolute, err := filepath.Abs(*p)
		if err != nil {
			return c, append(problems, fmt.Errorf("find the working directory: %w", err))
		}
		*p = absolute
	}
	problems = append(problems, c.completeScript()...)
	if c.ModelsRoot == "" {
		c.ModelsRoot = modelsRoot(c.ModelDir)
	}
	problems = append(problems, isDir("source-dir", c.SourceDir), isDir("model-dir", c.ModelDir), isDir("models-root", c.ModelsRoot))
	if c.SupervisorLock != "" {
		if _, err := os.Stat(c.SupervisorLock); err != nil {
			problems = append(problems, fmt.Errorf("supervisor-lock: %w", err))
		}
	}
	return c, compact(problems)
}

func (c Config) checkNumbers() []error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(c.Python != "", "python must name an interpreter")
	check(c.Workers > 0, "workers is %d, it must be at least 1", c.Workers)
	check(c.OrphanGrace >= 0, "orphan-grace is %v, it can't be negative", c.OrphanGrace)
	check(c.Limits.ScoringTimeout > 0, "scoring-timeout is %v, it must be positive", c.Limits.ScoringTimeout)
	check(c.Limits.CancelGrace >= 0, "cancel-grace is %v, it can't be negative", c.Limits.CancelGrace)
	check(c.Limits.DrainTimeout >= 0, "drain-timeout is %v, it can't be negative", c.Limits.DrainTimeout)
	check(c.Limits.MaxBody > 0, "max-body is %d, it must be positive", c.Limits.MaxBody)
	check(c.Limits.MaxBody < 1<<32, "max-body is %d, it must be below 4 GiB", c.Limits.MaxBody)
	check(c.Limits.MaxQueue >= 0, "max-queue is %d, it can't be negative", c.Limits.MaxQueue)
	return problems
}

// completeScript finds the script: below the source folder when there is one, else it gives the source folder.
func (c *Config) completeScript() []error {
	if c.EntryScript == "" {
		return []error{errors.New("entry-script is missing: give the Python file with init() and run()")}
	}
	if c.SourceDir != "" && !filepath.IsAbs(c.EntryScript) {
		c.EntryScript = filepath.Join(c.SourceDir, c.EntryScript)
	}
	script, err := filepath.Abs(c.EntryScript)
	if err != nil {
		return []error{fmt.Errorf("entry-script: %w", err)}
	}
	c.EntryScript = script
	if c.SourceDir == "" {
		c.SourceDir = filepath.Dir(script)
	}
	info, err := os.Stat(script)
	switch {
	case err != nil:
		return []error{fmt.Errorf("entry-script: %w", err)}
	case info.IsDir():
		return []error{fmt.Errorf("entry-script: %s is a folder, it must be a Python file", script)}
	}
	return nil
}

// modelsRoot finds the folder that has all models from the one the script is told.
func modelsRoot(modelDir string) string {
	if modelDir == "" || filepath.Base(modelDir) == modelsFolder {
		return modelDir
	}
	return filepath.Dir(filepath.Dir(modelDir))
}

func isDir(name, path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case !info.IsDir():
		return fmt.Errorf("%s: %s is not a folder", name, path)
	}
	return nil
}

func compact(problems []error) []error {
	var out []error
	for _, p := range problems {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}
