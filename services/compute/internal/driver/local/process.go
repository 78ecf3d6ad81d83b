package local

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/cgroup"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/logfile"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/proc"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
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

	drain chan struct{} // closed when it is to finish
	kill  chan struct{} // closed when it is to end at once
	ended chan struct{} // closed when nothing of it is left

	mu       sync.Mutex
	seen     replica.Observation
	stopping bool
	killing  bool
}

func (d *Driver) newProcess(l driver.Launch, token string) *process {
	return &process{
		driver: d, launch: l, token: token, dir: filepath.Join(d.cfg.DataDir, runsFolder, l.Replica),
		log:    logfile.New(d.logName(l.WorkloadUID, l.Replica), maxLogBytes),
		prober: newProber(l.Spec.Liveness),
		drain:  make(chan struct{}), kill: make(chan struct{}), ended: make(chan struct{}),
		seen: replica.Observation{Phase: replica.Preparing, Process: l.Process, StartTime: time.Now()},
	}
}

// see gives what there is to see of it.
func (p *process) see() driver.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return driver.Process{Launch: p.launch, Observation: p.seen, Stopping: p.stopping}
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
		err = p.spawn(preparing)
	}
	if err != nil {
		cause := replica.Cause{Reason: "StartError", Message: err.Error()}
		if p.asked(p.drain) {
			cause = replica.Cause{Reason: "Stopped", Message: "ended before it was started"}
		}
		p.finish(cause, false)
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
	p.finish(cause, cannotStart)
}

// scriptError is the exit code of a scorer whose script cannot start.
const scriptError = 3

func (p *process) explain(w *watch, status exitStatus) (cause replica.Cause, cannotStart bool) {
	words := logfile.LastWords(p.driver.logName(p.launch.WorkloadUID, p.launch.Replica), lastWords)
	switch {
	case w.cause.Reason != "":
		cause = w.cause
	case p.group.OOMKills() > 0:
		cause = p.outOfMemory()
	case p.asked(p.drain):
		return replica.Cause{Reason: "Stopped", Message: "ended as it was told to"}, false
	case status.known && status.code == scriptError:
		cause = replica.Cause{Reason: "ScriptError", Message: "the script cannot start"}
		if line := lastLine(words); line != "" {
			cause.Message = strings.TrimPrefix(line, "scorer: ")
		}
		cannotStart = true
	case status.known && status.signal != 0:
		cause = replica.Cause{Reason: "Killed", Message: fmt.Sprintf("the process was killed by signal %d (%s)", status.signal, status.signal)}
	case status.known:
		cause = replica.Cause{Reason: "Exited", Message: fmt.Sprintf("the process ended with exit code %d", status.code)}
	default:
		cause = replica.Cause{Reason: "Exited", Message: "the process ended"}
	}
	cause.LogLines = words
	return cause, cannotStart
}

func (p *process) outOfMemory() replica.Cause {
	return replica.Cause{Reason: "OutOfMemory", Message: "out of memory: limit " + resource.Memory(p.launch.Spec.Limit.MemoryBytes)}
}

func lastLine(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" {
			return line
		}
	}
	return ""
}

// finish removes what is left and publishes the end.
func (p *process) finish(cause replica.Cause, cannotStart bool) {
	if err := p.group.Remove(); err != nil {
		p.driver.log.Warn("a replica's control group stays", "replica", p.launch.Replica, "error", err)
	}
	p.mu.Lock()
	p.seen.Phase, p.seen.Address, p.seen.Cause, p.seen.CannotStart = replica.Ended, "", cause, cannotStart
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
