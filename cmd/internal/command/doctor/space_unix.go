//go:build unix

package doctor

import "golang.org/x/sys/unix"

// freeBytes gives what this user may still write at dir.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // its type differs from system to system
}
