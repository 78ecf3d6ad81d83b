// Package replica is the life of one replica: what each observation of its
// process makes of it, and when a process that ended is started again. It is
// pure; values are immutable.
//
// A process that ends unexpectedly is started again after a pause that begins
// at one second and doubles with every end in a row up to one minute. After one
// minute of being ready the count starts anew.
package replica

import (
	"fmt"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

// State is where a replica is in its life.
type State string

// The states. Gone is the end: nothing of it is left.
const (
	Pending      State = "PENDING"
	Starting     State = "STARTING"
	Ready        State = "READY"
	Draining     State = "DRAINING"
	BackingOff   State = "BACKING_OFF"
	Unresponsive State = "UNRESPONSIVE"
	Gone         State = "GONE"
)

const (
	firstPause  = time.Second
	longestWait = time.Minute
	// stableAfter is how long a replica must be ready for its failures to be forgotten.
	stableAfter = time.Minute
)

// Reasons of processes that ended by themselves, of ends that go on in a row,
// and of replicas whose node is no more.
const (
	Exited    = "Exited"
	Killed    = "Killed"
	CrashLoop = "CrashLoop"
	NodeGone  = "NodeGone"
)

// Cause is why a replica is as it is.
type Cause struct {
	Reason   string   `json:"reason,omitempty"` // stable, UpperCamelCase
	Message  string   `json:"message,omitempty"`
	LogLines []string `json:"logLines,omitempty"`
}

// Failure is an unexpected end of a process.
type Failure struct {
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Time    time.Time `json:"time"`
}

// Replica is one copy of a workload.
type Replica struct {
	ID            string
	Template      string // which spec it runs
	Generation    int64
	Node          string
	Devices       []string
	Demand        resource.Amount
	MaxConcurrent int

	State      State
	Address    string
	Restarts   int // also the number of its present process
	Cause      Cause
	CreateTime time.Time
	StartTime  time.Time
	ReadySince time.Time // zero while it is not ready

	WasReady      bool // a process of it has been ready
	Failures      int  // ends in a row
	StartFailures int  // ends in a row because the script cannot start
	Hopeless      bool // the last of them showed that no try can help
	RetryAt       time.Time
	LastFailure   Failure // stays when it is ready again; zero when there was none

	Usage  Usage  // of its present process, not always the newest
	Report Report // of its present process
}

// Report is what a scorer says of itself; empty before it does.
type Report struct {
	Runtime           string
	ExecutionProvider string
	Accelerators      []string
}

// Usage is what the processes of a replica use.
type Usage struct {
	MemoryBytes, MemoryPeakBytes int64
	CPUTime                      time.Duration
}

// Phase is what a driver sees of a process.
type Phase string

// The phases of a process.
const (
	Preparing Phase = "PREPARING" // its files are fetched
	Launched  Phase = "LAUNCHED"  // it runs and is not ready yet
	Answering Phase = "ANSWERING" // it is ready
	Silent    Phase = "SILENT"    // it runs and does not answer its probes
	Ended     Phase = "ENDED"
)

// Observation is what a driver says of one process of a replica.
type Observation struct {
	Phase      Phase
	Process    int // Restarts of the replica when it was started
	Address    string
	StartTime  time.Time
	ReadySince time.Time
	Cause      Cause
	// CannotStart says that the process ended because its script cannot start.
	CannotStart bool
	// Hopeless says of what cannot start that another try would end the same way.
	Hopeless bool
	Usage    Usage
	Report   Report
}

// Live says whether r counts among the wanted ones.
func (r Replica) Live() bool { return r.State != Draining && r.State != Gone }

// Observe gives r after an observation at now.
func (r Replica) Observe(o Observation, now time.Time) Replica {
	if o.Process < r.Restarts || r.State == Gone || r.State == Pending {
		return r
	}
	if o.Phase == Ended {
		return r.ended(o, now)
	}
	if r.State == BackingOff {
		return r
	}
	r.Address, r.StartTime, r.ReadySince, r.Usage, r.Report = o.Address, o.StartTime, o.ReadySince, o.Usage, o.Report
	if !o.ReadySince.IsZero() {
		r.WasReady = true
		r.StartFailures = 0
		if now.Sub(o.ReadySince) >= stableAfter {
			r.Failures = 0
		}
	}
	if r.State == Draining {
		return r
	}
	r.Cause = o.Cause
	switch o.Phase {
	case Answering:
		r.State = Ready
	case Silent:
		r.State = Unresponsive
	default:
		r.State = Starting
	}
	return r
}

func (r Replica) ended(o Observation, now time.Time) Replica {
	if r.State == Draining {
		r.State, r.Address = Gone, ""
		return r
	}
	if r.State == BackingOff {
		return r
	}
	if !o.ReadySince.IsZero() {
		r.WasReady = true
		if now.Sub(o.ReadySince) >= stableAfter {
			r.Failures = 0
		}
	}
	r.Failures++
	r.StartFailures++
	if !o.CannotStart {
		r.StartFailures = 0
	}
	r.Hopeless = o.CannotStart && o.Hopeless
	r.State, r.Address, r.ReadySince, r.Cause, r.Usage, r.Report = BackingOff, "", time.Time{}, o.Cause, Usage{}, Report{}
	if r.Failures > 1 && (o.Cause.Reason == Exited || o.Cause.Reason == Killed) {
		r.Cause.Reason = CrashLoop
		r.Cause.Message += fmt.Sprintf("; that was the end %d times in a row", r.Failures)
	}
	r.LastFailure = Failure{Reason: r.Cause.Reason, Message: r.Cause.Message, Time: now}
	r.RetryAt = now.Add(Pause(r.Failures))
	return r
}

// Started gives r with a new process.
func (r Replica) Started(now time.Time) Replica {
	if r.State == BackingOff {
		r.Restarts++
	}
	r.State, r.Address, r.StartTime, r.RetryAt = Starting, "", now, time.Time{}
	return r
}

// Drained gives r told to end.
func (r Replica) Drained(cause Cause) Replica {
	if cause.Reason == "" {
		cause.Reason = "Draining"
	}
	r.State, r.Cause = Draining, cause
	return r
}

// Pause is how long to wait after so many failures in a row.
func Pause(failures int) time.Duration {
	pause := firstPause
	for range failures - 1 {
		pause *= 2
		if pause >= longestWait {
			return longestWait
		}
	}
	return pause
}

// Due says whether the pause of a replica that failed is over. A pause that would
// be longer than it was meant to be began before the clock was set back: it is over.
func (r Replica) Due(now time.Time) bool {
	left := r.RetryAt.Sub(now)
	return r.State == BackingOff && (left <= 0 || left > Pause(r.Failures))
}

// NextChange is when time alone changes something about r; zero when it does not.
func (r Replica) NextChange() time.Time {
	if r.State == BackingOff {
		return r.RetryAt
	}
	return time.Time{}
}
