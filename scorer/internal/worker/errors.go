package worker

import (
	"errors"
	"fmt"
	"time"
)

// Reasons why a request gets no reply.
var (
	// ErrQueueFull says that too many requests wait already.
	ErrQueueFull = errors.New("too many requests wait for a worker")
	// ErrNoWorker says that no worker is able to take a request soon, and that another scorer can.
	ErrNoWorker = errors.New("all workers are being replaced")
	// ErrStopped says that the pool has ended.
	ErrStopped = errors.New("the scorer is stopping")
	// ErrExited says that run() called sys.exit.
	ErrExited = errors.New("run() called sys.exit")

	// errNotSent says that the worker can't have begun with the request, so that another may get it.
	errNotSent = errors.New("the worker did not get the request")
)

// LoadError says why a script can't serve.
type LoadError struct {
	// Reason is a stable word: ScriptError, MissingPackage, NoInit, NoRun.
	Reason string
	// Cause is one line, in plain words.
	Cause string
	// Detail is the traceback and what helps to read it; it may be empty.
	Detail string
}

func (e *LoadError) Error() string { return e.Cause }

// CrashLoopError says that workers die again and again by themselves.
type CrashLoopError struct{ Cause string }

func (e *CrashLoopError) Error() string { return e.Cause }

// TimeoutError says that run() took longer than allowed; the worker has been replaced.
type TimeoutError struct{ Limit time.Duration }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("run() did not end within %v", e.Limit)
}

// CrashError says that the worker ended while it ran a request.
type CrashError struct{ Cause string }

func (e *CrashError) Error() string {
	return "the worker ended while it ran the request: " + e.Cause
}
