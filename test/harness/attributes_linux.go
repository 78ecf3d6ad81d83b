package harness

import "syscall"

// attributes let a process end with the thread that started it, and so with the
// test. Its own group keeps a Ctrl-C at the terminal from it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
