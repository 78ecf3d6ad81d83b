package local

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestWriteWholeByManyAtATime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "workload")
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for range 20 {
				if err := writeWhole(file, []byte(strings.Repeat(string(rune('a'+i)), 64))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	data, err := os.ReadFile(file)
	if err != nil || len(data) != 64 || strings.Trim(string(data), string(data[:1])) != "" {
		t.Errorf("the file holds %q (%v), not what one wrote", data, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("%d files are left, want 1", len(left))
	}
}
