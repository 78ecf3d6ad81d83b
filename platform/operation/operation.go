// Package operation keeps long-running work as google.longrunning.Operation.
//
// An Operation is a pure value; it is stored in the same batch as the change
// that it belongs to, so that neither exists without the other, and again in
// the batch that ends it. A Registry is a service's view of its operations and
// lets callers wait. Finished operations are kept for a week.
//
// The id begins with the name of the service that owns it, so that the edge
// knows whom to ask.
package operation

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
)

// keepFinished is how long finished operations can be read.
const keepFinished = 7 * 24 * time.Hour

// maxSteps bounds what is kept of an operation's course.
const maxSteps = 50

// Operation is one piece of long work on one resource.
type Operation struct {
	ID               string    `json:"id"`
	Workspace        string    `json:"workspace"`
	Service          string    `json:"service"`
	Verb             string    `json:"verb"`   // "create", "update", "delete", …
	Target           string    `json:"target"` // a resource name
	TargetUID        string    `json:"targetUid,omitempty"`
	TargetGeneration int64     `json:"targetGeneration,omitempty"`
	Principal        string    `json:"principal,omitempty"`
	CreateTime       time.Time `json:"createTime"`
	EndTime          time.Time `json:"endTime,omitzero"`
	Done             bool      `json:"done,omitempty"`
	Steps            []Step    `json:"steps,omitempty"`
	// Error is set when it is done and has failed.
	Error *apierr.Error `json:"error,omitempty"`
}

// Step is something that an operation has reached.
type Step struct {
	Time    time.Time `json:"time"`
	Message string    `json:"message"`
}

// New begins an operation of a service on a target.
func New(service, workspace, verb, target string, now time.Time) Operation {
	return Operation{
		ID:         service + "-" + strings.ToLower(ulid.MustNewDefault(now).String()),
		Workspace:  workspace,
		Service:    service,
		Verb:       verb,
		Target:     target,
		CreateTime: now,
	}
}

// Name is the operation's resource name.
func (o Operation) Name() string {
	return resourcename.Format("workspaces", o.Workspace, "operations", o.ID)
}

// Step returns o with one more step. The same message twice in a row is one
// step; beyond the bound the oldest steps but the first go.
func (o Operation) Step(now time.Time, format string, args ...any) Operation {
	message := fmt.Sprintf(format, args...)
	if n := len(o.Steps); n > 0 && o.Steps[n-1].Message == message {
		return o
	}
	steps := append(append([]Step(nil), o.Steps...), Step{Time: now, Message: message})
	if len(steps) > maxSteps {
		steps = append(steps[:1], steps[2:]...)
	}
	o.Steps = steps
	return o
}

// Succeed returns o done.
func (o Operation) Succeed(now time.Time) Operation {
	o.Done, o.EndTime, o.Error = true, now, nil
	return o
}

// Fail returns o done with what went wrong.
func (o Operation) Fail(now time.Time, err *apierr.Error) Operation {
	o.Done, o.EndTime, o.Error = true, now, err
	return o
}

// Prefix is where a service's operations are in its store.
const Prefix = "operations"

func key(workspace, id string) string {
	return resourcename.Format(Prefix, workspace, id)
}

// Put gives the store operation that keeps o, for the batch of its cause.
func Put(o Operation) store.Op {
	value, err := json.Marshal(o)
	if err != nil { // a struct of strings and times always marshals
		value = nil
	}
	op := store.Put(key(o.Workspace, o.ID), value)
	if o.Done {
		return op.WithTTL(keepFinished)
	}
	return op
}

func decode(e store.Entry) (Operation, error) {
	var o Operation
	if err := json.Unmarshal(e.Value, &o); err != nil {
		return Operation{}, fmt.Errorf("read operation %s: %w", e.Key, err)
	}
	return o, nil
}
