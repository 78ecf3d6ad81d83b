package accelerator_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/accelerator"
	"github.com/fairlead/fairlead/services/compute/internal/placement"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for bus, text := range map[string]string{
		"0000:18:00.0": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 16\nGPU UUID: \t GPU-11111111-2222\nBus Type: \t PCIe\n",
		"0000:2a:00.0": "Model: \t\t NVIDIA H100 80GB HBM3\nGPU UUID: \t GPU-????????-????\n",
		"0000:00:1e.0": "Model: \t\t Tesla T4\nGPU UUID: \t GPU-33333333-4444\n",
	} {
		if err := os.Mkdir(filepath.Join(dir, bus), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, bus, "information"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := []placement.Device{
		{ID: "GPU-33333333-4444", Model: "Tesla T4", Present: true},
		{ID: "GPU-11111111-2222", Model: "NVIDIA H100 80GB HBM3", Present: true},
	}
	if diff := cmp.Diff(want, accelerator.Find(dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := accelerator.Find(filepath.Join(dir, "none")); got != nil {
		t.Errorf("without a driver: %+v", got)
	}
}
