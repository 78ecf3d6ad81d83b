package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/fairlead/fairlead/scorer/internal/childprocess"
)

var errNurseryEnded = errors.New("the process that workers are forked from has ended")

// nursery is a process that has loaded the script and forks workers. They end with it.
type nursery struct {
	*spawned

	forking sync.Mutex // one fork at a time
	forked  chan *process
	tasks   sync.WaitGroup

	mu       sync.Mutex
	pending  *process
	children map[int]*process
	buried   []int // process ids that it may reap: nobody will signal them any more
}

// forkOrder asks for a worker.
type forkOrder struct {
	Reap []int `json:"reap,omitempty"`
}

func newNursery(s *spawned) *nursery {
	return &nursery{spawned: s, forked: make(chan *process, 1), children: map[int]*process{}}
}

// childEnd is what a nursery tells of a worker that has ended.
type childEnd struct {
	PID    int            `json:"pid"`
	Code   int            `json:"code"`
	Signal syscall.Signal `json:"signal"`
}

func (e childEnd) describe(memoryLimited bool) string {
	if e.Signal != 0 {
		return childprocess.DescribeSignal(e.Signal, memoryLimited)
	}
	return childprocess.DescribeCode(e.Code)
}

// listen follows what the process tells until it ends; then its workers have ended too.
func (n *nursery) listen() {
	for n.hear() == nil {
	}
	// Whatever it has done wrong, nobody is there any more who tells of the workers.
	n.awaitEnd()
	n.kill()
	<-n.ended
	n.mu.Lock()
	children := n.children
	n.children = nil
	n.mu.Unlock()
	for _, child := range children {
		n.bury(child, "the process that it was forked from ended: "+n.exit, syscall.SIGKILL)
	}
	n.tasks.Wait()
}

// hear handles one frame.
func (n *nursery) hear() error {
	f, err := n.lanes[0].conn.Receive()
	if err != nil {
		return err
	}
	k, rest, err := kindOf(f.Header)
	if err != nil {
		return err
	}
	var told childEnd
	if err := json.Unmarshal(rest, &told); err != nil {
		return fmt.Errorf("read what the process that forks told: %w", err)
	}
	switch k {
	case kindForked:
		n.mu.Lock()
		child := n.pending
		n.pending = nil
		if child != nil {
			child.pid = told.PID
			n.children[told.PID] = child
		}
		n.mu.Unlock()
		if child == nil {
			return errors.New("a worker was forked that nobody asked for")
		}
		n.forked <- child
	case kindExited:
		n.mu.Lock()
		child := n.children[told.PID]
		delete(n.children, told.PID)
		n.mu.Unlock()
		if child == nil {
			return fmt.Errorf("process %d has ended, which is no worker", told.PID)
		}
		n.bury(child, told.describe(n.memoryLimited), told.Signal)
	default:
		return fmt.Errorf("the process that forks sent a frame of kind %d", k)
	}
	return nil
}

func (n *nursery) bury(child *process, exit string, signal syscall.Signal) {
	child.gone(exit, signal)
	n.mu.Lock()
	n.buried = append(n.buried, child.pid)
	n.mu.Unlock()
	n.tasks.Go(child.closeLanes)
}

func (n *nursery) tell(fields forkOrder, files ...*os.File) error {
	header, err := order(kindFork, fields)
	if err != nil {
		return err
	}
	first := n.lanes[0]
	if !first.takeUnless(n.ended, n.ended) {
		return errNurseryEnded
	}
	defer first.leave()
	return first.conn.SendFiles(header, files...)
}

// fork makes a worker.
func (n *nursery) fork(ctx context.Context, lanes int) (*process, error) {
	n.forking.Lock()
	defer n.forking.Unlock()
	child, others, err := newProcess(lanes)
	if err != nil {
		return nil, err
	}
	defer closeAll(others)
	child.facts = n.facts
	n.mu.Lock()
	n.pending = child
	reap := n.buried
	n.buried = nil
	n.mu.Unlock()
	if err := n.tell(forkOrder{Reap: reap}, others...); err != nil {
		child.closeLanes()
		n.kill()
		return nil, &LoadError{Reason: scriptError, Cause: errNurseryEnded.Error()}
	}
	select {
	case child := <-n.forked:
		if ctx.Err() != nil {
			child.condemn("the scorer ended")
			return nil, ctx.Err()
		}
		return child, nil
	case <-n.ended:
		// It may have been forked at the last moment; then it is among those that end with the process.
		n.mu.Lock()
		unborn := n.pending == child
		n.pending = nil
		n.mu.Unlock()
		if unborn {
			child.closeLanes()
		}
		return nil, &LoadError{Reason: scriptError, Cause: errNurseryEnded.Error() + ": " + n.exit}
	}
}
