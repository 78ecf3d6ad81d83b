// Package interpreter chooses the Python that replicas run with: the one that
// has most of the packages that scoring scripts import. It keeps no state and
// is safe for concurrent use.
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
	"time"
)

// Interpreter is a Python that runs.
type Interpreter struct {
	Path     string   `json:"path"` // of the program itself, not of a shim
	Version  string   `json:"version"`
	Packages []string `json:"packages"` // those of Wanted that it has
}

// ErrNone says that no Python was found.
var ErrNone = errors.New("no Python 3 was found: install python3, or name one in the configuration")

const probeTimeout = 15 * time.Second

// probe prints what an interpreter is and has, without importing anything big.
const probe = `import sys, json, importlib.util
print(json.dumps({"path": sys.executable, "version": ".".join(map(str, sys.version_info[:3])),
 "packages": [p for p in %s if importlib.util.find_spec(p)]}))`

// wanted are the packages that decide between interpreters.
func wanted() []string {
	return []string{"sklearn", "numpy", "pandas", "joblib", "torch", "onnxruntime"}
}

// Choose gives the configured interpreter, or else the best of those on path
// and of /usr/bin.
func Choose(ctx context.Context, configured, path string) (Interpreter, error) {
	if configured != "" {
		found, err := Probe(ctx, configured)
		if err != nil {
			return Interpreter{}, fmt.Errorf("the configured Python %s does not work: %w", configured, err)
		}
		return found, nil
	}
	var best Interpreter
	var seen []string
	for _, candidate := range candidates(path) {
		found, err := Probe(ctx, candidate)
		if err != nil || slices.Contains(seen, found.Path) {
			continue
		}
		seen = append(seen, found.Path)
		if best.Path == "" || len(found.Packages) > len(best.Packages) {
			best = found
		}
	}
	// An interrupted search has perhaps not seen the best.
	if err := ctx.Err(); err != nil {
		return Interpreter{}, err
	}
	if best.Path == "" {
		return Interpreter{}, ErrNone
	}
	return best, nil
}

// Probe asks one interpreter what it is.
func Probe(ctx context.Context, program string) (Interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	names, err := json.Marshal(wanted())
	if err != nil {
		return Interpreter{}, err
	}
	cmd := exec.CommandContext(ctx, program, "-c", fmt.Sprintf(probe, names))
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
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
	return found, nil
}

func candidates(path string) []string {
	var out []string
	for _, dir := range append(filepath.SplitList(path), "/usr/bin") {
		file := filepath.Join(dir, "python3")
		if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 && !slices.Contains(out, file) {
			out = append(out, file)
		}
	}
	return out
}
