package scorer

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/cors"
	"github.com/fairlead/fairlead/scorer/internal/front"
	"github.com/fairlead/fairlead/scorer/internal/onnxruntime"
	"github.com/fairlead/fairlead/scorer/internal/script"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// Config is what a user decides about a scorer.
type Config struct {
	// Listen is the address to serve on; port 0 picks a free one.
	Listen string
	// AddressFile, if not empty, is written with the bound address as soon as the scorer listens.
	AddressFile string
	// ServiceName names the service in status answers and in swagger; ServiceVersion and ServicePathPrefix are for swagger.
	ServiceName, ServiceVersion, ServicePathPrefix string
	// HealthPort is a second port that answers, on the same host as Listen; 0 for none.
	HealthPort int
	// HideVersion leaves the server's version out of answers.
	HideVersion bool
	// CORSOrigins are the origins whose pages may call, separated by commas; * for all.
	CORSOrigins string
	// LogLevel is DEBUG, INFO, WARNING, ERROR or CRITICAL: of the scorer's log and of the script's logging.
	LogLevel string
	// FormBody lets the body of a form reach a plain run() as it was sent. The old product emptied it.
	FormBody bool
	// ConfigFile has settings for what neither a flag nor the environment says.
	ConfigFile string
	// AppRoot is the folder of the old product's AML_APP_ROOT, empty for none.
	AppRoot string
	// Notes are for the log: what in the configuration has no effect.
	Notes []string
	// Runtime is what answers: script, scikit-learn, onnx or custom.
	Runtime string
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
	// Workers is the number of Python processes, each answering as many requests at a time as Threads says.
	Workers, Threads int
	// Preload calls init() once, in a process from which the workers are forked.
	Preload bool
	// WorkerMemory is how many bytes of memory a worker may hold before it is replaced; 0 for no limit.
	WorkerMemory int64
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
	// Custom is the server of the runtime custom.
	Custom CustomConfig
	// ONNX is the model of the runtime onnx.
	ONNX ONNXConfig
	// Limits bounds requests.
	Limits Limits
}

// Limits bounds requests.
type Limits struct {
	// ScoringTimeout is how long one run() may take. WorkerTimeout is the same where it is shorter and not 0.
	ScoringTimeout, WorkerTimeout time.Duration
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
		Listen: "127.0.0.1:5001", Runtime: script.Name, ServiceName: "ML service", ServiceVersion: "1.0", LogLevel: "INFO", Python: "python3", Workers: 1, Threads: 1,
		Custom: CustomConfig{Protocol: protocolHTTP}, ONNX: defaultONNX(),
		Limits: Limits{
			ScoringTimeout: time.Hour, CancelGrace: 2 * time.Second, DrainTimeout: 30 * time.Second,
			MaxBody: 100 << 20, MaxQueue: 256,
		},
	}
}

