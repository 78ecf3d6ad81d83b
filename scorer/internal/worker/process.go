package worker

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/crashloop"
	"github.com/fairlead/fairlead/scorer/internal/frame"
)

const (
	// lastWords is how long frames of a process that has ended may take to arrive.
	lastWords = 250 * time.Millisecond
	// farewell is how long a process that was asked to end may take.
	farewell = time.Second
)

// process is one Python process. It leads a process group.
type process struct {
	pid      int
	lanes    []*lane // the first is where it is told what to load
	facts    Facts
	answered atomic.Int64
	serving  atomic.Int64 // requests that it holds, or held when it ended

	ended      chan struct{} // closed when the process is gone and its group killed
	exit       string        // how it ended; valid after ended
	asked      bool          // the scorer ended it; valid after ended
	killed     bool          // somebody else killed it; valid after ended
	verdict    atomic.Pointer[string]
	retired    chan struct{} // closed when the process has been told to end, or said it will
	retireOnce sync.Once
}

// newProcess makes what stands for a process to come, and the files that are to be the other ends of its lanes.
func newProcess(lanes int) (*process, []*os.File, error) {
	p := &process{ended: make(chan struct{}), retired: make(chan struct{})}
	var others []*os.File
	for range lanes {
		conn, other, err := frame.Pair()
		if err != nil {
			p.closeLanes()
			closeAll(others)
			return nil, nil, err
		}
		p.lanes = append(p.lanes, newLane(p, conn))
		others = append(others, other)
	}
	return p, others, nil
}

// gone records how the process ended and ends what it left behind.
func (p *process) gone(exit string, signal syscall.Signal) {
	p.exit, p.killed = exit, signal == syscall.SIGKILL
	if verdict := p.verdict.Load(); verdict != nil {
		p.asked, p.exit = true, "ended by the scorer: "+*verdict
	}
	p.kill()
	close(p.ended)
}

// death describes an end that the scorer did not bring about.
func (p *process) death(at time.Time) crashloop.Death {
	return crashloop.Death{At: at, Serving: p.serving.Load() > 0, Killed: p.killed, Answered: p.answered.Load(), Exit: p.exit}
}

// closeLanes closes the sockets, each as soon as nobody uses it.
func (p *process) closeLanes() {
	for _, l := range p.lanes {
		// A last reply may still lie in the socket; a descendant outside of the group may hold the other end open.
		_ = l.conn.SetReadDeadline(time.Now().Add(lastWords))
	}
	for _, l := range p.lanes {
		l.take()
		_ = l.conn.Close()
		l.leave()
	}
}

// kill ends the process and its descendants at once.
func (p *process) kill() {
	p.retire()
	select {
	case <-p.ended:
		return // the process id may be another's by now
	default:
	}
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
}

// condemn kills a process that may be well, and keeps why.
func (p *process) condemn(why string) {
	p.verdict.CompareAndSwap(nil, &why)
	p.kill()
}

// dismiss has a process that may be well replaced as soon as it has answered what it holds.
func (p *process) dismiss(why string) {
	p.verdict.CompareAndSwap(nil, &why)
	p.retire()
}

// abandon gives up a request that the process holds: at once, unless it holds others.
func (p *process) abandon(why string) {
	if p.serving.Load() > 1 {
		p.dismiss(why)
		return
	}
	p.condemn(why)
}

// retire marks the process as one that must be replaced.
func (p *process) retire() { p.retireOnce.Do(func() { close(p.retired) }) }

// end lets a process end by itself when its lanes are done, and kills an unwilling one; a busy one when ctx ends. It returns when the
// process is gone.
func (p *process) end(ctx context.Context) {
	p.retire()
	for _, l := range p.lanes {
		if !l.takeUnless(ctx.Done(), p.ended) {
			p.condemn("it was busy when the scorer ended")
			break
		}
		_ = l.conn.CloseWrite()
		l.leave()
	}
	p.awaitEnd()
	select {
	case <-p.ended:
	default:
		p.condemn("it did not end when it was told to")
		<-p.ended
	}
}

// awaitEnd gives a process that has closed its sockets, or whose were closed, the time to end.
func (p *process) awaitEnd() {
	p.retire()
	patience := time.NewTimer(farewell)
	defer patience.Stop()
	select {
	case <-p.ended:
	case <-patience.C:
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
