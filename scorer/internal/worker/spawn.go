package worker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/fairlead/fairlead/scorer/internal/childprocess"
)

const (
	workerFD = 3 // the first that a child gets beyond the standard three
	// scriptError is the reason of a script that cannot be loaded, unless a better one is known.
	scriptError = "ScriptError"
)

// spawned is a process that the scorer has started itself, and must wait for.
type spawned struct {
	*process
	cmd           *exec.Cmd
	more          []*os.File // the other ends of its lanes but the first, until it gets them with the load order
	memoryLimited bool
}

// spawn starts a worker process. It must run on a thread that outlives the process.
func spawn(cfg Config, deps Deps) (*spawned, error) {
	lanes := cfg.Threads
	if cfg.Preload {
		lanes = 1
	}
	p, others, err := newProcess(lanes)
	if err != nil {
		return nil, err
	}
	defer others[0].Close()
	//nolint:noctx // a context would kill the worker where the pool lets it end by itself first
	cmd := exec.Command(cfg.Python, cfg.Program, strconv.Itoa(workerFD))
	cmd.Env = cfg.Env
	cmd.Dir = cfg.SourceDir
	cmd.Stdout, cmd.Stderr = deps.Stdout, deps.Stderr
	cmd.ExtraFiles = others[:1]
	cmd.SysProcAttr = childprocess.Attributes()
	if err := cmd.Start(); err != nil {
		p.closeLanes()
		closeAll(others[1:])
		return nil, &LoadError{Reason: "PythonMissing", Cause: fmt.Sprintf("start the Python interpreter %s: %v", cfg.Python, err)}
	}
	p.pid = cmd.Process.Pid
	return &spawned{process: p, cmd: cmd, more: others[1:], memoryLimited: cfg.MemoryLimited}, nil
}

// wait reaps the process, ends what it left behind and closes its sockets.
func (s *spawned) wait() {
	err := s.cmd.Wait()
	s.gone(childprocess.DescribeExit(s.cmd.ProcessState, err, s.memoryLimited), signalOf(s.cmd.ProcessState))
	s.closeLanes()
}

// signalOf gives the signal that ended a process, 0 when none did.
func signalOf(state *os.ProcessState) syscall.Signal {
	if state == nil {
		return 0
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal()
	}
	return 0
}

// load has the process import the script and call init(). It takes as long as init() does, or until ctx ends.
func (s *spawned) load(ctx context.Context, cfg Config) error {
	stop := context.AfterFunc(ctx, func() { s.condemn("the scorer ended") })
	defer stop()
	defer closeAll(s.more)
	return s.order(ctx, loadOrder{Script: cfg.Script, SourceDir: cfg.SourceDir, Preload: cfg.Preload, RequestsAtOnce: cfg.Threads})
}

// order sends a load order and reads the answer.
func (s *spawned) order(ctx context.Context, fields loadOrder) error {
	header, err := order(kindLoad, fields)
	if err != nil {
		return err
	}
	first := s.lanes[0]
	first.take()
	defer first.leave()
	if err := first.conn.SendFiles(header, s.more...); err != nil {
		return s.endedLoading(ctx)
	}
	f, err := first.conn.Receive()
	if err != nil {
		return s.endedLoading(ctx)
	}
	body, err := wholeBody(f)
	if err != nil {
		return err
	}
	k, rest, err := kindOf(f.Header)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case k == kindLoaded:
		return parseFields(rest, &s.facts)
	case k == kindLoadFailed:
		var why loadFailure
		if err := parseFields(rest, &why); err != nil {
			return err
		}
		return &LoadError{Reason: why.Reason, Cause: why.Cause, Detail: string(body)}
	}
	return fmt.Errorf("the worker answered a load order with a frame of kind %d", k)
}

func (s *spawned) endedLoading(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.kill()
	<-s.ended
	return &LoadError{Reason: scriptError, Cause: "the Python process ended while it loaded the script: " + s.exit}
}
