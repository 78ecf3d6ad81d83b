// Package accelerator finds the graphics processors of this machine in what the
// NVIDIA driver writes below /proc, without linking to its library. It keeps no
// state and is safe for concurrent use.
package accelerator

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/services/compute/internal/placement"
)

// Folder is where the driver describes its devices.
const Folder = "/proc/driver/nvidia/gpus"

// Find gives the devices described below folder, in the order of their bus
// addresses; none where there is no driver.
func Find(folder string) []placement.Device {
	found, err := filepath.Glob(filepath.Join(folder, "*", "information"))
	if err != nil {
		return nil
	}
	slices.Sort(found)
	var out []placement.Device
	for _, file := range found {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if d := parse(string(data)); d.ID != "" {
			out = append(out, d)
		}
	}
	return out
}

func parse(text string) placement.Device {
	d := placement.Device{Present: true}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "Model":
			d.Model = value
		case "GPU UUID":
			if !strings.Contains(value, "?") { // the driver writes question marks until the device is first used
				d.ID = value
			}
		}
	}
	return d
}
