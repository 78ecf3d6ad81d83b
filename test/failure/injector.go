package failure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/test/failure/plan"
	"github.com/fairlead/fairlead/test/failure/traffic"
	"github.com/fairlead/fairlead/test/failure/wire"
	"github.com/fairlead/fairlead/test/harness"
)

const (
	// startPatience is how long a process may take to be ready, tries included.
	startPatience = 30 * time.Second
	// startPause is how long a supervisor waits before it starts a process again
	// that ended by itself.
	startPause = 200 * time.Millisecond
	// glance is how often a condition is looked at.
	glance = 5 * time.Millisecond
	// A replica is killed only after it had time to be called stable: before, it is
	// started again after pauses that double.
	stable = 70 * time.Second
)

// laneVariable is in the environment of a version's scorers: "endpoint/version".
const laneVariable = "FAILURE_LANE"

// injector makes faults happen and supervises the processes meanwhile. Its run
// may be called once; what it has noted is whole when run has returned.
type injector struct {
	i    *harness.Installation
	wire *wire.Wire // nil when NATS cannot be cut off
	// held is locked while a process is meant to be stopped, frozen or started.
	held map[string]*sync.Mutex
	// alone is held while the disk is full, and read-locked by all other faults, for
	// the machine may be slower than the plan.
	alone sync.RWMutex

	mu       sync.Mutex
	log      []string
	excuses  []traffic.Excuse
	problems []error
	gaps     []gap
	killed   map[string]time.Time // replicas, by id
	skipped  map[plan.Kind]int
}

func newInjector(i *harness.Installation, w *wire.Wire) *injector {
	in := &injector{i: i, wire: w, held: map[string]*sync.Mutex{}, killed: map[string]time.Time{}, skipped: map[plan.Kind]int{}}
	for _, name := range i.Names() {
		in.held[name] = &sync.Mutex{}
	}
	return in
}

// run makes the faults happen, each at its time, and returns when all are over.
func (in *injector) run(ctx context.Context, faults []plan.Fault) {
	watched, stop := context.WithCancel(ctx)
	var watch, all sync.WaitGroup
	watch.Go(func() { in.supervise(watched) })
	begin := time.Now()
	for _, f := range faults {
		if pause(ctx, time.Until(begin.Add(f.At))) != nil {
			break
		}
		all.Go(func() {
			if err := in.do(ctx, f); err != nil {
				in.problem(fmt.Errorf("%v: %w", f, err))
			}
		})
	}
	all.Wait()
	stop()
	watch.Wait()
}

func (in *injector) do(ctx context.Context, f plan.Fault) error {
	if f.Kind == plan.FillDisk {
		in.alone.Lock()
		defer in.alone.Unlock()
	} else {
		in.alone.RLock()
		defer in.alone.RUnlock()
	}
	in.say("begin %v", f)
	defer in.say("end   %v", f)
	switch f.Kind {
	case plan.Kill:
		return in.restart(ctx, f)
	case plan.Skew:
		// Killed and started with the wrong clock, and then with the right one.
		if err := in.restart(ctx, f, "--clock-offset="+f.Offset.String()); err != nil {
			return err
		}
		if err := pause(ctx, f.For); err != nil {
			return err
		}
		return in.restart(ctx, f)
	case plan.Freeze:
		return in.freeze(ctx, f)
	case plan.KillReplica:
		return in.killReplica(ctx, f)
	case plan.FreezeReplica:
		return in.freezeReplica(ctx, f)
	case plan.FillDisk:
		return in.fillDisk(ctx, f)
	case plan.Sever:
		return in.cut(ctx, f, wire.Sever)
	case plan.Silence:
		return in.cut(ctx, f, wire.Silence)
	}
	return errors.New("nobody knows how to do that")
}

// restart kills a process and starts it again: after the time of the fault, or
// at once where requests wait for it or only its clock is to change.
func (in *injector) restart(ctx context.Context, f plan.Fault, args ...string) error {
	name := f.Target
	in.held[name].Lock()
	defer in.held[name].Unlock()
	exited, killed := in.i.Exited(name), time.Now()
	if err := in.i.Signal(ctx, name, syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case <-exited:
	case <-time.After(stopPatience):
		return errors.New("it lives on after SIGKILL")
	}
	routes := name == in.i.Process("router")
	if f.Kind == plan.Kill && !routes {
		if err := pause(ctx, f.For); err != nil {
			return err
		}
	}
	listens := make(chan time.Time, 1)
	if routes {
		go func() { listens <- in.awaitListener(ctx) }()
	}
	err := in.launch(ctx, name, args...)
	if routes {
		back := <-listens
		in.say("      %s listens again after %v", name, back.Sub(killed).Round(time.Millisecond))
		in.mu.Lock()
		in.gaps = append(in.gaps, gap{time: back.Sub(killed), load: load()})
		in.excuses = append(in.excuses, traffic.Excuse{Why: "kill of " + name, From: killed, To: back})
		in.mu.Unlock()
	}
	return err
}

// gap is a time without a router, and how many times more the machine had to do
// than it can.
type gap struct {
	time time.Duration
	load float64
}

func (g gap) String() string {
	return fmt.Sprintf("%v at load %.1f", g.time.Round(time.Millisecond), g.load)
}

// load is the machine's load for each processor; 1 at least, and where it is not known.
func load() float64 {
	var average float64
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, err = fmt.Sscan(string(text), &average)
	}
	if err != nil {
		return 1
	}
	return max(1, average/float64(runtime.NumCPU()))
}

