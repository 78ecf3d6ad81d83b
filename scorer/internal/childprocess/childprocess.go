// Package childprocess has what every process that a scorer starts needs: it leads a group of its own, dies with the scorer, and its
// end is told in plain words.
//
// It has no state; its functions may be called from any goroutine.
package childprocess

import (
	"fmt"
	"os"
	"syscall"
)

// DescribeExit says how a process ended. memoryLimited says that it ran under a memory limit.
func DescribeExit(state *os.ProcessState, err error, memoryLimited bool) string {
	if state == nil {
		return err.Error()
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return DescribeCode(state.ExitCode())
	}
	return DescribeSignal(status.Signal(), memoryLimited)
}

// DescribeCode says that a process ended with an exit code.
func DescribeCode(code int) string { return fmt.Sprintf("exit code %d", code) }

// DescribeSignal says what a signal that ended a process means.
func DescribeSignal(signal syscall.Signal, memoryLimited bool) string {
	text := fmt.Sprintf("killed by signal %d (%s)", signal, signal)
	switch {
	case signal != syscall.SIGKILL:
	case memoryLimited:
		text += "; the memory limit may be too low"
	default:
		text += " from outside; if nobody did that, memory has run out"
	}
	return text
}
