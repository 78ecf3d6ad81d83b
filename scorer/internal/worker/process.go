package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/frame"
)

const (
	workerFD = 3 // the first that a child gets beyond the standard three
	// lastWords is how long frames of a process that has ended may take to arrive.
	lastWords = 250 * time.Millisecond
	// farewell is how long a process that was asked to end may take.
	farewell = time.Second
	// scriptError is the reason of a script that cannot be loaded, unless a better one is known.
	scriptError = "ScriptError"
)

// process is one Python process.
type process struct {
	cmd *exec.Cmd
	// inUse is held during an exchange: the socket has one user at a time, and is closed only between two.
	inUse        sync.Mutex
	conn         *net.UnixConn
	reader       *bufio.Reader
	wantsHeaders bool
	answered     atomic.Int64
	serving      atomic.Bool // it holds a request, or held one when it ended

	ended      chan struct{} // closed when the process is gone and its group killed
	exit       string        // how it ended; valid after ended
	asked      bool          // the scorer ended it; valid after ended
	condemned  atomic.Bool   // the scorer decided its end
	retired    chan struct{} // closed when the process has been told to end, or said it will
	retireOnce sync.Once

	memoryLimited bool
}

// spawn starts a worker process. It must run on a thread that outlives the process.
func spawn(cfg Config, deps Deps) (*process, error) {
	conn, child, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer child.Close()
	//nolint:noctx // a context would kill the worker where the pool lets it end by itself first
	cmd := exec.Command(cfg.Python, cfg.Program, strconv.Itoa(workerFD))
	cmd.Env = cfg.Env
	cmd.Dir = cfg.SourceDir
	cmd.Stdout, cmd.Stderr = deps.Stdout, deps.Stderr
	cmd.ExtraFiles = []*os.File{child}
	cmd.SysProcAttr = processAttributes()
	if err := cmd.Start(); err != nil {
		_ = conn.Close()
		return nil, &LoadError{Reason: "PythonMissing", Cause: fmt.Sprintf("start the Python interpreter %s: %v", cfg.Python, err)}
	}
	return &process{
		cmd: cmd, conn: conn, reader: bufio.NewReaderSize(conn, 16<<10),
		ended: make(chan struct{}), retired: make(chan struct{}), memoryLimited: cfg.MemoryLimited,
	}, nil
}

// wait reaps the process, ends what it left behind and closes its socket.
func (p *process) wait() {
	err := p.cmd.Wait()
	p.exit = describeExit(p.cmd.ProcessState, err, p.memoryLimited)
	if p.asked = p.condemned.Load(); p.asked {
		p.exit = "ended by the scorer"
	}
	p.kill()
	close(p.ended)
	// A last reply may still lie in the socket; a descendant outside of the group may hold the other end open.
	_ = p.conn.SetReadDeadline(time.Now().Add(lastWords))
	p.inUse.Lock()
	defer p.inUse.Unlock()
	_ = p.conn.Close()
}

// kill ends the process and its descendants at once.
func (p *process) kill() {
	p.retire()
	select {
	case <-p.ended:
		return // the process id may be another's by now
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
}

// condemn kills a process that may be well.
func (p *process) condemn() {
	p.condemned.Store(true)
	p.kill()
}

// retire marks the process as one that must be replaced.
func (p *process) retire() { p.retireOnce.Do(func() { close(p.retired) }) }

// end lets an idle process end by itself, and kills a busy or unwilling one. It returns when the process is gone.
func (p *process) end() {
	if p.inUse.TryLock() {
		_ = p.conn.CloseWrite()
		p.inUse.Unlock()
	} else {
		p.condemn()
	}
	p.awaitEnd()
	select {
	case <-p.ended:
	default:
		p.condemn()
		<-p.ended
	}
}

// load has the process import the script and call init(). It takes as long as init() does, or until ctx ends.
func (p *process) load(ctx context.Context, cfg Config) error {
	stop := context.AfterFunc(ctx, p.condemn)
	defer stop()
	order, err := json.Marshal(loadOrder{Type: "load", Script: cfg.Script, SourceDir: cfg.SourceDir})
	if err != nil {
		return fmt.Errorf("encode the load order: %w", err)
	}
	p.inUse.Lock()
	answer, body, err := p.exchange(order, nil)
	p.inUse.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		p.kill()
		<-p.ended
		return &LoadError{Reason: scriptError, Cause: "the Python process ended while it loaded the script: " + p.exit}
	case answer.Type == "loaded":
		p.wantsHeaders = answer.RequestHeaders
		return nil
	case answer.Type == "load_failed":
		return &LoadError{Reason: answer.Reason, Cause: answer.Cause, Detail: string(body)}
	}
	return fmt.Errorf("the worker answered a load order with %q", answer.Type)
}

