// Package driver is the port to where replicas run. A driver starts, watches,
// drains and ends the processes of replicas; it decides nothing: which replicas
// there are, and when one is started again, is package plan's business.
//
// Guarantees that every driver gives (package drivertest checks them):
//   - A process that was started is listed until Forget, with its end and cause.
//   - Start of a process that is known already changes nothing.
//   - After a restart, processes that go on are listed again under their launch;
//     nothing runs that is not listed.
//   - When a process has ended, nothing that it started is left.
//
// All methods are safe for concurrent use.
package driver

import (
	"context"
	"iter"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// Launch is all that a process is started with.
type Launch struct {
	Replica string `json:"replica"` // unique over time
	Process int    `json:"process"` // counts the processes of the replica from 0
	// Workload is the full name of the workload; WorkloadUID its incarnation.
	Workload    string        `json:"workload"`
	WorkloadUID string        `json:"workloadUid"`
	Generation  int64         `json:"generation"`
	Node        string        `json:"node"`
	Devices     []string      `json:"devices,omitempty"`
	CreateTime  time.Time     `json:"createTime"` // of the replica
	Spec        workload.Spec `json:"spec"`
	// LastFailure is the end of the process before.
	LastFailure replica.Failure `json:"lastFailure,omitzero"`
}

// Process is what a driver sees of a process.
type Process struct {
	Launch
	replica.Observation
	// Stopping says that it was told to end.
	Stopping bool
}

// Runner runs processes.
type Runner interface {
	// Start begins to start a process; what comes of it is observed.
	Start(l Launch)
	// Adjust gives a running replica the settings that its workload has now.
	Adjust(replica string, settings workload.Settings)
	// Stop ends the process of a replica: with drain it finishes its requests
	// first, within the spec's drain timeout, else it ends at once.
	Stop(replica string, drain bool)
	// Forget drops a replica whose process has ended, or was never started.
	Forget(replica string)
	Observer
}

// Observer shows what runs.
type Observer interface {
	// Processes lists the newest process of each replica.
	Processes() []Process
	// Changes is signalled when something differs since it was last received from.
	Changes() <-chan struct{}
}

// Sweeper keeps in bounds what is written.
type Sweeper interface {
	// Sweep begins to remove what is of no use any more: logs of workloads that are
	// gone, after a while, and files that were not used for long.
	Sweep(keep Keep)
}

// LogQuery says which lines are wanted.
type LogQuery struct {
	WorkloadUID string
	Replica     string // empty means all, also those that have ended
	Tail        int    // how many of the last lines to begin with
	Follow      bool
	// Previous is the output of the process before the present one; it has no news.
	Previous bool
	// Init is only what was written before the process was ready.
	Init bool
}

// LogLine is one line of output.
type LogLine struct {
	Time    time.Time
	Replica string
	Text    string
}

// Logs reads what replicas wrote.
type Logs interface {
	// ReadLogs gives batches of lines, oldest first.
	ReadLogs(ctx context.Context, q LogQuery) iter.Seq2[[]LogLine, error]
	// GoneWorkload gives the uid of the last workload of this name of which there
	// are logs; empty when there are none.
	GoneWorkload(name string) (uid string)
}

// Keep says what a sweep leaves alone.
type Keep struct {
	Workloads map[string]bool // by uid
	Files     map[string]bool // by digest
}

// Machine tells what is there.
type Machine interface {
	Accelerators() []placement.Device
	// Note says in one line what to know about the machine behind the nodes.
	Note() string
	// CheckPython says why no interpreter has what is asked; nil when one has.
	CheckPython(ctx context.Context, ask *workload.Python) error
	// Usage gives what each replica uses now, where that is known.
	Usage() map[string]replica.Usage
}

// Component is what runs.
type Component interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
}

// Driver is a whole driver. Run blocks until ctx ends; the other methods work
// once Ready is closed.
type Driver interface {
	Component
	Runner
	Logs
	Machine
	Sweeper
}
