package endpoint

import (
	"fmt"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
)

// KeptRevisions is how many revisions of a version are kept.
const KeptRevisions = 20

// Revision is what a version ran from one change to the next. Revisions are
// stored beside the endpoint, not in it.
type Revision struct {
	VersionUID string    `json:"versionUid"`
	Number     int64     `json:"number"`
	Spec       Spec      `json:"spec"`
	CreateTime time.Time `json:"createTime"`
	CreatedBy  string    `json:"createdBy,omitempty"`
	// Served is true once it has been healthy.
	Served bool `json:"served,omitempty"`
	// Failure is why it could not start; empty when it could.
	Failure string `json:"failure,omitempty"`
	// Cancelled is true when somebody ended the change that made it.
	Cancelled bool `json:"cancelled,omitempty"`
}

// Mark says what has become of a revision: it serves, why it could not start, or
// that it was cancelled.
type Mark struct {
	VersionUID string
	Number     int64
	Failure    string
	Cancelled  bool
}

// Busy refuses a change while another one runs.
func (e Endpoint) Busy() error {
	if err := e.mutable(); err != nil {
		return err
	}
	running := e.Running()
	if running == "" {
		return nil
	}
	return apierr.New(apierr.Conflict, "OPERATION_IN_PROGRESS",
		"endpoint %s is being changed by %s; wait until that is done (--wait does), or cancel it", e.ID, running).With("operation", running)
}

// Rollback makes a version run again what it ran in an earlier revision, as a
// new revision. Its traffic, role and labels stay.
func (e Endpoint) Rollback(id, operation string, to Revision, now time.Time) (Change, error) {
	if err := e.mutable(); err != nil {
		return Change{}, err
	}
	old, ok := e.Version(id)
	if !ok {
		return Change{}, e.noVersion(id)
	}
	if to.Spec.Equal(old.Spec) {
		return Change{}, apierr.New(apierr.FailedPrecondition, "NOTHING_TO_ROLL_BACK", "version %s runs what revision %d ran already", id, to.Number)
	}
	c := Change{Endpoint: e.clone()}
	updated := old
	updated.UpdateTime = now
	c.run(&updated, to.Spec, operation, now)
	c.Endpoint.put(updated)
	c.Endpoint.changed(now)
	c.version(updated, "rolled-back", fmt.Sprintf("version %s goes back to what revision %d ran, as revision %d", id, to.Number, updated.Revision),
		map[string]any{"revision": updated.Revision, "to": to.Number})
	c.step("going back to what revision %d ran", to.Number)
	return c.settled(e), nil
}

// run lets a version run another specification, as its next revision. An
// operation that waits for the one before ends.
func (c *Change) run(v *Version, spec Spec, operation string, now time.Time) {
	if v.Pending != nil {
		c.Ended = append(c.Ended, Ended{Operation: v.Pending.Operation,
			Err: apierr.New(apierr.Cancelled, "SUPERSEDED", "version %s was changed again before it was done", v.ID)})
	}
	before := v.Spec
	v.Spec = spec
	*v = v.rescaled(before, now)
	v.Revision++
	v.Pending = nil
	if operation != "" {
		v.Pending = &Pending{Operation: operation, Start: now}
	}
	v.Status = waitingForTarget(v.Status, now)
	c.Revisions = append(c.Revisions, revisionOf(*v, now))
}

func revisionOf(v Version, now time.Time) Revision {
	return Revision{VersionUID: v.UID, Number: v.Revision, Spec: v.Spec, CreateTime: now}
}

// CancelNeeds gives the revision that must be known to cancel an operation: the
// one that the version goes back to. ok is false when none is needed.
func (e Endpoint) CancelNeeds(operation string) (versionUID string, number int64, ok bool) {
	v, found := e.pendingOn(operation)
	if !found || v.Serving == 0 || v.Serving == v.Revision {
		return "", 0, false
	}
	return v.UID, v.Serving, true
}

// Cancel ends an operation. A version that is being changed goes back to the
// revision that serves, as a new revision; serving is that one, nil when it is
// not known. A version that is being added goes away again. What is being
// deleted cannot come back.
func (e Endpoint) Cancel(operation string, serving *Revision, now time.Time) (Change, error) {
	v, found := e.pendingOn(operation)
	switch {
	case !found:
		return Change{}, apierr.New(apierr.FailedPrecondition, "CANNOT_CANCEL", "a deletion cannot be cancelled: what is being deleted has stopped already")
	case v.Revision == 1 && len(e.Versions) == 1:
		return Change{}, apierr.New(apierr.FailedPrecondition, "CANNOT_CANCEL",
			"version %s is the only one of endpoint %s, so there is nothing to go back to; delete the endpoint, which ends the operation", v.ID, e.ID)
	case v.Revision == 1:
		return e.cancelCreation(v, operation, now)
	}
	c := Change{Endpoint: e.clone()}
	c.Endpoint.changed(now)
	message := "version " + v.ID + " has not served before, so what it runs stays as it is"
	v.Pending = nil
	if serving != nil {
		c.Marks = append(c.Marks, Mark{VersionUID: v.UID, Number: v.Revision, Cancelled: true})
		c.run(&v, serving.Spec, "", now)
		message = fmt.Sprintf("version %s goes back to what revision %d runs, as revision %d", v.ID, serving.Number, v.Revision)
	}
	c.Endpoint.put(v)
	c.Ended = append(c.Ended, Ended{Operation: operation, Err: cancelled(message)})
	c.version(v, "cancelled", message, map[string]any{"revision": v.Revision})
	return c.settled(e), nil
}

func (e Endpoint) cancelCreation(v Version, operation string, now time.Time) (Change, error) {
	c, err := e.DeleteVersion(v.ID, "", now)
	if err != nil {
		return Change{}, err
	}
	for i, end := range c.Ended {
		if end.Operation == operation {
			c.Ended[i].Err = cancelled("version " + v.ID + " is removed again")
		}
	}
	return c, nil
}

func cancelled(message string) *apierr.Error {
	return apierr.New(apierr.Cancelled, "CANCELLED", "the operation was cancelled: %s", message)
}

func (e Endpoint) pendingOn(operation string) (Version, bool) {
	for _, v := range e.Versions {
		if v.Pending != nil && v.Pending.Operation == operation {
			return v, true
		}
	}
	return Version{}, false
}

func (c *Change) step(format string, args ...any) {
	c.Steps = append(c.Steps, fmt.Sprintf(format, args...))
}
