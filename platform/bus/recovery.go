package bus

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// lookEvery is how often Run looks whether the server can write.
	lookEvery = 500 * time.Millisecond
	// enoughFree is what a disk must have free, in bytes, for a server to be started
	// again. Only when there is less, or something is wrong, is writing tried.
	enoughFree = 16 << 20
	trialSize  = 64 << 10
	// haltAfter is how long a full disk is borne with. State can be read meanwhile.
	haltAfter = 5 * time.Minute

	firstPause = time.Second
	lastPause  = 5 * time.Minute
)

// look is what one look at the server and its disk found.
type look struct {
	at      time.Time
	problem string // what the server says that is wrong with it; empty when nothing is
	free    uint64 // bytes
	full    bool   // nothing can be written
}

// action is what Run does about a server.
type action int

const (
	leave action = iota
	halt         // end JetStream, which can only do harm now
	renew        // start the server again
)

// recovery decides what to do about a server that can't write. The server shuts a
// stream that it could not write, or all of JetStream, for as long as it runs: there
// being room again changes nothing. Nor must it be asked for batches for long while
// the disk is full, for each leaves something in memory for ever.
// It is not safe for concurrent use.
type recovery struct {
	unwell    bool      // at the last look
	fullSince time.Time // zero when the disk was not full at the last look
	halted    bool      // since the last start
	renewed   time.Time
	pause     time.Duration // from one start to the next
}

// judge says what is wrong, or "" when nothing is, and what to do. What is seen once
// only is let pass: a stream that is just being made or deleted looks broken.
func (r *recovery) judge(l look) (trouble string, _ action) {
	before := r.unwell
	r.unwell = l.full || l.problem != ""
	if !l.full {
		r.fullSince = time.Time{}
	} else if r.fullSince.IsZero() {
		r.fullSince = l.at
	}
	full := fmt.Sprintf("the disk is full: no change is possible until it has %d MiB free", enoughFree>>20)
	switch {
	case !r.unwell:
		if l.at.Sub(r.renewed) > lastPause {
			r.pause = 0
		}
		return "", leave
	case !before:
		return "", leave
	case l.full && !r.halted && l.at.Sub(r.fullSince) >= haltAfter:
		r.halted = true
		return full, halt
	case l.full || l.free < enoughFree:
		return full, leave
	}
	trouble = fmt.Sprintf("no change is possible until the NATS server has been started again (%s)", l.problem)
	if l.at.Sub(r.renewed) < r.pause {
		return trouble, leave
	}
	r.renewed, r.halted = l.at, false
	r.pause = min(max(firstPause, 2*r.pause), lastPause)
	return trouble, renew
}

// lookAt adds to a problem how the disk of dir is.
func lookAt(dir, problem string, now time.Time) look {
	l := look{at: now, problem: problem, free: freeSpace(dir)}
	if problem != "" || l.free < enoughFree {
		l.full = refusesWrites(dir)
	}
	return l
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

// refusesWrites tries, for numbers do not say all: a quota may be used up, or only
// what is reserved for root may be left, to root.
func refusesWrites(dir string) bool {
	path := filepath.Join(dir, "trial")
	defer os.Remove(path)
	block := make([]byte, trialSize)
	_, _ = rand.Read(block) // a disk may not count zeros
	err := os.WriteFile(path, block, 0o600)
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
