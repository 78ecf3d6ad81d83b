package local

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

// Note says what the nodes really share, and how limits are enforced.
func (d *Driver) Note() string {
	machine := fmt.Sprintf("%d processors", runtime.NumCPU())
	if memory := totalMemory(); memory > 0 {
		machine += ", " + resource.Memory(memory>>20<<20)
	}
	if n := len(d.devices); n > 0 {
		machine += fmt.Sprintf(", %d GPUs", n)
	}
	return "sizes are declared on paper: all nodes are this machine (" + machine + "); " + d.limitsNote()
}

func (d *Driver) limitsNote() string {
	cpu, memory := "processor limits are hints only", "memory limits are enforced once a second"
	kernel := fmt.Sprintf("enforced by control groups version %d", d.limiter.Version())
	if d.limiter.CPU() {
		cpu = "processor limits are " + kernel
	}
	if d.limiter.Memory() {
		memory = "memory limits are " + kernel
	}
	return cpu + ", " + memory
}

func totalMemory() int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}
