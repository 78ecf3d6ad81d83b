package local

import (
	"context"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/cgroup"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/interpreter"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/logfile"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/proc"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

const (
	// drainLead is how long the news that a replica drains gets to reach the
	// routers before the replica refuses requests.
	drainLead = 250 * time.Millisecond
	// drainMargin is what a scorer may take beyond its drain timeout to end.
	drainMargin = 2 * time.Second
	// lookPause is between two looks at log and memory.
	lookPause = 200 * time.Millisecond
	// memoryEvery is how many looks there are for one at the memory.
	memoryEvery = 5
	maxLogBytes = 10 << 20
	lastWords   = 20
)

// process is one process of a replica. One goroutine, run or resume, does all
// its work; the others see it under the lock.
type process struct {
	driver *Driver
	launch driver.Launch
	token  string
	dir    string // of the replica
	log    *logfile.Log

	pid    int
	cmd    *exec.Cmd // nil when it was taken over
	group  *cgroup.Group
	prober *prober
	python interpreter.Interpreter // valid once it is prepared

	drain chan struct{} // closed when it is to finish
	kill  chan struct{} // closed when it is to end at once
	ended chan struct{} // closed when nothing of it is left

	recording sync.Mutex // one writes the record at a time

	mu       sync.Mutex
	session  int   // pid, once it runs
	peak     int64 // the most memory that was seen in use
	seen     replica.Observation
	stopping bool
	killing  bool
	settings workload.Settings // those of launch may be older

	usageShown time.Time // when what it uses last made news
}

func (d *Driver) newProcess(l driver.Launch, token string) *process {
	p := &process{
		driver: d, launch: l, settings: l.Spec.Settings(), token: token, dir: filepath.Join(d.cfg.DataDir, runsFolder, l.Replica),
		log:   logfile.New(d.logName(l.WorkloadUID, l.Replica), maxLogBytes),
		drain: make(chan struct{}), kill: make(chan struct{}), ended: make(chan struct{}),
		seen: replica.Observation{Phase: replica.Preparing, Process: l.Process, StartTime: time.Now()},
	}
	p.prober = newProber(func() workload.Probe { return p.now().Liveness })
	return p
}

// now gives the settings that hold now.
func (p *process) now() workload.Settings {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settings
}

// adjust says whether the settings are others than before.
func (p *process) adjust(s workload.Settings) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := p.settings != s
	p.settings = s
	return changed
}

// adjusted gives what the process was started with, with the settings of now.
func (p *process) adjusted() driver.Launch {
	l, s := p.launch, p.now()
	l.Spec.Liveness, l.Spec.DrainTimeout = s.Liveness, s.DrainTimeout
	return l
}

// see gives what there is to see of it.
func (p *process) see() driver.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return driver.Process{Launch: p.launch, Observation: p.seen, Stopping: p.stopping}
}

// runsAs notes the process that is looked after; it leads a session.
func (p *process) runsAs(pid int) {
	p.pid = pid
	p.mu.Lock()
	p.session = pid
	p.mu.Unlock()
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// show publishes a change.
func (p *process) show(change func(*replica.Observation)) {
	p.mu.Lock()
	change(&p.seen)
	p.mu.Unlock()
	p.driver.changed()
}

// stop asks for the end. A kill may follow a drain.
func (p *process) stop(drain bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopping {
		p.stopping = true
		close(p.drain)
	}
	if !drain && !p.killing {
		p.killing = true
		close(p.kill)
	}
}

func (p *process) asked(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

// run starts the process and looks after it until nothing of it is left.
func (p *process) run(ctx context.Context) {
	preparing, cancel := context.WithCancel(ctx)
	defer cancel()
	p.driver.own(func() {
		select {
		case <-p.drain: // what does not run yet need not be finished
			cancel()
		case <-preparing.Done():
		}
	})
	err := p.prepare(preparing)
	if err == nil {
		err = p.spawn()
	}
	if err != nil {
		cause, hopeless := whyNotStarted(err)
		if p.asked(p.drain) {
			cause, hopeless = replica.Cause{Reason: reasonStopped, Message: "ended before it was started"}, false
		}
		p.finish(replica.Observation{Cause: cause, CannotStart: hopeless, Hopeless: hopeless})
		return
	}
	p.show(func(o *replica.Observation) { o.Phase, o.StartTime = replica.Launched, time.Now() })
	p.lookAfter(ctx)
}

// resume looks after a process that an earlier driver has started.
func (p *process) resume(ctx context.Context) {
	p.log.Resume()
	p.group = p.driver.findGroup(p)
	p.show(func(o *replica.Observation) { o.Phase = replica.Launched })
	p.lookAfter(ctx)
}

// lookAfter watches a running process until it has ended, or until the driver
// ends and leaves it running.
func (p *process) lookAfter(ctx context.Context) {
	exit := make(chan exitStatus, 1)
	p.driver.own(func() {
		if status, ended := p.await(ctx); ended {
			exit <- status
		}
	})
	w := p.newWatch(ctx)
	defer w.end()
	for {
		select {
		case <-ctx.Done():
			return
		case status := <-exit:
			p.conclude(w, status)
			return
		case <-w.drain:
			w.beginDrain()
		case <-w.kill:
			w.kill = nil
			p.signalAll()
		case <-w.deadline.C:
			w.passDeadline()
		case <-w.probeAt.C:
			w.probe()
		case result := <-w.probed:
			w.judge(result)
		case <-w.look.C:
			w.lookAround()
		}
	}
}

// conclude says how the process ended and cleans up after it.
func (p *process) conclude(w *watch, status exitStatus) {
	if err := p.log.Mark(time.Now()); err != nil {
		p.driver.log.Warn("the log of a replica cannot be kept in order", "replica", p.launch.Replica, "error", err)
	}
	cause, cannotStart := p.explain(w, status)
	p.finish(replica.Observation{Cause: cause, CannotStart: cannotStart})
}

// finish removes what is left and publishes the end.
func (p *process) finish(end replica.Observation) {
	if err := p.group.Remove(); err != nil {
		p.driver.log.Warn("a replica's control group stays", "replica", p.launch.Replica, "error", err)
	}
	p.mu.Lock()
	p.seen.Phase, p.seen.Address, p.seen.Cause = replica.Ended, "", end.Cause
	p.seen.CannotStart, p.seen.Hopeless = end.CannotStart, end.Hopeless
	p.mu.Unlock()
	close(p.ended)
	p.driver.changed()
}

// signalAll ends the process and all that it started, at once.
func (p *process) signalAll() {
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	p.endRest()
}

// endRest ends what carries the token or is in the session of the process. The
// session's number is not given to others while its leader is not reaped.
func (p *process) endRest() {
	own := p.cmd != nil
	proc.Kill(func(other proc.Info) bool {
		return (own && other.Session == p.pid) || proc.Variable(other.PID, tokenVariable) == p.token
	})
}