// score runs one request. After an error other than that of a bad request the process is gone or about to be.
func (p *process) score(ctx context.Context, cfg Config, req Request) (*Reply, error) {
	header, err := req.header(p.wantsHeaders)
	if err != nil {
		return nil, err
	}
	release := p.begin(ctx, cfg)
	select {
	case <-p.ended:
		release()
		return nil, errNotSent
	default:
	}
	p.serving.Store(true)
	answer, body, err := p.exchange(header, req.Body)
	if err != nil {
		if errors.Is(err, errNotSent) {
			p.serving.Store(false)
		}
		release()
		return nil, p.failure(ctx, cfg, err)
	}
	switch {
	case answer.Type != "reply":
		release()
		p.condemn()
		return nil, &CrashError{Cause: fmt.Sprintf("it answered a request with %q", answer.Type)}
	case answer.Outcome == exited:
		release()
		p.retire()
		return nil, ErrExited
	}
	p.answered.Add(1)
	reply := &Reply{
		Outcome: answer.Outcome, Message: answer.Message, ExecMS: answer.ExecMS,
		Status: answer.Status, Headers: answer.Headers, Body: body,
	}
	if !answer.Stream {
		p.serving.Store(false)
		release()
		return reply, nil
	}
	reply.stream = &stream{process: p, release: release, fail: func(err error) error { return p.failure(ctx, cfg, err) }}
	return reply, nil
}

// begin starts an exchange and bounds it by the script's time limit and, once the caller is gone, by the grace. The result must be
// called when the exchange is over.
func (p *process) begin(ctx context.Context, cfg Config) (release func()) {
	p.inUse.Lock()
	limit := time.Now().Add(cfg.Timeout)
	_ = p.conn.SetDeadline(limit)
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		if grace := time.Now().Add(cfg.CancelGrace); grace.Before(limit) {
			_ = p.conn.SetDeadline(grace)
		}
	})
	return func() {
		if !stop() {
			<-fired
		}
		p.inUse.Unlock()
	}
}

func (p *process) exchange(header, body []byte) (message, []byte, error) {
	if err := frame.Write(p.conn, header, body); err != nil {
		// A worker that got some of the request may have ended because of it; the next one would, too.
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, frame.ErrCutOff) {
			return message{}, nil, err
		}
		return message{}, nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	return p.receive()
}

func (p *process) receive() (message, []byte, error) {
	header, body, err := frame.Read(p.reader)
	if err != nil {
		return message{}, nil, err
	}
	var m message
	if err := json.Unmarshal(header, &m); err != nil {
		return message{}, nil, fmt.Errorf("read a frame's header: %w", err)
	}
	return m, body, nil
}

// failure kills the process and says why the exchange failed.
func (p *process) failure(ctx context.Context, cfg Config, err error) error {
	late := errors.Is(err, os.ErrDeadlineExceeded)
	select {
	case <-p.ended:
		late = false
	default:
	}
	switch {
	case late:
		p.condemn()
	case !errors.Is(err, errNotSent):
		// It is ending by itself; a signal now would hide how.
		p.awaitEnd()
	}
	p.kill()
	switch {
	case errors.Is(err, errNotSent):
		return errNotSent
	case late && ctx.Err() != nil:
		return ctx.Err()
	case late:
		return &TimeoutError{Limit: cfg.Timeout}
	}
	<-p.ended
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, os.ErrDeadlineExceeded, frame.ErrCutOff} {
		if errors.Is(err, gone) {
			return &CrashError{Cause: p.exit}
		}
	}
	return &CrashError{Cause: "it broke the protocol: " + err.Error()}
}

// awaitEnd gives a process that has closed its socket the time to end.
func (p *process) awaitEnd() {
	p.retire()
	patience := time.NewTimer(farewell)
	defer patience.Stop()
	select {
	case <-p.ended:
	case <-patience.C:
	}
}

func describeExit(state *os.ProcessState, err error, memoryLimited bool) string {
	if state == nil {
		return err.Error()
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		text := fmt.Sprintf("killed by signal %d (%s)", status.Signal(), status.Signal())
		switch {
		case status.Signal() != syscall.SIGKILL:
		case memoryLimited:
			text += "; the memory limit may be too low"
		default:
			text += " from outside; if nobody did that, memory has run out"
		}
		return text
	}
	return fmt.Sprintf("exit code %d", state.ExitCode())
}

// socketPair gives the scorer's end and the worker's end.
func socketPair() (*net.UnixConn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make a worker's socket pair: %w", err)
	}
	child := os.NewFile(uintptr(fds[1]), "worker")
	own := os.NewFile(uintptr(fds[0]), "scorer")
	defer own.Close()
	conn, err := net.FileConn(own)
	if err != nil {
		child.Close()
		return nil, nil, fmt.Errorf("use a worker's socket: %w", err)
	}
	return conn.(*net.UnixConn), child, nil
}
