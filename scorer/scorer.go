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
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/cors"
	"github.com/fairlead/fairlead/scorer/internal/front"
	"github.com/fairlead/fairlead/scorer/internal/gate"
	"github.com/fairlead/fairlead/scorer/internal/lifeline"
	"github.com/fairlead/fairlead/scorer/internal/oip"
	"github.com/fairlead/fairlead/scorer/internal/onnxruntime"
	"github.com/fairlead/fairlead/scorer/internal/script"
	"github.com/fairlead/fairlead/scorer/internal/server"
	"github.com/fairlead/fairlead/scorer/internal/swagger"
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
	// Listener, if not nil, is served on instead of a new one at the configuration's address. Run closes it.
	Listener net.Listener
}

func (d Deps) complete(cfg Config) Deps {
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
		level, _ := cfg.logLevel() // a wrong one is refused before anything is logged
		d.Log = slog.New(slog.NewTextHandler(d.Stderr, &slog.HandlerOptions{Level: level}))
	}
	if d.Version == "" {
		d.Version = unversioned
	}
	return d
}

// StartError says in one line why the script can't serve.
type StartError struct {
	// Reason is a stable word for programs: ScriptError, MissingPackage, NoInit, NoRun, PythonMissing, ModelError, OnnxRuntimeMissing.
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
	deps = deps.complete(cfg)
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
	for _, note := range cfg.Notes {
		deps.Log.Warn(note)
	}
	parts, err := assemble(cfg, deps)
	if err != nil {
		return err
	}
	defer parts.close()
	listeners, err := listen(ctx, cfg, deps.Listener)
	if err != nil {
		return err
	}
	listener := listeners[0]
	deps.Log.Info("scorer listens", "address", listener.Addr().String(), "service", cfg.ServiceName, "runtime", cfg.Runtime)
	if err := announce(cfg.AddressFile, listener.Addr()); err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	if deps.OnListen != nil {
		deps.OnListen(listener.Addr())
	}
	return parts.serve(ctx, cfg, deps, listeners)
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

// runtime answers in a scorer.
type runtime interface {
	server.Runtime
	// Run keeps it able to answer until ctx ends. It fails with a *worker.LoadError when it can't begin to, with a
	// *worker.CrashLoopError when it ends again and again.
	Run(ctx context.Context) error
}

// parts are what a scorer is made of.
type parts struct {
	runtime runtime
	// model gives the model that answers in tensors, once the runtime is loaded, or says why it can't; nil where a runtime has none.
	model func() (oip.Model, error)
	// inference answers the Open Inference Protocol; nil without model.
	inference http.Handler
	// passthrough answers all other paths; nil where there are none.
	passthrough http.Handler
	gate        *gate.Gate
	// schemas describes what /score takes and gives, once the runtime is loaded; nil for anything. ownSwagger are the user's own documents.
	schemas    func() swagger.Schemas
	ownSwagger swagger.Files
	// close gives back what assemble took, once all has ended.
	close func()
}

// assemble makes the runtime that the configuration names and what goes with it; nothing runs yet.
func assemble(cfg Config, deps Deps) (*parts, error) {
	p, err := assembleRuntime(cfg, deps)
	if err != nil {
		return nil, err
	}
	p.serveTensors(cfg, deps)
	return p, nil
}

func assembleRuntime(cfg Config, deps Deps) (*parts, error) {
	switch cfg.Runtime {
	case script.Name:
		return assembleScript(cfg, deps)
	case scikitLearn:
		return assembleScikitLearn(cfg, deps)
	case onnxruntime.Name:
		return assembleONNX(cfg, deps)
	case front.Name:
		return assembleCustom(cfg, deps)
	}
	return nil, &ConfigError{[]error{unknownRuntime(cfg.Runtime)}}
}

// serve runs the parts and ends them in order: requests, runtime, server.
func (p *parts) serve(ctx context.Context, cfg Config, deps Deps, listeners []net.Listener) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	handler, err := p.handler(cfg, deps)
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	httpServer := newHTTPServer(p.reporter(cfg.Threads).Wrap(handler), deps.Log)
	ends := &ends{runtime: make(chan error, 1), http: make(chan error, len(listeners)), orphaned: make(chan error, 1)}
	go func() { ends.runtime <- p.runtime.Run(inner) }()
	for _, l := range listeners {
		go func() { ends.http <- httpServer.Serve(l) }()
	}
	if cfg.SupervisorLock != "" {
		go func() { ends.orphaned <- lifeline.Watch(inner, cfg.SupervisorLock, cfg.OrphanGrace) }()
	}

	runtimeEnded, err := ends.await(ctx, cfg, deps, handler)
	// Requests that still run get an answer that says why they are cut off.
	stop()
	endHTTP(context.WithoutCancel(ctx), httpServer)
	if !runtimeEnded {
		err = errors.Join(err, <-ends.runtime)
	}
	return report(err, deps.Stderr)
}

// handler makes the HTTP side of the parts.
func (p *parts) handler(cfg Config, deps Deps) (*server.Server, error) {
	origins, err := cors.Parse(cfg.CORSOrigins)
	if err != nil {
		return nil, &ConfigError{[]error{fmt.Errorf("cors-origins: %w", err)}}
	}
	product := "fairlead/" + deps.Version
	if cfg.HideVersion {
		product = ""
	}
	service := swagger.Service{Name: cfg.ServiceName, Version: cfg.ServiceVersion, PathPrefix: cfg.ServicePathPrefix}
	return server.New(
		server.Config{Service: cfg.ServiceName, Product: product},
		server.Deps{
			Runtime: p.runtime, Gate: p.gate, Inference: p.inference, Passthrough: p.passthrough,
			Swagger: swagger.New(service, p.ownSwagger, p.schemas), Origins: origins,
		},
	), nil
}

// newHTTPServer serves HTTP/1.1, and HTTP/2 without TLS for gRPC.
func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: handler, Protocols: &protocols,
		ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ends are the ends of what serve runs.
type ends struct{ runtime, http, orphaned chan error }

// await blocks until the scorer has to end and has drained as far as it may.
func (e *ends) await(ctx context.Context, cfg Config, deps Deps, handler *server.Server) (runtimeEnded bool, err error) {
	select {
	case <-ctx.Done():
		deps.Log.Info("scorer drains: it was told to end")
	case <-handler.DrainAsked():
		deps.Log.Info("scorer drains: a drain was asked for")
	case err := <-e.runtime:
		return true, err
	case err := <-e.http:
		return false, fmt.Errorf("serve HTTP: %w", err)
	case err := <-e.orphaned:
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
	case err := <-e.runtime:
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

func writeError(w io.Writer, err error) {
	_, _ = fmt.Fprintln(w, "scorer:", err)
}
