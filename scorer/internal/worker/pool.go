package worker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Config says what to run.
type Config struct {
	// Python is the interpreter, Program the worker program it runs.
	Python, Program string
	// Script is the entry script, SourceDir the folder it runs in; absolute paths.
	Script, SourceDir string
	// Env is the workers' environment, complete.
	Env []string
	// Workers is how many processes to keep, MaxQueue how many requests may wait for one.
	Workers, MaxQueue int
	// Timeout bounds one request in a worker, CancelGrace what is left of it once its caller is gone.
	Timeout, CancelGrace time.Duration
	// MemoryLimited says that the workers run under a memory limit.
	MemoryLimited bool
}

// Deps is what a pool uses. The script's output goes to Stdout and Stderr.
type Deps struct {
	Log            *slog.Logger
	Stdout, Stderr *os.File
}

// Pool keeps the workers. Use New, then Run.
type Pool struct {
	cfg    Config
	deps   Deps
	queue  *queue[*process]
	spawns chan spawnOrder

	mu        sync.Mutex
	loaded    int
	processes map[int]*process // by slot; those that take requests
	restarts  int
	failing   int // loads that failed since one succeeded, after the start
	lastError string
}

// Status is a snapshot of a pool.
type Status struct {
	Configured int `json:"configured"`
	Ready      int `json:"ready"`
	Busy       int `json:"busy"`
	Queued     int `json:"queued"`
	Restarts   int `json:"restarts"`
	// Loaded says that init() has succeeded in every worker once.
	Loaded bool `json:"loaded"`
	// FailedLoads counts replacements in a row that could not load the script.
	FailedLoads int      `json:"failed_loads"`
	LastError   string   `json:"last_error,omitempty"`
	Processes   []Member `json:"processes"`
}

// Member is a worker that takes requests.
type Member struct {
	PID      int   `json:"pid"`
	Answered int64 `json:"answered"`
}

type spawnOrder struct{ done chan spawned }

type spawned struct {
	process *process
	err     error
}

// New makes a pool; nothing runs before Run.
func New(cfg Config, deps Deps) *Pool {
	return &Pool{
		cfg: cfg, deps: deps, queue: newQueue[*process](cfg.MaxQueue),
		spawns: make(chan spawnOrder), processes: map[int]*process{},
	}
}

// Run keeps the workers until ctx ends, then ends them and returns nil. A script that can't be loaded at the start ends it with a
// *LoadError; later, loading is tried again. Workers that die again and again by themselves end it with a *CrashLoopError.
func (p *Pool) Run(ctx context.Context) error {
	spawnCtx, endSpawns := context.WithCancel(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, p.queue.close)()

	var failure error
	var once sync.Once
	var spawner, slots sync.WaitGroup
	spawner.Go(func() { p.spawnLoop(spawnCtx) })
	for i := range p.cfg.Workers {
		slots.Go(func() {
			if err := p.keep(ctx, i); err != nil {
				once.Do(func() { failure = err })
				cancel()
			}
		})
	}
	slots.Wait()
	// The thread that started the workers may end only after them.
	endSpawns()
	spawner.Wait()
	p.queue.close()
	return failure
}

// spawnLoop starts all workers on one thread that lives until they are gone: the kernel kills them when it ends, and only then.
func (p *Pool) spawnLoop(ctx context.Context) {
	runtime.LockOSThread()
	for {
		select {
		case <-ctx.Done():
			return
		case order := <-p.spawns:
			proc, err := spawn(p.cfg, p.deps)
			order.done <- spawned{proc, err}
		}
	}
}

