// Package scorer is the program that runs an entry script (init, run) behind HTTP, as the old product's scoring server did:
// the server, the queue, deadlines and ids are in Go, the script runs in Python worker processes.
//
// Run serves until its context ends; then it refuses new requests, lets the running ones finish, and returns nil. A script that can't
// be loaded ends it with a *StartError, one whose processes die again and again with a *CrashLoopError. Workers never outlive it. Run keeps no global state; several may run in one process.
package scorer

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/lifeline"
	"github.com/fairlead/fairlead/scorer/internal/python"
	"github.com/fairlead/fairlead/scorer/internal/server"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

const (
	readHeaderTimeout = 30 * time.Second
	idleTimeout       = 5 * time.Minute
	maxHeaderBytes    = 256 << 10
	// lastResponses is how long responses that are ready may take to be sent at the end.
	lastResponses = 2 * time.Second
	// unversioned stands for the version of a build that has none.
	unversioned = "development"
)

// Deps is what the code around a scorer hands over. What is left out comes from the process.
type Deps struct {
	// Log is where the scorer's own log goes; by default text on Stderr.
	Log *slog.Logger
	// Version is the product's version, for the server version header.
	Version string
	// Environ is the environment of the workers, to which the scorer adds its own variables.
	Environ []string
	// Stdout and Stderr get the script's output. Stderr also gets the traceback when the script can't be loaded and, as the last
	// line, the error that Run returns.
	Stdout, Stderr *os.File
	// OnListen, if not nil, is told the address once the scorer listens. The script need not be loaded by then.
	OnListen func(net.Addr)
}

func (d Deps) complete() Deps {
	if d.Environ == nil {
		d.Environ = os.Environ()
	}
	if d.Stdout == nil {
		d.Stdout = os.Stdout
	}
	if d.Stderr == nil {
		d.Stderr = os.Stderr
	}
	if d.Log == nil {
		d.Log = slog.New(slog.NewTextHandler(d.Stderr, nil))
	}
	if d.Version == "" {
		d.Version = unversioned
	}
	return d
}

// StartError says in one line why the script can't serve.
type StartError struct {
	// Reason is a stable word for programs: ScriptError, MissingPackage, NoInit, NoRun, PythonMissing.
	Reason string
	Cause  string
}

func (e *StartError) Error() string { return e.Cause }

// CrashLoopError says in one line how a script that was loaded dies again and again. Starting it anew may help for a while.
type CrashLoopError struct{ Cause string }

func (e *CrashLoopError) Error() string { return e.Cause }

// crashLoop is the reason of a CrashLoopError, for programs.
const crashLoop = "CrashLoop"

// ExitCode gives the exit code for an error of ParseFlags or Run: 0 for none, 3 for a script or a configuration that can't
// work however often it is tried, 1 for the rest.
func ExitCode(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var start *StartError
	var config *ConfigError
	if errors.As(err, &start) || errors.As(err, &config) {
		return 3
	}
	return 1
}

// Run serves until ctx ends, a drain is asked for over HTTP, or the supervisor is gone for good.
func Run(ctx context.Context, cfg Config, deps Deps) error {
	deps = deps.complete()
	err := run(ctx, cfg, deps)
	if err != nil {
		writeError(deps.Stderr, err)
	}
	if kept := keepFailure(cfg.FailureFile, err); kept != nil {
		deps.Log.Warn("the failure is told here only", "error", kept)
	}
	return err
}

// keepFailure writes why a script can't serve to file, whole or not at all, when one is asked for.
func keepFailure(file string, err error) error {
	var start *StartError
	var loop *CrashLoopError
	left := map[string]string{}
	switch {
	case file == "":
		return nil
	case errors.As(err, &start):
		left["reason"], left["message"] = start.Reason, start.Cause
	case errors.As(err, &loop):
		left["reason"], left["message"] = crashLoop, loop.Cause
	default:
		return nil
	}
	text, err := json.Marshal(left)
	if err != nil {
		return fmt.Errorf("describe the failure: %w", err)
	}
	return writeWhole(file, append(text, '\n'))
}

func run(ctx context.Context, cfg Config, deps Deps) error {
	cfg, problems := cfg.complete()
	if len(problems) > 0 {
		return &ConfigError{problems}
	}
	interpreter, err := exec.LookPath(cfg.Python)
	if err != nil {
		return &ConfigError{[]error{fmt.Errorf("python: %w", err)}}
	}
	if cfg.Python, err = filepath.Abs(interpreter); err != nil {
		return fmt.Errorf("find the interpreter: %w", err)
	}
	if cfg.RunDir == "" {
		if cfg.RunDir, err = os.MkdirTemp("", "fairlead-scorer-"); err != nil {
			return fmt.Errorf("make a folder for the worker program: %w", err)
		}
		defer os.RemoveAll(cfg.RunDir)
	}
	if err := python.Unpack(cfg.RunDir); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	deps.Log.Info("scorer listens", "address", listener.Addr().String(), "service", cfg.ServiceName, "workers", cfg.Workers)
	if err := announce(cfg.AddressFile, listener.Addr()); err != nil {
		return errors.Join(err, listener.Close())
	}
	if deps.OnListen != nil {
		deps.OnListen(listener.Addr())
	}
	return serve(ctx, cfg, deps, listener)
}

