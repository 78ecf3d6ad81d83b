package bus

import (
	"fmt"
	"math"
	"syscall"
	"time"
)

const (
	// lookEvery is how often Run looks whether the server can write.
	lookEvery = 500 * time.Millisecond
	// enoughFree is what a disk must have free, in bytes, for a server to be started
	// again; below hardlyFree the disk counts as full.
	enoughFree = 16 << 20
	hardlyFree = 1 << 20

	firstPause = time.Second
	lastPause  = 5 * time.Minute
)

// look is what one look at the server and its disk found.
type look struct {
	at      time.Time
	problem string // what the server says that is wrong with it; empty when nothing is
	free    uint64 // bytes
}

// recovery decides when a server is started again. The server shuts a stream that
// it could not write, or all of JetStream, for as long as it runs: there being room
// again changes nothing. It is not safe for concurrent use.
type recovery struct {
	problem   string // at the last look
	restarted time.Time
	pause     time.Duration // from one start to the next
}

// judge says what is wrong, or "" when nothing is, and whether the server is to be
// started again now.
func (r *recovery) judge(l look) (trouble string, restart bool) {
	before := r.problem
	r.problem = l.problem
	switch {
	case l.problem == "" && l.free < hardlyFree:
		return "the disk is full: changes may be refused", false
	case l.problem == "":
		if l.at.Sub(r.restarted) > lastPause {
			r.pause = 0
		}
		return "", false
	case before == "":
		return "", false // a stream that is just being made or deleted looks broken once
	case l.free < enoughFree:
		return fmt.Sprintf("the disk is full: no change is possible until it has %d MiB free (%s)", enoughFree>>20, l.problem), false
	}
	trouble = fmt.Sprintf("no change is possible until the NATS server has been started again (%s)", l.problem)
	if l.at.Sub(r.restarted) < r.pause {
		return trouble, false
	}
	r.restarted = l.at
	r.pause = min(max(firstPause, 2*r.pause), lastPause)
	return trouble, true
}

// freeSpace tells how many bytes dir's disk has for this process; more than any
// disk has when that can't be told.
func freeSpace(dir string) uint64 {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return math.MaxUint64
	}
	return disk.Bavail * uint64(disk.Bsize) //nolint:gosec // a block has no negative size
}
