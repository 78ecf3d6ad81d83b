package endpoint

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Observation is what has been seen of an endpoint's workloads.
type Observation struct {
	// Statuses holds what is new, by version.
	Statuses map[string]Status
	// Gone are the workloads that do not exist any more.
	Gone map[string]bool
}

// Limits say how long an operation waits for a version.
type Limits struct {
	// Unschedulable is how long a version may find no room.
	Unschedulable time.Duration
	// Deploy is how long a version may take in all.
	Deploy time.Duration
}

// Observe takes in an observation: states, traffic, and the operations that end
// with it. The second result tells whether anything changed.
func (e Endpoint) Observe(o Observation, limits Limits, now time.Time) (Change, bool) {
	c := Change{Endpoint: e.clone()}
	changed := false
	for i, v := range c.Endpoint.Versions {
		next, ok := o.Statuses[v.ID]
		if ok && e.Deletion == nil {
			changed = c.observeVersion(i, next, now) || changed
		}
		changed = c.endPending(i, limits, now) || changed
	}
	left := c.Endpoint.Retired[:0]
	for _, r := range c.Endpoint.Retired {
		if !o.Gone[r.Workload] {
			left = append(left, r)
			continue
		}
		changed = true
		if r.Operation != "" {
			c.Ended = append(c.Ended, Ended{Operation: r.Operation})
		}
	}
	c.Endpoint.Retired = left
	if e.Deletion == nil && c.Endpoint.actedOn() && c.Endpoint.Observed != e.Generation {
		c.Endpoint.Observed, changed = e.Generation, true
	}
	if !changed {
		return Change{Endpoint: e}, false
	}
	return c.settled(e), true
}

// observeVersion takes in the new status of the version at index i.
func (c *Change) observeVersion(i int, next Status, now time.Time) bool {
	v := c.Endpoint.Versions[i]
	next.Since = v.Status.Since
	if next.State != v.Status.State {
		next.Since = now
	}
	serves := next.State == Healthy && next.AppliedRevision == v.Revision && v.Serving != v.Revision
	if serves {
		v.Serving = v.Revision
		c.Marks = append(c.Marks, Mark{VersionUID: v.UID, Number: v.Revision})
	}
	if next.equal(v.Status) && !serves {
		return false
	}
	before := v.Status
	v.Status = next
	c.Endpoint.Versions[i] = v
	if next.State != before.State {
		c.version(v, "state-changed", Sentence(v.ID, next), map[string]any{"formerState": string(before.State), "reason": next.Reason, "readyReplicas": next.Ready})
	}
	return true
}

// neverFits is compute's reason for a version that waits for room that its
// target cannot give.
const neverFits = "NeverFits"

// endPending ends the operation that waits for the version at index i when the
// version has come to rest or has taken too long.
func (c *Change) endPending(i int, limits Limits, now time.Time) bool {
	v := c.Endpoint.Versions[i]
	if v.Pending == nil {
		return false
	}
	end := Ended{Operation: v.Pending.Operation}
	switch s := v.Status; {
	case s.State == Healthy && s.AppliedRevision == v.Revision:
	case s.State == Failed:
		end.Err = apierr.New(apierr.FailedPrecondition, "VERSION_FAILED", "%s", withLog("version "+v.ID+" failed: "+s.Message, s.LogLines))
	case s.State == Unschedulable && s.Reason == neverFits:
		end.Err = apierr.New(apierr.FailedPrecondition, "UNSCHEDULABLE", "version %s fits on no node of its compute target: %s", v.ID, s.Message)
	case s.State == Unschedulable && now.Sub(s.Since) >= limits.Unschedulable:
		end.Err = apierr.New(apierr.DeadlineExceeded, "UNSCHEDULABLE", "version %s found no room on its compute target for %s: %s", v.ID, limits.Unschedulable, s.Message)
	case now.Sub(v.Pending.Start) >= limits.Deploy:
		end.Err = apierr.New(apierr.DeadlineExceeded, "DEPLOYMENT_TIMED_OUT", "%s",
			withLog(fmt.Sprintf("version %s is not healthy after %s; it is %s: %s", v.ID, limits.Deploy, s.State, s.Message), s.LogLines))
	default:
		return false
	}
	if end.Err != nil {
		end.Err = end.Err.With("state", string(v.Status.State)).With("version", v.ID)
		c.Marks = append(c.Marks, Mark{VersionUID: v.UID, Number: v.Revision, Failure: v.Status.Message})
	}
	v.Pending = nil
	c.Endpoint.Versions[i] = v
	c.Ended = append(c.Ended, end)
	return true
}