// stopPatience is how long a killed process may be there.
const stopPatience = 10 * time.Second

// awaitListener waits until the data plane answers.
func (in *injector) awaitListener(ctx context.Context) time.Time {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for !answers(ctx, &client, in.i.Data) {
		if pause(ctx, glance) != nil {
			break
		}
	}
	return time.Now()
}

// answers asks the router how it does. A connection alone proves nothing: a child
// that the killed process was just starting still has its listener.
func answers(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil
}

// launch starts a process as a supervisor does: again when it ends before it is
// ready, which it may while what it needs is not there.
func (in *injector) launch(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := in.i.Launch(ctx, name, args...)
		if err == nil || ctx.Err() != nil {
			return err
		}
		in.say("      %v", err)
		if err := pause(ctx, startPause); err != nil {
			return fmt.Errorf("%s does not start: %w", name, err)
		}
	}
}

// freeze stops a process for a time.
func (in *injector) freeze(ctx context.Context, f plan.Fault) error {
	in.held[f.Target].Lock()
	defer in.held[f.Target].Unlock()
	if err := in.i.Signal(ctx, f.Target, syscall.SIGSTOP); err != nil {
		return err
	}
	return errors.Join(pause(ctx, f.For), in.i.Signal(ctx, f.Target, syscall.SIGCONT))
}

// supervise starts processes again that end without being told to, which they
// must not.
func (in *injector) supervise(ctx context.Context) {
	for pause(ctx, 10*glance) == nil {
		for name, held := range in.held {
			if !held.TryLock() {
				continue
			}
			select {
			case <-in.i.Exited(name):
				in.problem(fmt.Errorf("%s: %s ended by itself", time.Now().Format(clock), name))
				if err := in.launch(ctx, name); err != nil && ctx.Err() == nil {
					in.problem(err)
				}
			default:
			}
			held.Unlock()
		}
	}
}

// replica chooses a scorer that has not been killed lately.
func (in *injector) replica(f plan.Fault) (harness.Process, bool, error) {
	all, err := in.i.Processes()
	if err != nil {
		return harness.Process{}, false, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	all = slices.DeleteFunc(all, func(p harness.Process) bool {
		id := p.Variable("HOSTNAME")
		return !p.Scorer() || p.Variable(laneVariable) == "" || time.Since(in.killed[id]) < stable
	})
	if len(all) == 0 {
		in.skipped[f.Kind]++
		return harness.Process{}, false, nil
	}
	p := all[f.Choice%uint64(len(all))]
	if f.Kind == plan.KillReplica {
		in.killed[p.Variable("HOSTNAME")] = time.Now()
	}
	return p, true, nil
}

func (in *injector) killReplica(ctx context.Context, f plan.Fault) error {
	p, found, err := in.replica(f)
	if err != nil || !found {
		return err
	}
	lane, killed := p.Variable(laneVariable), time.Now()
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		return nil // it has just ended
	}
	for p.Lives() {
		if err := pause(ctx, glance); err != nil {
			return err
		}
	}
	in.say("      it was %d of %s, gone after %v", p.PID, lane, time.Since(killed).Round(time.Millisecond))
	endpoint, version, _ := strings.Cut(lane, "/")
	in.mu.Lock()
	defer in.mu.Unlock()
	in.excuses = append(in.excuses, traffic.Excuse{
		Why: "kill of a scorer of " + lane, From: killed, To: time.Now().Add(lastBreath), Endpoint: endpoint, Version: version,
	})
	return nil
}

// lastBreath is how long the router may still find a kept connection to a process
// that is gone open.
const lastBreath = 250 * time.Millisecond

func (in *injector) freezeReplica(ctx context.Context, f plan.Fault) error {
	p, found, err := in.replica(f)
	if err != nil || !found {
		return err
	}
	in.say("      it is %d of %s", p.PID, p.Variable(laneVariable))
	_ = syscall.Kill(p.PID, syscall.SIGSTOP) // it may just have ended
	err = pause(ctx, f.For)
	_ = syscall.Kill(p.PID, syscall.SIGCONT)
	return err
}

// fillDisk takes all that is free of the disk, and gives it back.
func (in *injector) fillDisk(ctx context.Context, f plan.Fault) error {
	path := filepath.Join(in.i.DataRoot(), "filler")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer file.Close()
	block := make([]byte, 1<<20)
	end := time.Now().Add(f.For)
	for time.Now().Before(end) {
		// Smaller and smaller blocks, and again what has become free meanwhile.
		for size := len(block); size > 0; size /= 2 {
			for err = nil; err == nil; {
				_, err = file.Write(block[:size])
			}
			if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, io.ErrShortWrite) {
				return err
			}
		}
		if err := pause(ctx, glance); err != nil {
			return err
		}
	}
	return nil
}

func (in *injector) cut(ctx context.Context, f plan.Fault, mode wire.Mode) error {
	in.wire.Set(mode)
	defer in.wire.Set(wire.Pass)
	return pause(ctx, f.For)
}

const clock = "15:04:05.000"

func (in *injector) say(format string, args ...any) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.log = append(in.log, time.Now().Format(clock)+" "+fmt.Sprintf(format, args...))
}

func (in *injector) problem(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.problems = append(in.problems, err)
}

// pause waits for a time, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
