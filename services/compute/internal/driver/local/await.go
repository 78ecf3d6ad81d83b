package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/proc"
)

// exitStatus is how a process ended, as far as that can be known.
type exitStatus struct {
	known  bool
	code   int
	signal syscall.Signal
}

// await blocks until the process has ended, ends what it left behind and reaps
// it. In this order its session's number can't be anybody else's yet. It gives
// up, with false, when ctx ends first.
func (p *process) await(ctx context.Context) (exitStatus, bool) {
	if err := awaitExit(ctx, p.pid); err != nil {
		if ctx.Err() != nil {
			return exitStatus{}, false
		}
		p.driver.log.Warn("the end of a replica is looked for instead of being told", "replica", p.launch.Replica, "error", err)
		if !pollExit(ctx, p.pid) {
			return exitStatus{}, false
		}
	}
	p.endRest()
	if p.cmd == nil {
		return exitStatus{}, true
	}
	if err := p.cmd.Wait(); err != nil && p.cmd.ProcessState == nil {
		return exitStatus{}, true
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return exitStatus{}, true
	}
	out := exitStatus{known: true, code: status.ExitStatus()}
	if status.Signaled() {
		out.signal = status.Signal()
	}
	return out, true
}

// awaitExit blocks, without a thread of its own, until a process has ended or ctx has.
func awaitExit(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	if err := file.SetReadDeadline(time.Time{}); err != nil { // refused where the kernel cannot tell of the end
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 && err == nil
	})
	if err != nil {
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	return nil
}

const exitPause = 50 * time.Millisecond

// pollExit looks again and again whether a process has ended; false when ctx ends first.
func pollExit(ctx context.Context, pid int) bool {
	tick := time.NewTicker(exitPause)
	defer tick.Stop()
	for {
		if info, err := proc.Stat(pid); err != nil || info.Zombie {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}
