package cgroup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/cgroup"
)

// tree makes a folder with these files, as a mount of control groups has them.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDetect(t *testing.T) {
	v1 := map[string]string{"cpu/a/cpu.cfs_quota_us": "-1", "memory/b/c/memory.limit_in_bytes": "0"}
	tests := []struct {
		name        string
		files       map[string]string
		self        string
		version     int
		cpu, memory bool
	}{
		{"version 1, below the own groups", v1, "4:memory:/b/c\n1:cpu,cpuacct:/a\n0::/\n", 1, true, true},
		{"version 1, memory only", v1, "4:memory:/b/c\n1:cpu:/elsewhere\n", 1, false, true},
		{"version 2 with delegation", map[string]string{"me/cgroup.subtree_control": ""}, "0::/me\n", 2, true, true},
		{"version 2 without", map[string]string{"me/cgroup.procs": ""}, "0::/me\n", 0, false, false},
		{"nothing", nil, "", 0, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := cgroup.Detect(tree(t, tt.files), tt.self)
			if got.Version() != tt.version || got.CPU() != tt.cpu || got.Memory() != tt.memory {
				t.Errorf("version %d, cpu %v, memory %v", got.Version(), got.CPU(), got.Memory())
			}
		})
	}
}

func TestNoLimitsNoGroup(t *testing.T) {
	l := cgroup.Detect(tree(t, map[string]string{"memory/memory.limit_in_bytes": "0"}), "4:memory:/\n")
	for name, limits := range map[string]cgroup.Limits{"none": {}, "only one that can't be enforced": {MilliCPU: 500}} {
		if g, err := l.Create("g", limits); g != nil || err != nil {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
	var none *cgroup.Group
	if none.LimitsMemory() || none.OOMKills() != 0 || none.Remove() != nil {
		t.Error("no group limits nothing")
	}
}

func TestGroupsThatCannotBeLimitedAreNotKept(t *testing.T) {
	root := tree(t, map[string]string{"memory/memory.limit_in_bytes": "0"})
	l := cgroup.Detect(root, "4:memory:/\n")
	// The kernel would put its files into the new folder; here they are missing.
	if _, err := l.Create("g", cgroup.Limits{MemoryBytes: 1 << 20}); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("err = %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "memory", "g")); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}
