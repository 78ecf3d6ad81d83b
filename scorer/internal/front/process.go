package front

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/childprocess"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

const (
	loopback = "127.0.0.1"
	// lastWords is how long output of a server that has ended may take to arrive; a descendant may hold its pipe open.
	lastWords = 250 * time.Millisecond
	// maxLine is how much of a line is kept together.
	maxLine = 64 << 10
)

// process is one run of the server.
type process struct {
	cmd            *exec.Cmd
	port           int
	output, errors *lines
	memoryLimited  bool

	busy     atomic.Int64 // requests that it has
	answered atomic.Int64
	failed   atomic.Bool // a request failed with it

	ended   chan struct{} // closed when it is gone and its group killed
	exit    string        // how it ended; valid after ended
	endOnce sync.Once
	because atomic.Pointer[string] // why the scorer ended it, if it did
}

// spawn starts the server. It must run on a thread that outlives the server.
func spawn(cfg Config, deps Deps) (*process, error) {
	port := cfg.Port
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return nil, err
		}
	}
	argv := make([]string, len(cfg.Command))
	for i, arg := range cfg.Command {
		argv[i] = strings.ReplaceAll(arg, "{port}", strconv.Itoa(port))
	}
	program, err := find(argv[0], cfg.Dir, cfg.Env)
	if err != nil {
		return nil, &worker.LoadError{Reason: reasonMissing, Cause: err.Error()}
	}
	p := &process{
		port: port, output: &lines{to: deps.Stdout}, errors: &lines{to: deps.Stderr}, memoryLimited: cfg.MemoryLimited, ended: make(chan struct{}),
	}
	//nolint:noctx // a context would kill the server where it may end by itself first
	cmd := exec.Command(program, argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Dir = cfg.Dir
	cmd.Env = append(cfg.Env[:len(cfg.Env):len(cfg.Env)], "PORT="+strconv.Itoa(port))
	cmd.Stdout, cmd.Stderr = p.output, p.errors
	cmd.WaitDelay = lastWords
	cmd.SysProcAttr = childprocess.Attributes()
	if err := cmd.Start(); err != nil {
		return nil, &worker.LoadError{Reason: reasonMissing, Cause: fmt.Sprintf("start the server %s: %v", argv[0], err)}
	}
	p.cmd = cmd
	return p, nil
}

// find gives the program's path: relative to dir when it has a slash, else from the PATH of env, the server's own.
func find(name, dir string, env []string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, folder := range filepath.SplitList(lookup(env, "PATH")) {
			candidates = append(candidates, filepath.Join(folder, name))
		}
	}
	for _, path := range candidates {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("the server's command names %s, which is no program: it has to be on the PATH, or a path of an executable file, relative to the source folder", name)
}

// lookup gives a variable; the last one counts.
func lookup(env []string, name string) (value string) {
	for _, entry := range env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// freePort finds a port that is free now. Another process may take it before the server does; then the server is tried again.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", loopback+":0") //nolint:noctx // it waits for nothing
	if err != nil {
		return 0, fmt.Errorf("find a free port for the server: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// address is where the server listens.
func (p *process) address() string { return net.JoinHostPort(loopback, strconv.Itoa(p.port)) }

// reap waits until the server has ended, and ends what it left behind.
func (p *process) reap() {
	err := p.cmd.Wait()
	p.signal(syscall.SIGKILL)
	p.output.flush()
	p.errors.flush()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	p.exit = childprocess.DescribeExit(p.cmd.ProcessState, err, p.memoryLimited)
	if because := p.because.Load(); because != nil {
		p.exit = *because
	}
	close(p.ended)
}

// signal reaches the whole group. The group's number is nobody else's while its leader is not reaped, nor while somebody is left in it.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.pid(), s) }

// condemn ends a server that may be well, for a reason.
func (p *process) condemn(because string) {
	p.because.CompareAndSwap(nil, &because)
	p.end()
}

// end asks the server to end, and kills it when it does not. It returns when it is gone.
func (p *process) end() {
	p.endOnce.Do(func() {
		select {
		case <-p.ended:
			return
		default:
		}
		p.signal(syscall.SIGTERM)
		patience := time.NewTimer(endGrace)
		defer patience.Stop()
		select {
		case <-p.ended:
		case <-patience.C:
			p.signal(syscall.SIGKILL)
		}
	})
	<-p.ended
}

// lines writes what comes line by line, so that the output of several processes does not mix within lines.
type lines struct {
	to   *os.File
	mu   sync.Mutex
	part []byte
}

// Write takes a piece of output. It never fails: a server must not be stopped by its log.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	if end := bytes.LastIndexByte(l.part, '\n') + 1; end > 0 {
		_, _ = l.to.Write(l.part[:end])
		l.part = append(l.part[:0], l.part[end:]...)
	}
	if len(l.part) > maxLine {
		l.rest()
	}
	return len(b), nil
}

// flush writes a last line that has no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest()
}

func (l *lines) rest() {
	if len(l.part) == 0 {
		return
	}
	_, _ = l.to.Write(append(l.part, '\n'))
	l.part = l.part[:0]
}

// hasEnded reports whether the server is gone.
func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}
