package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is one started process of an installation.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string        // the file that its stderr is added to
	ready  chan struct{} // closed by the line "ready"
	exited chan struct{} // closed when it has ended
	err    error         // how it ended; read it after exited
}

// startProcess starts a process whose stdout says "ready" in time.
func startProcess(name, log string, args, env []string) (*process, error) {
	stderr, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: log, ready: make(chan struct{}), exited: make(chan struct{})}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env, p.cmd.Stderr, p.cmd.SysProcAttr = env, stderr, attributes()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, stderr.Close())
	}
	started := make(chan error, 1)
	go func() {
		// The process ends with this thread (see attributes), so it stays as long.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		_ = stderr.Close()
		if err != nil {
			return
		}
		lines := bufio.NewScanner(stdout)
		said := false
		for lines.Scan() {
			if !said && lines.Text() == "ready" {
				said = true
				close(p.ready)
			}
		}
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, <-started
}

// awaitReady waits for the line "ready".
func (p *process) awaitReady(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-p.exited:
		return fmt.Errorf("%s ended before it was ready: %w", p.name, errors.Join(p.err, errors.New("its log says why")))
	case <-ctx.Done():
		return fmt.Errorf("%s is not ready: %w", p.name, ctx.Err())
	}
}

// awaitExit waits for the end and gives its exit code, -1 for a signal.
func (p *process) awaitExit(within time.Duration) (int, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-timer.C:
		return 0, fmt.Errorf("%s has not ended %v after it was told to", p.name, within)
	}
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) error {
	if !p.running() {
		return nil
	}
	return p.cmd.Process.Signal(s)
}

// tail gives the last lines of a file.
func tail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// environment is this process's without what would reach the program by accident.
func environment(home string, extra ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "FAIRLEAD_") && !strings.HasPrefix(v, onnxRuntimeVariable+"=") || strings.HasPrefix(v, "HOME=") || strings.HasPrefix(v, "XDG_")
	})
	return append(append(env, "HOME="+home, "NO_COLOR=1"), extra...)
}