// Wake tells when to look again although nothing is heard; zero for never.
func (e Endpoint) Wake(limits Limits) time.Time {
	var wake time.Time
	sooner := func(t time.Time) {
		if wake.IsZero() || t.Before(wake) {
			wake = t
		}
	}
	for _, v := range e.Versions {
		if v.Pending == nil {
			continue
		}
		sooner(v.Pending.Start.Add(limits.Deploy))
		if v.Status.State == Unschedulable {
			sooner(v.Status.Since.Add(limits.Unschedulable))
		}
	}
	return wake
}

// actedOn tells whether the compute target has taken every revision.
func (e Endpoint) actedOn() bool {
	return len(e.Retired) == 0 && !slices.ContainsFunc(e.Versions, func(v Version) bool { return v.Status.AppliedRevision != v.Revision })
}

// settled completes a change: state and shares as they follow from it, with
// their facts when they differ from before.
func (c Change) settled(before Endpoint) Change {
	e := &c.Endpoint
	if byDefault, ok := e.Version(e.DefaultVersion); e.StandIn == e.DefaultVersion || ok && byDefault.answers() {
		e.StandIn = ""
	}
	e.State, e.Message = e.overall()
	e.Shares = e.effective()
	if e.State != before.State {
		c.endpoint("state-changed", fmt.Sprintf("endpoint %s is now %s%s", e.ID, e.State, because(e.Message)), map[string]any{"formerState": string(before.State)})
	}
	if !slices.Equal(e.Shares, before.Shares) {
		shares := make(map[string]any, len(e.Shares))
		words := make([]string, len(e.Shares))
		for i, s := range e.Shares {
			shares[s.Version] = percent(s.Share)
			words[i] = fmt.Sprintf("%s %g %%", s.Version, percent(s.Share))
		}
		c.endpoint("traffic-changed", "the traffic is now: "+strings.Join(words, ", "), map[string]any{"shares": shares})
	}
	return c
}

// overall gives the endpoint's state: the worst of its versions', with the
// version that it comes from.
func (e Endpoint) overall() (State, string) {
	if e.Deletion != nil {
		return Deleting, "its replicas finish what they have, then it is gone"
	}
	if v, ok := e.Worst(); ok {
		return v.Status.State, Sentence(v.ID, v.Status)
	}
	return Healthy, ""
}

// Worst gives the version that an endpoint's state comes from; false when all are
// healthy.
func (e Endpoint) Worst() (Version, bool) {
	for _, state := range []State{Failed, Unschedulable, Unhealthy, Transitioning} {
		for _, v := range e.Versions {
			if v.Status.State == state {
				return v, true
			}
		}
	}
	return Version{}, false
}

func (s Status) equal(o Status) bool {
	return slices.Equal(s.LogLines, o.LogLines) && s.Since.Equal(o.Since) && s.State == o.State && s.Reason == o.Reason && s.Message == o.Message &&
		s.Ready == o.Ready && s.AppliedRevision == o.AppliedRevision && s.AppliedGeneration == o.AppliedGeneration && s.AppliedReplicas == o.AppliedReplicas
}

// Sentence tells in words how a version is doing.
func Sentence(id string, s Status) string {
	return fmt.Sprintf("version %s is %s%s", id, s.State, because(s.Message))
}

func because(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

func withLog(message string, lines []string) string {
	if len(lines) == 0 {
		return message
	}
	return message + "\n" + strings.Join(lines, "\n")
}
