// Package interpreter knows the Pythons of this machine and chooses the one that
// replicas run with: one that has what a script's environment asks, or without
// an environment the one that has most of the packages that scripts import.
//
// An interpreter is asked once what it is and has, and again when its program or
// one of its package folders has changed. A Finder is safe for concurrent use.
package interpreter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/platform/requirement"
	"github.com/fairlead/fairlead/services/compute/internal/pythonenv"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// Interpreter is a Python that runs.
type Interpreter struct {
	Path    string `json:"path"` // of the program itself, not of a shim
	Version string `json:"version"`
	// Packages are the versions of what is installed, by requirement.Key of the name.
	Packages map[string]string `json:"packages"`
	// Markers are the values that markers of requirements ask about.
	Markers map[string]string `json:"markers"`
	// Folders are where packages are looked for.
	Folders []string `json:"folders"`
}

// Usual gives those of the usual scoring packages that it has, as they are imported.
func (i Interpreter) Usual() []string {
	var out []string
	for _, p := range usual() {
		if _, ok := i.Packages[p.distribution]; ok {
			out = append(out, p.module)
		}
	}
	return out
}

// usual are the packages that decide between interpreters.
func usual() []struct{ module, distribution string } {
	return []struct{ module, distribution string }{
		{"sklearn", "scikit-learn"}, {"numpy", "numpy"}, {"pandas", "pandas"}, {"joblib", "joblib"}, {"torch", "torch"}, {"onnxruntime", "onnxruntime"},
	}
}

// ErrNone says that no Python was found.
var ErrNone = errors.New("no Python 3 was found: install python3, or name one in the configuration")

const probeTimeout = 15 * time.Second

// probe prints what an interpreter is and has, without importing any of it.
const probe = `import sys, os, json, platform, importlib.metadata as m
packages = {}
for d in m.distributions():
    try:
        name = d.metadata["Name"]
        if name and name not in packages:
            packages[name] = d.version or ""
    except Exception:
        pass
v = sys.version_info
full = platform.python_version()
print(json.dumps({"path": sys.executable, "version": "%d.%d.%d" % v[:3], "packages": packages,
 "folders": [p for p in sys.path if p and os.path.isdir(p)],
 "markers": {"python_version": "%d.%d" % v[:2], "python_full_version": full, "os_name": os.name, "sys_platform": sys.platform,
  "platform_release": platform.release(), "platform_system": platform.system(), "platform_version": platform.version(),
  "platform_machine": platform.machine(), "platform_python_implementation": platform.python_implementation(),
  "implementation_name": sys.implementation.name, "implementation_version": full}}))`

// Config says where to look.
type Config struct {
	// Programs are the interpreters to choose from, in this order; none means
	// those of the active virtual environment, of the search path and of /usr/bin.
	Programs []string
	// SearchPath is the value of PATH.
	SearchPath string
	// VirtualEnv is the folder of the active virtual environment; empty for none.
	VirtualEnv string
	// Environments is the folder with one virtual environment for each digest of
	// what is asked; empty for none.
	Environments string
}

// FromEnvironment gives the configuration that this process's variables make;
// configured holds programs with colons between them.
func FromEnvironment(configured, environments string) Config {
	return Config{
		Programs:   slices.DeleteFunc(filepath.SplitList(configured), func(p string) bool { return p == "" }),
		SearchPath: os.Getenv("PATH"), VirtualEnv: os.Getenv("VIRTUAL_ENV"), Environments: environments,
	}
}

// Finder finds interpreters and remembers what they are.
type Finder struct {
	cfg Config

	mu    sync.Mutex
	known map[string]answer // by program
}

// answer is what a program has said of itself, and how its files looked then.
type answer struct {
	interpreter Interpreter
	files       string
}

// NewFinder makes a Finder.
func NewFinder(cfg Config) *Finder { return &Finder{cfg: cfg, known: map[string]answer{}} }

// Default gives the interpreter of scripts that ask nothing: the one with most
// of the usual packages.
func (f *Finder) Default(ctx context.Context) (Interpreter, error) {
	all, err := f.all(ctx)
	if err != nil {
		return Interpreter{}, err
	}
	return slices.MaxFunc(all, func(a, b Interpreter) int { return len(a.Usual()) - len(b.Usual()) }), nil
}

