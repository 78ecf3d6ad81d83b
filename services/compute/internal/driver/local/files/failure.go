package files

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

// DigestError says that the artefact store gave other bytes than were registered.
type DigestError struct {
	Path              string
	Want, Got         string // SHA-256
	WantSize, GotSize int64
}

// Error names the file with what was expected and what came.
func (e *DigestError) Error() string {
	return fmt.Sprintf("%s is damaged in the artefact store: expected %d bytes with SHA-256 %s, got %d bytes with %s; register or upload it again",
		e.Path, e.WantSize, e.Want, e.GotSize, e.Got)
}

// SpaceError says that a file does not fit on the disk.
type SpaceError struct {
	Path         string // of the folder
	Needed, Free int64
	cause        error
}

// Error says how much is needed and free.
func (e *SpaceError) Error() string {
	return fmt.Sprintf("the disk is full: %s needs %s, %s are free; make room, it is tried again", e.Path, size(e.Needed), size(e.Free))
}

// Unwrap gives the system's error.
func (e *SpaceError) Unwrap() error { return e.cause }

// size writes small sizes in bytes.
func size(bytes int64) string {
	const small = 10 << 20
	if bytes < small {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return resource.Memory(bytes)
}

// inSpace tells of a full disk in words.
func inSpace(err error, dir string, needed int64) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	free, _ := freeBytes(dir)
	return &SpaceError{Path: dir, Needed: needed, Free: free, cause: err}
}

// freeBytes gives what may still be written to the disk of a folder.
func freeBytes(dir string) (free int64, known bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, false
	}
	return int64(s.Bavail) * s.Bsize, true
}