// keep keeps one worker running until ctx ends. It fails when the first load does, and when its workers die too often.
func (p *Pool) keep(ctx context.Context, slot int) error {
	var reapers sync.WaitGroup
	defer reapers.Wait()
	fruitless := 0
	var deaths []death
	for first := true; ; first = false {
		proc, err := p.start(ctx, &reapers)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			p.loadFailed(err)
			fruitless++
		default:
			p.admit(slot, proc, first)
			p.attend(ctx, slot, proc)
			if fruitless++; proc.answered.Load() > 0 {
				fruitless = 0
			}
			if ctx.Err() != nil || proc.asked {
				break
			}
			last := death{at: time.Now(), serving: proc.serving.Load(), answered: proc.answered.Load(), exit: proc.exit}
			if deaths, err = judge(append(deaths, last)); err != nil {
				return err
			}
		}
		if !wait(ctx, pause(fruitless, rand.Float64())) {
			return nil
		}
	}
}

// start starts a process and has it load the script. On an error the process is gone when it returns.
func (p *Pool) start(ctx context.Context, reapers *sync.WaitGroup) (*process, error) {
	order := spawnOrder{done: make(chan spawned, 1)}
	p.spawns <- order
	s := <-order.done
	if s.err != nil {
		return nil, s.err
	}
	reapers.Go(s.process.wait)
	if err := s.process.load(ctx, p.cfg); err != nil {
		s.process.end()
		return nil, err
	}
	return s.process, nil
}

// attend waits until a process has to be replaced, or the pool ends, and sees it off.
func (p *Pool) attend(ctx context.Context, slot int, proc *process) {
	select {
	case <-proc.ended:
	case <-proc.retired:
	case <-ctx.Done():
		// From here on a request that fails does so because the pool ends.
		p.queue.close()
	}
	p.mu.Lock()
	delete(p.processes, slot)
	p.mu.Unlock()
	p.queue.remove(proc)
	proc.end()
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	p.restarts++
	p.lastError = "a worker ended: " + proc.exit
	p.mu.Unlock()
	p.deps.Log.Warn("worker ended, it will be replaced", "pid", proc.cmd.Process.Pid, "exit", proc.exit, "answered", proc.answered.Load())
}

func (p *Pool) admit(slot int, proc *process, first bool) {
	p.mu.Lock()
	p.processes[slot] = proc
	p.failing = 0
	if first {
		p.loaded++
	}
	p.mu.Unlock()
	p.queue.add(proc)
}

func (p *Pool) loadFailed(err error) {
	p.mu.Lock()
	p.failing++
	p.lastError = "a worker could not be replaced: " + err.Error()
	p.mu.Unlock()
	var load *LoadError
	detail := ""
	if errors.As(err, &load) {
		detail = load.Detail
	}
	p.deps.Log.Error("worker could not be replaced", "error", err, "detail", detail)
}

// Score runs a request in the next idle worker. The errors are those of this package, or the context's.
func (p *Pool) Score(ctx context.Context, req Request) (*Reply, error) {
	for {
		proc, err := p.queue.acquire(ctx)
		if err != nil {
			return nil, err
		}
		reply, err := proc.score(ctx, p.cfg, req)
		switch {
		case errors.Is(err, errNotSent):
			// The worker had ended before it was lent; it is on its way out of the queue.
			p.queue.remove(proc)
			continue
		case err != nil && p.queue.isClosed():
			return nil, ErrStopped
		case err != nil:
			return nil, err
		case reply.Streamed():
			reply.stream.giveBack = func() { p.queue.release(proc) }
		default:
			p.queue.release(proc)
		}
		return reply, nil
	}
}

// Loaded reports whether init() has succeeded in every worker once.
func (p *Pool) Loaded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loaded == p.cfg.Workers
}

// Status gives a snapshot.
func (p *Pool) Status() Status {
	busy, queued := p.queue.counts()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Configured: p.cfg.Workers, Ready: len(p.processes), Busy: busy, Queued: queued, Restarts: p.restarts,
		Loaded: p.loaded == p.cfg.Workers, FailedLoads: p.failing, LastError: p.lastError, Processes: []Member{},
	}
	for _, slot := range slices.Sorted(maps.Keys(p.processes)) {
		proc := p.processes[slot]
		s.Processes = append(s.Processes, Member{PID: proc.cmd.Process.Pid, Answered: proc.answered.Load()})
	}
	return s
}

// wait reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
