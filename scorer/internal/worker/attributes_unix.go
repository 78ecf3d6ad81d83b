//go:build unix && !linux

package worker

import "syscall"

// processAttributes makes a worker the leader of a group. Where there is no death signal, a worker ends when its socket
// closes, after the request it runs.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
