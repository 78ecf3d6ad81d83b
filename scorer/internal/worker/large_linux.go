package worker

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func newLargeBody(size int64) (*LargeBody, error) {
	fd, err := unix.MemfdCreate("fairlead-request", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // as where there are no such files: the body goes the usual way
	}
	b := &LargeBody{file: os.NewFile(uintptr(fd), "request body")}
	if err := b.file.Truncate(size); err != nil {
		b.Close()
		return nil, fmt.Errorf("make room for a large body: %w", err)
	}
	// A worker that cut the file would kill the scorer, which has it mapped.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		b.Close()
		return nil, fmt.Errorf("seal a large body: %w", err)
	}
	if b.bytes, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		b.Close()
		return nil, fmt.Errorf("map a large body: %w", err)
	}
	return b, nil
}

// Close gives the memory back, once no worker uses it any more.
func (b *LargeBody) Close() {
	if b.bytes != nil {
		_ = unix.Munmap(b.bytes)
		b.bytes = nil
	}
	_ = b.file.Close()
}
