package local

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/logfile"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
)

// watch is what the goroutine of a process knows while it looks after it.
type watch struct {
	p     *process
	ctx   context.Context // the life of one call of lookAfter
	end   context.CancelFunc
	begin time.Time

	drain, kill <-chan struct{} // nil once acted on
	deadline    *time.Timer
	termed      bool // SIGTERM was sent
	probeAt     *time.Timer
	probed      chan probeResult
	look        *time.Ticker
	looks       int
	cause       replica.Cause // why it is being ended, when that was not asked for
}

func (p *process) newWatch(ctx context.Context) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{
		p: p, ctx: ctx, begin: time.Now(), drain: p.drain, kill: p.kill,
		deadline: time.NewTimer(time.Hour), probeAt: time.NewTimer(0), probed: make(chan probeResult, 1),
		look: time.NewTicker(lookPause),
	}
	w.deadline.Stop()
	w.end = func() {
		cancel()
		w.deadline.Stop()
		w.probeAt.Stop()
		w.look.Stop()
	}
	return w
}

func (w *watch) beginDrain() {
	w.drain = nil
	w.probeAt.Stop()
	lead := drainLead
	if w.p.see().Phase != replica.Answering { // nobody sends it requests
		lead = 0
	}
	w.deadline.Reset(lead)
}

// passDeadline tells the process to end, then makes it end.
func (w *watch) passDeadline() {
	if w.termed {
		w.p.signalAll()
		return
	}
	w.termed = true
	_ = syscall.Kill(w.p.pid, syscall.SIGTERM)
	w.deadline.Reset(w.p.now().DrainTimeout + drainMargin)
}

// probe asks the process how it is; the answer comes by a channel.
func (w *watch) probe() {
	address := w.p.see().Address
	if address == "" {
		address = readAddress(w.p.dir)
		if address == "" {
			w.judge(probeResult{failure: "it does not listen yet"})
			return
		}
		w.p.show(func(o *replica.Observation) { o.Address = address })
	}
	w.p.driver.own(func() { w.probed <- w.p.prober.ask(w.ctx, address) })
}

// judge acts on the answer to a probe and plans the next one.
func (w *watch) judge(r probeResult) {
	if w.drain == nil || w.cause.Reason != "" {
		return
	}
	next, verdict := w.p.prober.judge(r, time.Since(w.begin))
	before := w.p.see()
	switch verdict {
	case isReady:
		if before.Phase != replica.Answering {
			w.noteReady()
			w.p.show(func(o *replica.Observation) {
				o.Phase, o.Cause = replica.Answering, replica.Cause{}
				if r.report.Runtime != "" {
					o.Report = r.report
				}
				if o.ReadySince.IsZero() {
					o.ReadySince = time.Now()
				}
			})
		}
	case isStarting:
		message := replica.Cause{Reason: "Starting", Message: r.failure}
		if before.Cause.Message != message.Message && before.Address != "" {
			w.p.show(func(o *replica.Observation) { o.Phase, o.Cause = replica.Launched, message })
		}
	case isLost:
		w.giveUp(w.p.prober.silence(r, before.Address != ""))
		return
	}
	w.probeAt.Reset(next)
}

// noteReady marks the end of the start in the log.
func (w *watch) noteReady() {
	if !w.p.see().ReadySince.IsZero() {
		return
	}
	if err := w.p.log.Ready(); err != nil {
		w.p.driver.log.Warn("the log of a replica cannot be kept in order", "replica", w.p.launch.Replica, "error", err)
	}
}

// giveUp ends a process that nobody asked to end.
func (w *watch) giveUp(cause replica.Cause) {
	cause.LogLines = logfile.LastWords(w.p.driver.logName(w.p.launch.WorkloadUID, w.p.launch.Replica), lastWords)
	w.cause = cause
	w.p.driver.log.Warn("replica given up", "workload", w.p.launch.Workload, "replica", w.p.launch.Replica, "cause", cause.Message)
	w.p.show(func(o *replica.Observation) { o.Phase, o.Cause = replica.Silent, cause })
	w.p.signalAll()
}

// lookAround keeps the log in order and the memory in bounds.
func (w *watch) lookAround() {
	if err := w.p.log.Mark(time.Now()); err != nil {
		w.p.driver.log.Warn("the log of a replica cannot be kept in order", "replica", w.p.launch.Replica, "error", err)
	}
	w.looks++
	limit := w.p.launch.Spec.Limit.MemoryBytes
	if limit == 0 || w.looks%memoryEvery != 0 || w.cause.Reason != "" {
		return
	}
	if w.p.group.LimitsMemory() {
		// The kernel ends only the biggest process of the group; the rest is of no use without it.
		if w.p.group.OOMKills() > 0 {
			w.giveUp(w.p.outOfMemory(w.p.group.PeakBytes()))
		}
		return
	}
	if used, over := w.p.overLimit(); over {
		w.giveUp(w.p.outOfMemory(used))
	}
}

const addressFile = "address"

func readAddress(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
