//go:build unix && !linux

package childprocess

import "syscall"

// Attributes make a process the leader of a group. Where there is no death signal, a process that does not notice by itself that
// the scorer is gone outlives it.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