// For gives an interpreter that has what is asked; a *pythonenv.MismatchError
// when there is none.
func (f *Finder) For(ctx context.Context, ask *workload.Python) (Interpreter, error) {
	switch {
	case ask == nil:
		return f.Default(ctx)
	case ask.InterpreterPath != "":
		found, err := f.ask(ctx, ask.InterpreterPath)
		if err != nil {
			return Interpreter{}, fmt.Errorf("the environment's interpreter %s does not work on this machine: %w", ask.InterpreterPath, err)
		}
		return f.suit(*ask, []Interpreter{found})
	case ask.UserManaged:
		return f.Default(ctx)
	}
	var all []Interpreter
	if own := f.folder(*ask); own != "" {
		if found, err := f.ask(ctx, filepath.Join(own, "bin", "python")); err == nil {
			all = append(all, found)
		}
	}
	rest, err := f.all(ctx)
	if err != nil && len(all) == 0 {
		return Interpreter{}, err
	}
	slices.SortStableFunc(rest, func(a, b Interpreter) int { return len(b.Usual()) - len(a.Usual()) })
	return f.suit(*ask, append(all, rest...))
}

// suit gives the first that lacks nothing.
func (f *Finder) suit(ask workload.Python, all []Interpreter) (Interpreter, error) {
	var best *pythonenv.MismatchError
	for _, one := range all {
		have := pythonenv.Interpreter{Path: one.Path, Version: one.Version, Packages: one.Packages, Markers: one.Markers}
		lack := pythonenv.Check(ask, have)
		if len(lack) == 0 {
			return one, nil
		}
		if best == nil || len(lack) < len(best.Lack) {
			best = &pythonenv.MismatchError{Ask: ask, Have: have, Lack: lack, Folder: f.folder(ask)}
		}
	}
	return Interpreter{}, best
}

func (f *Finder) folder(ask workload.Python) string {
	if f.cfg.Environments == "" {
		return ""
	}
	return filepath.Join(f.cfg.Environments, pythonenv.Digest(ask))
}

// all gives every interpreter that works, each once; at least one.
func (f *Finder) all(ctx context.Context) ([]Interpreter, error) {
	var out []Interpreter
	var failures []error
	for _, candidate := range f.candidates() {
		found, err := f.ask(ctx, candidate)
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("the configured Python %s does not work: %w", candidate, err))
		case !slices.ContainsFunc(out, func(i Interpreter) bool { return i.Path == found.Path }):
			out = append(out, found)
		}
	}
	// An interrupted search has perhaps not seen the best.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch {
	case len(out) == 0 && len(f.cfg.Programs) > 0:
		return nil, errors.Join(failures...)
	case len(out) == 0:
		return nil, ErrNone
	}
	return out, nil
}

func (f *Finder) candidates() []string {
	if len(f.cfg.Programs) > 0 {
		return f.cfg.Programs
	}
	var out []string
	if f.cfg.VirtualEnv != "" {
		out = append(out, filepath.Join(f.cfg.VirtualEnv, "bin", "python"))
	}
	for _, dir := range append(filepath.SplitList(f.cfg.SearchPath), "/usr/bin") {
		file := filepath.Join(dir, "python3")
		if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 && !slices.Contains(out, file) {
			out = append(out, file)
		}
	}
	return out
}

// ask gives what a program says of itself, from memory while nothing has changed.
func (f *Finder) ask(ctx context.Context, program string) (Interpreter, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, ok := f.known[program]; ok && known.files == look(program, known.interpreter) {
		return known.interpreter, nil
	}
	found, err := query(ctx, program)
	if err != nil {
		delete(f.known, program)
		return Interpreter{}, err
	}
	f.known[program] = answer{interpreter: found, files: look(program, found)}
	return found, nil
}

// look describes how the files of an interpreter are now: installing or
// removing a package changes its folder.
func look(program string, i Interpreter) string {
	var b strings.Builder
	for _, file := range append([]string{program, i.Path}, i.Folders...) {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// query asks one interpreter what it is and has.
func query(ctx context.Context, program string) (Interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-c", probe)
	cmd.WaitDelay = time.Second
	cmd.Dir = "/" // the folder of this process must not be among those of packages
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
			return Interpreter{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return Interpreter{}, err
	}
	var found Interpreter
	if err := json.Unmarshal(out, &found); err != nil {
		return Interpreter{}, fmt.Errorf("read what %s says of itself: %w", program, err)
	}
	if !strings.HasPrefix(found.Version, "3.") || found.Path == "" {
		return Interpreter{}, fmt.Errorf("%s is Python %q, not 3", program, found.Version)
	}
	byKey := make(map[string]string, len(found.Packages))
	for name, version := range found.Packages {
		byKey[requirement.Key(name)] = version
	}
	found.Packages = byKey
	return found, nil
}