// announce writes the address to file, whole or not at all, when one is asked for.
func announce(file string, address net.Addr) error {
	if file == "" {
		return nil
	}
	return writeWhole(file, []byte(address.String()+"\n"))
}

// writeWhole writes a file that others read: they see all of it or nothing.
func writeWhole(file string, text []byte) error {
	if err := os.WriteFile(file+".tmp", text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(file), err)
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(file), err)
	}
	return nil
}

// serve runs the parts and ends them in order: requests, workers, server.
func serve(ctx context.Context, cfg Config, deps Deps, listener net.Listener) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	pool := worker.New(workerConfig(cfg, deps.Environ), worker.Deps{Log: deps.Log, Stdout: deps.Stdout, Stderr: deps.Stderr})
	handler := server.New(
		server.Config{Service: cfg.ServiceName, Product: "fairlead/" + deps.Version, MaxBody: cfg.Limits.MaxBody},
		server.Deps{Pool: pool, Log: deps.Log},
	)
	httpServer := &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(deps.Log.Handler(), slog.LevelDebug),
	}
	parts := &parts{workers: make(chan error, 1), http: make(chan error, 1), orphaned: make(chan error, 1)}
	go func() { parts.workers <- pool.Run(inner) }()
	go func() { parts.http <- httpServer.Serve(listener) }()
	if cfg.SupervisorLock != "" {
		go func() { parts.orphaned <- lifeline.Watch(inner, cfg.SupervisorLock, cfg.OrphanGrace) }()
	}

	workersEnded, err := parts.await(ctx, cfg, deps, handler)
	// Requests that still run get an answer that says why they are cut off.
	stop()
	endHTTP(context.WithoutCancel(ctx), httpServer)
	if !workersEnded {
		err = errors.Join(err, <-parts.workers)
	}
	return report(err, deps.Stderr)
}

// parts are the ends of what serve runs.
type parts struct{ workers, http, orphaned chan error }

// await blocks until the scorer has to end and has drained as far as it may.
func (p *parts) await(ctx context.Context, cfg Config, deps Deps, handler *server.Server) (workersEnded bool, err error) {
	select {
	case <-ctx.Done():
		deps.Log.Info("scorer drains: it was told to end")
	case <-handler.DrainAsked():
		deps.Log.Info("scorer drains: a drain was asked for")
	case err := <-p.workers:
		return true, err
	case err := <-p.http:
		return false, fmt.Errorf("serve HTTP: %w", err)
	case err := <-p.orphaned:
		if err != nil {
			return false, err
		}
		deps.Log.Warn("scorer ends: its supervisor is gone", "grace", cfg.OrphanGrace)
		if cfg.OrphanGrace == 0 {
			return false, nil
		}
	}
	limit := time.NewTimer(cfg.Limits.DrainTimeout)
	defer limit.Stop()
	select {
	case <-handler.Drain():
	case <-limit.C:
		deps.Log.Warn("scorer ends with requests running: the drain took too long", "limit", cfg.Limits.DrainTimeout)
	case err := <-p.workers:
		return true, err
	}
	return false, nil
}

// endHTTP lets responses out for a while, then closes what is left.
func endHTTP(ctx context.Context, s *http.Server) {
	ctx, cancel := context.WithTimeout(ctx, lastResponses)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		_ = s.Close()
	}
}

// report turns a script that can't be loaded into a StartError, with the details on stderr, and one that keeps dying into a
// CrashLoopError.
func report(err error, stderr *os.File) error {
	var loop *worker.CrashLoopError
	if errors.As(err, &loop) {
		return &CrashLoopError{Cause: loop.Cause}
	}
	var load *worker.LoadError
	if !errors.As(err, &load) {
		return err
	}
	if load.Detail != "" {
		_, _ = fmt.Fprintln(stderr, strings.TrimRight(load.Detail, "\n"))
	}
	return &StartError{Reason: load.Reason, Cause: load.Cause}
}

func workerConfig(cfg Config, environ []string) worker.Config {
	// Of a variable that is there twice, the last counts: the first line gives defaults.
	env := append([]string{"PYTHONDONTWRITEBYTECODE=1", "AML_APP_ROOT=" + cfg.SourceDir}, environ...)
	env = append(env, "PYTHONUNBUFFERED=1", "AZUREML_ENTRY_SCRIPT="+cfg.EntryScript)
	if cfg.ModelDir != "" {
		env = append(env, "AZUREML_MODEL_DIR="+cfg.ModelDir)
	}
	if cfg.ModelsRoot != "" {
		env = append(env, "FAIRLEAD_MODELS_ROOT="+cfg.ModelsRoot)
	}
	return worker.Config{
		Python: cfg.Python, Program: filepath.Join(cfg.RunDir, python.Worker),
		Script: cfg.EntryScript, SourceDir: cfg.SourceDir, Env: env,
		Workers: cfg.Workers, MaxQueue: cfg.Limits.MaxQueue,
		Timeout: cfg.Limits.ScoringTimeout, CancelGrace: cfg.Limits.CancelGrace, MemoryLimited: cfg.MemoryLimited,
	}
}

func writeError(w io.Writer, err error) {
	_, _ = fmt.Fprintln(w, "scorer:", err)
}
