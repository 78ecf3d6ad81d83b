// Package workload decides about workloads: what a new spec makes of one, and
// how it is doing, seen from its replicas. Its functions return the next state
// with the facts to publish, or an *apierr.Error. It is pure; values are
// immutable and safe for concurrent use.
package workload

import (
	"regexp"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/compute/internal/fact"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
)

// State is how a workload is doing.
type State string

// The states.
const (
	Transitioning State = "TRANSITIONING"
	Healthy       State = "HEALTHY"
	Unhealthy     State = "UNHEALTHY"
	Unschedulable State = "UNSCHEDULABLE"
	Failed        State = "FAILED"
	Deleting      State = "DELETING"
)

// Revision is a spec with its generation.
type Revision struct {
	Generation int64 `json:"generation"`
	Spec       Spec  `json:"spec"`
}

// Workload is a workload as it is stored.
type Workload struct {
	Workspace string `json:"workspace"`
	Target    string `json:"target"`
	ID        string `json:"id"`
	UID       string `json:"uid"`
	// Revision is the newest one.
	Revision
	// Stable is the revision that serves while a newer one is not healthy yet.
	Stable *Revision `json:"stable,omitempty"`
	// Proven says that a replica of the newest revision has been ready.
	Proven bool `json:"proven,omitempty"`
	// HealthyGeneration is the newest generation of which all replicas were ready.
	HealthyGeneration int64 `json:"healthyGeneration,omitempty"`
	// Failure says why the newest revision cannot start; it is not tried again.
	Failure *replica.Cause `json:"failure,omitempty"`

	State              State         `json:"state"`
	ObservedGeneration int64         `json:"observedGeneration"`
	Cause              replica.Cause `json:"cause,omitzero"`
	TransitionTime     time.Time     `json:"transitionTime"`
	CreateTime         time.Time     `json:"createTime"`
	// Announced holds, for each replica, which of its processes was announced last and how.
	Announced     map[string]Announcement `json:"announced,omitempty"`
	EventSequence int64                   `json:"eventSequence"`
}

// Announcement is what was last published about a replica.
type Announcement struct {
	Process int  `json:"process"`
	Failed  bool `json:"failed,omitempty"`
}

// Name gives the full resource name.
func (w Workload) Name() string { return Name(w.Workspace, w.Target, w.ID) }

// Name gives the full resource name of a workload.
func Name(workspace, target, id string) string {
	return resourcename.Format("workspaces", workspace, "computeTargets", target, "workloads", id)
}

// Revisions gives those that replicas may be started from: the newest, then the stable one.
func (w Workload) Revisions() []Revision {
	if w.Stable == nil {
		return []Revision{w.Revision}
	}
	return []Revision{w.Revision, *w.Stable}
}

// Identity is what a new workload is given.
type Identity struct{ Workspace, Target, ID, UID string }

var idPattern = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Create makes a workload.
func Create(identity Identity, spec Spec, now time.Time) (Workload, []fact.Fact, error) {
	if !idPattern.MatchString(identity.ID) {
		return Workload{}, nil, apierr.Invalid(apierr.Violation{
			Field: "name", Description: "must end with an id of 1 to 63 lower-case letters, digits and dashes that starts with a letter",
		})
	}
	spec = spec.WithDefaults()
	if err := spec.Validate(); err != nil {
		return Workload{}, nil, err
	}
	w := Workload{
		Workspace: identity.Workspace, Target: identity.Target, ID: identity.ID, UID: identity.UID,
		Revision: Revision{Generation: 1, Spec: spec},
		State:    Transitioning, TransitionTime: now, CreateTime: now,
		Cause: replica.Cause{Reason: "Starting", Message: "replicas are being started"},
	}
	w, f := w.happened("workload", "applied", "applied with "+replicas(spec.Replicas), nil)
	return w, []fact.Fact{f}, nil
}

// Apply replaces the spec. The same spec again changes nothing and gives no facts.
func Apply(w Workload, spec Spec, now time.Time) (Workload, []fact.Fact, error) {
	spec = spec.WithDefaults()
	if err := spec.Validate(); err != nil {
		return Workload{}, nil, err
	}
	if w.State == Deleting {
		return Workload{}, nil, apierr.New(apierr.FailedPrecondition, "WORKLOAD_DELETING",
			"workload %s is being deleted: wait until it is gone", w.Name())
	}
	before, after := w.Spec.Template(), spec.Template()
	if w.Spec.same(spec) {
		return w, nil, nil
	}
	if before != after {
		w.Stable = w.servingBefore(after)
		w.Proven = false
	}
	w.Revision = Revision{Generation: w.Generation + 1, Spec: spec}
	w.Failure = nil
	w.State, w.TransitionTime = Transitioning, now
	w.Cause = replica.Cause{Reason: "Updating", Message: "replicas of the new spec are being started"}
	w, f := w.happened("workload", "applied", "applied with "+replicas(spec.Replicas), nil)
	return w, []fact.Fact{f}, nil
}

// servingBefore chooses what goes on serving while the template changes.
func (w Workload) servingBefore(next string) *Revision {
	if w.Proven {
		r := w.Revision
		return &r
	}
	if w.Stable != nil && w.Stable.Spec.Template() == next {
		return nil
	}
	return w.Stable
}

// Delete marks a workload for removal; a second time it changes nothing.
func Delete(w Workload, now time.Time) (Workload, []fact.Fact) {
	if w.State == Deleting {
		return w, nil
	}
	w.State, w.TransitionTime = Deleting, now
	w.Cause = replica.Cause{Reason: "Deleting", Message: "replicas are being drained"}
	w, f := w.happened("workload", "state-changed", w.Cause.Message, nil)
	return w, []fact.Fact{f}
}

// Removed gives the last facts of a workload that has no replica left.
func Removed(w Workload) []fact.Fact {
	_, f := w.happened("workload", "deleted", "deleted; its last replica has ended", nil)
	return []fact.Fact{f}
}

// happened counts an event and describes it.
func (w Workload) happened(resourceKind, verb, message string, details map[string]any) (Workload, fact.Fact) {
	w.EventSequence++
	all := map[string]any{"aggregate": w.Name(), "endpoint": w.Spec.Endpoint, "version": w.Spec.Version}
	for k, v := range details {
		all[k] = v
	}
	return w, fact.Fact{
		Resource: resourceKind, Verb: verb, Subject: w.Name(), UID: w.UID, Generation: w.Generation,
		Sequence: w.EventSequence, State: string(w.State), Message: message, Details: all,
	}
}
