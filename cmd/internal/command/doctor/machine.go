package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/settings"
)

const (
	// pythonTimeout is how long interpreters may take to say what they have.
	pythonTimeout = 60 * time.Second
	// lowSpace is where a few models fill the disk.
	lowSpace = 2 << 30
)

// dataDir checks that state can be written.
func dataDir(set settings.Settings) finding {
	dir := set.DataDir.Value
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return finding{Check: "data folder", Result: ok, Detail: dir + " does not exist; `fairlead up` makes it"}
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a folder")
	}
	if err == nil {
		err = probeWrite(dir)
	}
	if err != nil {
		return finding{
			"data folder", fail, fmt.Sprintf("%s cannot be used: %v", dir, err),
			"make it writable, or choose another with " + settings.DataDirVariable,
		}
	}
	return finding{Check: "data folder", Result: ok, Detail: dir + " is writable"}
}

func probeWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// diskSpace looks at the nearest folder above the data folder that exists.
func diskSpace(set settings.Settings) finding {
	dir := set.DataDir.Value
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	free, err := freeBytes(dir)
	switch {
	case err != nil:
		return finding{Check: "disk space", Result: warn, Detail: "not known: " + err.Error()}
	case free < lowSpace:
		return finding{"disk space", warn, output.Bytes(free) + " free at " + dir, "make room: models and logs are kept there"}
	}
	return finding{Check: "disk space", Result: ok, Detail: output.Bytes(free) + " free at " + dir}
}

// ports checks that a server could listen where it does by default.
func ports(ctx context.Context) []finding {
	var found []finding
	for _, p := range []struct{ port, what, flag string }{
		{"8080", "data plane", "--data-listen"}, {"8081", "control plane", "--control-listen"}, {"4222", "NATS", "--nats-listen"},
	} {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", p.port))
		if err != nil {
			found = append(found, finding{
				"port " + p.port, warn, fmt.Sprintf("taken by another program (%s)", p.what),
				"start with another: fairlead up " + p.flag + " 127.0.0.1:PORT",
			})
			continue
		}
		_ = l.Close()
		found = append(found, finding{Check: "port " + p.port, Result: ok, Detail: "free (" + p.what + ")"})
	}
	return found
}

func python(ctx context.Context, choose func(context.Context) (string, error)) finding {
	ctx, cancel := context.WithTimeout(ctx, pythonTimeout)
	defer cancel()
	interpreter, err := choose(ctx)
	if err != nil {
		return finding{
			"python", fail, err.Error(),
			"install Python 3 with what models need, for example: apt install python3 python3-numpy python3-sklearn",
		}
	}
	return finding{Check: "python", Result: ok, Detail: interpreter}
}

// limits looks for the kernel's means to limit what replicas take: control
// groups, version 2 or 1.
func limits() finding {
	const root = "/sys/fs/cgroup"
	version, have := "2", ""
	if controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")); err == nil {
		have = string(controllers)
	} else if hierarchies, err := os.ReadDir(root); err == nil {
		version = "1"
		for _, h := range hierarchies {
			have += " " + h.Name()
		}
	}
	var missing []string
	for _, want := range []string{"cpu", "memory"} {
		if !slices.Contains(strings.Fields(have), want) {
			missing = append(missing, want)
		}
	}
	if len(missing) > 0 {
		return finding{
			"resource limits", warn, "no control groups for " + strings.Join(missing, " and ") + ": these limits are kept less strictly",
			"on Linux, have the controllers delegated to this user",
		}
	}
	return finding{Check: "resource limits", Result: ok, Detail: "control groups version " + version + " with cpu and memory"}
}

// gpus counts the devices that the driver shows. None is not in the way.
func gpus() finding {
	devices, err := filepath.Glob("/proc/driver/nvidia/gpus/*")
	if err != nil || len(devices) == 0 {
		return finding{Check: "GPUs", Result: ok, Detail: "none found; versions that ask for one cannot be placed on this machine"}
	}
	return finding{Check: "GPUs", Result: ok, Detail: fmt.Sprintf("%d found", len(devices))}
}