// ParseFlags reads a configuration from flags; what no flag says comes from the old product's environment variables, and what these
// don't say from a configuration file. It returns flag.ErrHelp when help is asked for, else a *ConfigError with all problems.
// Either is also written to output.
func ParseFlags(args []string, env func(string) string, output io.Writer) (Config, error) {
	cfg, problems := beforeFlags(args, env)
	flags := cfg.flags()
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

// beforeFlags is the configuration that flags change: where its file lies may itself be said by flags.
func beforeFlags(args []string, env func(string) string) (Config, []error) {
	asked := DefaultConfig()
	_ = asked.flags().Parse(args) // what is wrong with them is said when they count
	file, notes, err := findConfigFile(asked.ConfigFile, env, asked.scriptPath(env))
	cfg, problems := DefaultConfig().withSettings(env, file)
	cfg.Notes = append(notes, cfg.Notes...)
	if err != nil {
		problems = append(problems, err)
	}
	return cfg, problems
}

// scriptPath is where flags or the environment say that the script lies; empty when they don't.
func (c Config) scriptPath(env func(string) string) string {
	script := first(c.EntryScript, env("AZUREML_ENTRY_SCRIPT"))
	if script == "" || filepath.IsAbs(script) {
		return script
	}
	return filepath.Join(first(c.SourceDir, env("AML_APP_ROOT")), script)
}

func (c *Config) flags() *flag.FlagSet {
	f := flag.NewFlagSet("scorer", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	c.bind(f)
	return f
}

func (c *Config) bind(f *flag.FlagSet) {
	f.StringVar(&c.Listen, "listen", c.Listen, "`address` to serve on; port 0 picks a free one")
	f.StringVar(&c.AddressFile, "address-file", c.AddressFile, "`file` to write the bound address to")
	f.StringVar(&c.FailureFile, "failure-file", c.FailureFile, "`file` to write the reason to when the script can't serve")
	f.BoolVar(&c.MemoryLimited, "memory-limited", c.MemoryLimited, "there is a memory limit; for the words about a process that was killed")
	c.bindService(f)
	f.StringVar(&c.Runtime, "runtime", c.Runtime, "`kind` of runtime that answers: script, scikit-learn, onnx or custom")
	f.StringVar(&c.EntryScript, "entry-script", c.EntryScript, "Python `file` with init() and run() (AZUREML_ENTRY_SCRIPT)")
	f.StringVar(&c.SourceDir, "source-dir", c.SourceDir, "`folder` the script runs in (AZUREML_SOURCE_DIRECTORY below AML_APP_ROOT)")
	f.StringVar(&c.ModelDir, "model-dir", c.ModelDir, "model `folder` for the script (AZUREML_MODEL_DIR)")
	f.StringVar(&c.ModelsRoot, "models-root", c.ModelsRoot, "`folder` with models as <name>/<version>/<files>")
	f.StringVar(&c.Python, "python", c.Python, "Python `interpreter`")
	f.IntVar(&c.Workers, "workers", c.Workers, "`number` of Python processes (WORKER_COUNT)")
	f.IntVar(&c.Threads, "threads", c.Threads, "`number` of requests that a process runs at once (WORKER_THREADS)")
	f.BoolVar(&c.Preload, "preload", c.Preload, "call init() once and fork the processes after it (WORKER_PRELOAD)")
	f.Int64Var(&c.WorkerMemory, "worker-memory", c.WorkerMemory, "`bytes` of memory with which a process is replaced; 0 for no limit (WORKER_MAX_MEMORY_MB)")
	f.StringVar(&c.RunDir, "run-dir", c.RunDir, "private `folder` for the worker program; a temporary one by default")
	f.StringVar(&c.SupervisorLock, "supervisor-lock", c.SupervisorLock, "lock `file` held by the supervising process")
	f.DurationVar(&c.OrphanGrace, "orphan-grace", c.OrphanGrace, "how `long` to wait for a new supervisor")
	c.Custom.bind(f)
	c.ONNX.bind(f)
	l := &c.Limits
	f.DurationVar(&l.ScoringTimeout, "scoring-timeout", l.ScoringTimeout, "how `long` one run() may take (SCORING_TIMEOUT_MS)")
	f.DurationVar(&l.WorkerTimeout, "worker-timeout", l.WorkerTimeout, "the same, where it is shorter; 0 for no limit of its own (WORKER_TIMEOUT)")
	f.DurationVar(&l.CancelGrace, "cancel-grace", l.CancelGrace, "how `long` a run() may go on once its caller is gone")
	f.DurationVar(&l.DrainTimeout, "drain-timeout", l.DrainTimeout, "how `long` running requests may go on at the end")
	f.Int64Var(&l.MaxBody, "max-body", l.MaxBody, "longest request body in `bytes`")
	f.IntVar(&l.MaxQueue, "max-queue", l.MaxQueue, "how `many` requests may wait for a worker")
}

// bindService has the flags that say how the service shows itself to callers.
func (c *Config) bindService(f *flag.FlagSet) {
	f.StringVar(&c.ConfigFile, "config-file", c.ConfigFile, "JSON `file` with settings by the names of the environment variables (AZUREML_CONFIG_FILE)")
	f.StringVar(&c.ServiceName, "service-name", c.ServiceName, "`name` of the service in status answers and swagger (SERVICE_NAME)")
	f.StringVar(&c.ServiceVersion, "service-version", c.ServiceVersion, "`version` of the service in swagger (SERVICE_VERSION)")
	f.StringVar(&c.ServicePathPrefix, "service-path-prefix", c.ServicePathPrefix, "`path` before those in swagger (SERVICE_PATH_PREFIX)")
	f.IntVar(&c.HealthPort, "health-port", c.HealthPort, "second `port` that answers; 0 for none (HEALTH_PORT with SEPERATE_HEALTH_ENDPOINT)")
	f.BoolVar(&c.HideVersion, "hide-version", c.HideVersion, "leave the server's version out of answers (SERVER_VERSION_LOG_RESPONSE_ENABLED=false)")
	f.StringVar(&c.CORSOrigins, "cors-origins", c.CORSOrigins, "`origins` whose pages may call, separated by commas; * for all (AML_CORS_ORIGINS)")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "`level` of logs: DEBUG, INFO, WARNING, ERROR, CRITICAL (AZUREML_LOG_LEVEL)")
	f.BoolVar(&c.FormBody, "form-body", c.FormBody, "let the body of a form reach a plain run() as it was sent (FORM_BODY_ENABLED)")
}

// complete makes paths absolute, fills in what follows from the rest, and checks everything.
func (c Config) complete() (Config, []error) {
	problems := c.checkNumbers()
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		problems = append(problems, fmt.Errorf("listen: %q must be host:port", c.Listen))
	}
	if _, err := cors.Parse(c.CORSOrigins); err != nil {
		problems = append(problems, fmt.Errorf("cors-origins: %w", err))
	}
	if _, err := c.logLevel(); err != nil {
		problems = append(problems, err)
	}
	for _, p := range []*string{&c.AppRoot, &c.SourceDir, &c.ModelDir, &c.ModelsRoot, &c.RunDir, &c.SupervisorLock, &c.AddressFile, &c.FailureFile} {
		if *p == "" {
			continue
		}
		absolute, err := filepath.Abs(*p)
		if err != nil {
			return c, append(problems, fmt.Errorf("find the working directory: %w", err))
		}
		*p = absolute
	}
	switch c.Runtime {
	case script.Name:
		problems = append(problems, c.completeScript()...)
	case scikitLearn:
		problems = append(problems, c.checkScikitLearn()...)
	case onnxruntime.Name:
		problems = append(problems, c.ONNX.check(c.ModelDir)...)
	case front.Name:
		problems = append(problems, c.Custom.check(c.SourceDir)...)
	default:
		problems = append(problems, unknownRuntime(c.Runtime))
	}
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

func unknownRuntime(name string) error {
	return fmt.Errorf("runtime is %q, it must be %s, %s, %s or %s", name, script.Name, scikitLearn, onnxruntime.Name, front.Name)
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
	check(c.Threads > 0 && c.Threads <= worker.MaxThreads, "threads is %d, it must be from 1 to %d", c.Threads, worker.MaxThreads)
	check(c.WorkerMemory >= 0, "worker-memory is %d, it can't be negative", c.WorkerMemory)
	check(c.OrphanGrace >= 0, "orphan-grace is %v, it can't be negative", c.OrphanGrace)
	check(c.Limits.ScoringTimeout > 0, "scoring-timeout is %v, it must be positive", c.Limits.ScoringTimeout)
	check(c.Limits.WorkerTimeout >= 0, "worker-timeout is %v, it can't be negative", c.Limits.WorkerTimeout)
	check(c.HealthPort >= 0 && c.HealthPort <= 65535, "health-port is %d, it must be from 1 to 65535, or 0 for none", c.HealthPort)
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
		c.EntryScript = c.below(c.EntryScript)
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

// below finds a script in the source folder, or where the old product looked for it: in the app root, above the source folder.
func (c *Config) below(script string) string {
	inSource, inRoot := filepath.Join(c.SourceDir, script), filepath.Join(c.AppRoot, script)
	if c.AppRoot != "" && isMissing(inSource) && !isMissing(inRoot) {
		return inRoot
	}
	return inSource
}

func isMissing(path string) bool {
	_, err := os.Stat(path)
	return err != nil
}

// logLevel is the level in the scorer's own log.
func (c Config) logLevel() (slog.Level, error) {
	levels := map[string]slog.Level{
		"NOTSET": slog.LevelDebug, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "WARNING": slog.LevelWarn,
		"ERROR": slog.LevelError, "CRITICAL": slog.LevelError, "FATAL": slog.LevelError,
	}
	level, ok := levels[strings.ToUpper(strings.TrimSpace(c.LogLevel))]
	if !ok {
		return 0, fmt.Errorf("log-level is %q, it must be DEBUG, INFO, WARNING, ERROR or CRITICAL", c.LogLevel)
	}
	return level, nil
}

// runLimit is how long one run() may take.
func (l Limits) runLimit() time.Duration {
	if l.WorkerTimeout > 0 {
		return min(l.ScoringTimeout, l.WorkerTimeout)
	}
	return l.ScoringTimeout
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
