package harness

import (
	"fmt"
	"syscall"
)

// mountDisk puts an empty disk in memory over a folder.
func mountDisk(dir string, size int64) error {
	if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return fmt.Errorf("mount a disk of %d bytes: %w", size, err)
	}
	return nil
}

// unmountDisk takes it away, also while somebody still looks at it.
func unmountDisk(dir string) error {
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the disk at %s: %w", dir, err)
	}
	return nil
}
