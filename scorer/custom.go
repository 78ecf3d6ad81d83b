package scorer

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/scorer/internal/front"
	"github.com/fairlead/fairlead/scorer/internal/gate"
)

// CustomConfig is what a user decides about a server of their own.
type CustomConfig struct {
	// Command is the program with its arguments; "{port}" in them becomes the port. It runs in SourceDir.
	Command []string
	// Port is where it listens, on loopback; 0 means a free one.
	Port int
	// Protocol is http or grpc.
	Protocol string
	// HealthRoute answers while it lives, ReadyRoute once it can score; with neither, taking connections is enough.
	HealthRoute, ReadyRoute string
	// ScoringRoute is where requests to /score go; by default /score.
	ScoringRoute string
	// Concurrency is how many requests it gets at a time; 0 for no limit.
	Concurrency int
}

const (
	protocolHTTP = "http"
	protocolGRPC = "grpc"
	maxPort      = 65535
)

func (c *CustomConfig) bind(f *flag.FlagSet) {
	f.Func("custom-command", "JSON `list` of the server's program and arguments; {port} becomes its port", func(text string) error {
		c.Command = nil
		if err := json.Unmarshal([]byte(text), &c.Command); err != nil {
			return fmt.Errorf("it must be a JSON list of strings: %w", err)
		}
		return nil
	})
	f.IntVar(&c.Port, "custom-port", c.Port, "`port` that the server listens on; 0 means a free one, told as {port} and PORT")
	f.StringVar(&c.Protocol, "custom-protocol", c.Protocol, "`protocol` of the server: http or grpc")
	f.StringVar(&c.HealthRoute, "custom-health-route", c.HealthRoute, "`path` that answers while the server lives")
	f.StringVar(&c.ReadyRoute, "custom-ready-route", c.ReadyRoute, "`path` that answers once the server can score; by default the health route")
	f.StringVar(&c.ScoringRoute, "custom-scoring-route", c.ScoringRoute, "`path` that requests to /score go to; by default /score")
	f.IntVar(&c.Concurrency, "custom-concurrency", c.Concurrency, "`number` of requests that the server gets at a time; 0 means no limit")
}

// check lists what is wrong.
func (c CustomConfig) check(sourceDir string) []error {
	var problems []error
	if len(c.Command) == 0 || c.Command[0] == "" {
		problems = append(problems, errors.New("custom-command is missing: give the server's program and arguments"))
	}
	if sourceDir == "" {
		problems = append(problems, errors.New("source-dir is missing: give the folder that the server runs in"))
	}
	if c.Port < 0 || c.Port > maxPort {
		problems = append(problems, fmt.Errorf("custom-port is %d, it must be from 0 to %d", c.Port, maxPort))
	}
	if c.Protocol != protocolHTTP && c.Protocol != protocolGRPC {
		problems = append(problems, fmt.Errorf("custom-protocol is %q, it must be http or grpc", c.Protocol))
	}
	if c.Concurrency < 0 {
		problems = append(problems, fmt.Errorf("custom-concurrency is %d, it can't be negative", c.Concurrency))
	}
	for _, route := range [][2]string{{"health", c.HealthRoute}, {"ready", c.ReadyRoute}, {"scoring", c.ScoringRoute}} {
		if path := route[1]; path != "" && !isRoute(path) {
			problems = append(problems, fmt.Errorf("custom-%s-route is %q, it must be a path that begins with /", route[0], path))
		}
	}
	return problems
}

func isRoute(path string) bool {
	u, err := url.ParseRequestURI(path)
	return err == nil && strings.HasPrefix(path, "/") && u.RawQuery == "" && !strings.HasPrefix(path, "//")
}

// assembleCustom makes the runtime that fronts a server of the user's own.
func assembleCustom(cfg Config, deps Deps) (*parts, error) {
	c := cfg.Custom
	runtime := front.New(front.Config{
		Command: c.Command, Dir: cfg.SourceDir, Env: customEnv(cfg, deps.Environ), Port: c.Port, GRPC: c.Protocol == protocolGRPC,
		HealthRoute: c.HealthRoute, ReadyRoute: c.ReadyRoute, ScoringRoute: c.ScoringRoute,
		Concurrency: c.Concurrency, MaxQueue: cfg.Limits.MaxQueue, Timeout: cfg.Limits.ScoringTimeout, MaxBody: cfg.Limits.MaxBody,
		MemoryLimited: cfg.MemoryLimited,
	}, front.Deps{Log: deps.Log, Stdout: deps.Stdout, Stderr: deps.Stderr})
	return &parts{runtime: runtime, passthrough: runtime, gate: gate.New(), close: func() {}}, nil
}

// customEnv is the server's environment, but for its port. Its PATH begins with the folder of the interpreter that the scorer was
// given, so that a server in Python is run by that one.
func customEnv(cfg Config, environ []string) []string {
	// Of a variable that is there twice, the last counts: the first line gives defaults.
	env := append([]string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", "AML_APP_ROOT=" + cfg.SourceDir}, environ...)
	if cfg.ModelDir != "" {
		env = append(env, "AZUREML_MODEL_DIR="+cfg.ModelDir)
	}
	if cfg.ModelsRoot != "" {
		env = append(env, "FAIRLEAD_MODELS_ROOT="+cfg.ModelsRoot)
	}
	if filepath.IsAbs(cfg.Python) {
		path := filepath.Dir(cfg.Python)
		for _, entry := range environ {
			if rest, ok := strings.CutPrefix(entry, "PATH="); ok && rest != "" {
				path = filepath.Dir(cfg.Python) + string(filepath.ListSeparator) + rest
			}
		}
		env = append(env, "PATH="+path)
	}
	return env
}
