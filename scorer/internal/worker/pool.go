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

	"github.com/fairlead/fairlead/scorer/internal/crashloop"
)

// MaxThreads is how many requests a worker can run at once at most.
const MaxThreads = 64

// Config says what to run.
type Config struct {
	// Python is the interpreter, Program the worker program it runs.
	Python, Program string
	// Script is the entry script, SourceDir the folder it runs in; absolute paths.
	Script, SourceDir string
	// Env is the workers' environment, complete.
	Env []string
	// Workers is how many processes to keep, Threads how many requests each runs at once, MaxQueue how many requests may wait.
	Workers, Threads, MaxQueue int
	// Preload calls init() once, in a process from which the workers are forked.
	Preload bool
	// MaxMemory is how many bytes of memory a worker may hold before it is replaced; 0 for no limit.
	MaxMemory int64
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
	queue  *queue[*lane]
	spawns chan spawnOrder

	preloading sync.Mutex
	nursery    *nursery // where workers are forked from, when it is so

	mu        sync.Mutex
	loaded    int
	facts     Facts            // of the last load
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

type spawnOrder struct{ done chan spawnResult }

type spawnResult struct {
	process *spawned
	err     error
}

// New makes a pool; nothing runs before Run.
func New(cfg Config, deps Deps) *Pool {
	cfg.Threads = max(cfg.Threads, 1)
	return &Pool{
		cfg: cfg, deps: deps, queue: newQueue(cfg.MaxQueue, (*lane).load),
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
	var spawner, slots, tasks sync.WaitGroup
	spawner.Go(func() { p.spawnLoop(spawnCtx) })
	for i := range p.cfg.Workers {
		slots.Go(func() {
			if err := p.keep(ctx, i, &tasks); err != nil {
				once.Do(func() { failure = err })
				cancel()
			}
		})
	}
	slots.Wait()
	p.endNursery(ctx)
	tasks.Wait()
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
			order.done <- spawnResult{proc, err}
		}
	}
}

// keep keeps one worker running until ctx ends. It fails when the first load does, and when its workers die too often.
func (p *Pool) keep(ctx context.Context, slot int, tasks *sync.WaitGroup) error {
	fruitless := 0
	var deaths []crashloop.Death
	for first := true; ; first = false {
		proc, err := p.start(ctx, tasks)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // what was begun could not end well
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
			var verdict string
			if deaths, verdict = crashloop.Judge("the script's Python process", append(deaths, proc.death(time.Now()))); verdict != "" {
				return &CrashLoopError{Cause: verdict}
			}
		}
		if !wait(ctx, crashloop.Pause(fruitless, rand.Float64())) {
			return nil
		}
	}
}

// start gives a process that has loaded the script. On an error the process is gone when it returns, or about to be.
func (p *Pool) start(ctx context.Context, tasks *sync.WaitGroup) (*process, error) {
	if !p.cfg.Preload {
		s, err := p.spawn(ctx, tasks)
		if err != nil {
			return nil, err
		}
		return s.process, nil
	}
	n, err := p.parent(ctx, tasks)
	if err != nil {
		return nil, err
	}
	return n.fork(ctx, p.cfg.Threads)
}

// spawn starts a process and has it load the script.
func (p *Pool) spawn(ctx context.Context, tasks *sync.WaitGroup) (*spawned, error) {
	order := spawnOrder{done: make(chan spawnResult, 1)}
	p.spawns <- order
	s := <-order.done
	if s.err != nil {
		return nil, s.err
	}
	tasks.Go(s.process.wait)
	if err := s.process.load(ctx, p.cfg); err != nil {
		s.process.end(ctx)
		return nil, err
	}
	return s.process, nil
}

// parent gives the process that workers are forked from, a new one when there is none.
func (p *Pool) parent(ctx context.Context, tasks *sync.WaitGroup) (*nursery, error) {
	p.preloading.Lock()
	defer p.preloading.Unlock()
	if n := p.nursery; n != nil {
		select {
		case <-n.retired:
			<-n.ended
		default:
			return n, nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s, err := p.spawn(ctx, tasks)
	if err != nil {
		return nil, err
	}
	p.nursery = newNursery(s)
	tasks.Go(p.nursery.listen)
	return p.nursery, nil
}

func (p *Pool) endNursery(ctx context.Context) {
	p.preloading.Lock()
	defer p.preloading.Unlock()
	if p.nursery != nil {
		p.nursery.end(ctx)
	}
}

// attend waits until a process has to be replaced, or the pool ends, and sees it off.
func (p *Pool) attend(ctx context.Context, slot int, proc *process) {
	p.watch(ctx, proc)
	p.mu.Lock()
	delete(p.processes, slot)
	p.mu.Unlock()
	for _, l := range proc.lanes {
		p.queue.remove(l)
	}
	proc.end(ctx)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	p.restarts++
	p.lastError = "a worker ended: " + proc.exit
	p.mu.Unlock()
	p.deps.Log.Warn("worker ended, it will be replaced", "pid", proc.pid, "exit", proc.exit, "answered", proc.answered.Load())
}

// watch blocks until a process has to be replaced, or the pool ends.
func (p *Pool) watch(ctx context.Context, proc *process) {
	var check <-chan time.Time
	if p.cfg.MaxMemory > 0 {
		ticker := time.NewTicker(memoryCheck)
		defer ticker.Stop()
		check = ticker.C
	}
	for {
		select {
		case <-check:
			proc.checkMemory(p.cfg.MaxMemory)
			continue
		case <-proc.ended:
		case <-proc.retired:
		case <-ctx.Done():
			// From here on a request that fails does so because the pool ends.
			p.queue.close()
		}
		return
	}
}

func (p *Pool) admit(slot int, proc *process, first bool) {
	p.mu.Lock()
	p.processes[slot] = proc
	p.facts = proc.facts
	p.failing = 0
	if first {
		p.loaded++
	}
	p.mu.Unlock()
	for _, l := range proc.lanes {
		l.inDoubt = func() { p.queue.doubt(l) }
		p.queue.add(l)
	}
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
		lane, err := p.queue.acquire(ctx, req.Elsewhere)
		if err != nil {
			return nil, err
		}
		reply, err := lane.score(ctx, p.cfg, req)
		switch {
		case errors.Is(err, errNotSent):
			// The worker had ended before it was lent; it is on its way out of the queue.
			p.queue.remove(lane)
			continue
		case err != nil && p.queue.isClosed():
			return nil, ErrStopped
		case err != nil:
			return nil, err
		case reply.Streamed():
			reply.stream.giveBack = func() { p.queue.release(lane) }
		default:
			p.queue.release(lane)
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

// Facts gives what is known of the script, once one worker has loaded it.
func (p *Pool) Facts() Facts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.facts
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
		s.Processes = append(s.Processes, Member{PID: proc.pid, Answered: proc.answered.Load()})
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
