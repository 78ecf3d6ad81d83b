package childprocess

import "syscall"

// Attributes make a process the leader of a group, and have it die with the thread that started it: start it on one that lives as
// long as the process may.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
