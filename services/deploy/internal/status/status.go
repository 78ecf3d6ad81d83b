// Package status tells how a version is doing from what its compute workload
// shows, with the cause in plain words.
//
// It is pure. What has not been seen does not change what is known: while the
// compute service cannot be reached, a version keeps its last state and its
// traffic.
package status

import (
	"fmt"
	"strings"

	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// Workload is what the compute service shows of a version's workload.
type Workload struct {
	// Generation is that of the spec that the compute service has taken.
	Generation int64
	// ObservedGeneration is the one that State speaks of.
	ObservedGeneration int64
	State              endpoint.State
	Reason             string
	Message            string
	LogLines           []string
	// Ready counts the replicas of any generation that answer.
	Ready int
}

// Problem is a failure to hand a version to its compute target.
type Problem struct {
	Reason  string
	Message string
	// Final says that trying again will not help.
	Final bool
}

// Seen is all that is known of a version's workload at one moment.
type Seen struct {
	// Whole says that the list of workloads is complete: what is not there does not exist.
	Whole bool
	// Workload is nil when none was seen.
	Workload *Workload
	// Applied is the workload's generation when the compute service has just
	// taken the version's revision; 0 otherwise.
	Applied int64
	// Problem is nil unless handing over has just failed.
	Problem *Problem
}

// NeedsApply tells whether the compute service must be given the version again:
// it has not got this revision, or what it has is not what was given.
func NeedsApply(v endpoint.Version, s Seen) bool {
	if v.Status.AppliedRevision != v.Revision || v.Status.AppliedReplicas != endpoint.DesiredReplicas(v) {
		return true
	}
	return s.Whole && (s.Workload == nil || s.Workload.Generation != v.Status.AppliedGeneration)
}

// Observe gives the version's status as it follows from what is seen.
func Observe(v endpoint.Version, s Seen) endpoint.Status {
	next := v.Status
	if s.Applied > 0 {
		next.AppliedRevision, next.AppliedGeneration, next.AppliedReplicas = v.Revision, s.Applied, endpoint.DesiredReplicas(v)
	}
	w := s.Workload
	if w != nil {
		next.Ready = w.Ready
	}
	lost := w == nil && s.Whole && next.AppliedRevision > 0
	if lost {
		next.Ready, next.AppliedRevision, next.AppliedGeneration = 0, 0, 0
	}
	switch {
	case s.Problem != nil && s.Problem.Final:
		return is(next, endpoint.Failed, s.Problem.Reason, "the compute target refuses it: "+s.Problem.Message)
	case s.Problem != nil && next.AppliedRevision != v.Revision:
		return is(next, endpoint.Transitioning, "Waiting", "waiting for the compute service, which does not answer: "+s.Problem.Message)
	case lost:
		return is(next, endpoint.Transitioning, "WorkloadLost", "its replicas are gone from the compute target and are started again")
	case next.AppliedRevision != v.Revision:
		return waiting(next)
	case w == nil:
		return next
	case w.ObservedGeneration < next.AppliedGeneration && enough(v, next):
		return next
	case w.ObservedGeneration < next.AppliedGeneration:
		return is(next, endpoint.Transitioning, "Starting", "the compute target is starting its replicas")
	}
	return scaled(v, fromWorkload(v, next, w))
}

// enough tells whether an autoscaled version serves, however many more or fewer
// replicas the autoscaler wants it to have.
func enough(v endpoint.Version, s endpoint.Status) bool {
	a := v.Spec.Autoscale
	return a != nil && v.Serving == v.Revision && s.Ready > 0 && s.Ready >= a.Min
}

// scaled gives the state of a version that follows its load: healthy while it
// serves, also while it gets more replicas or finds no room for them, and while
// it rests without any.
func scaled(v endpoint.Version, s endpoint.Status) endpoint.Status {
	wanted := endpoint.DesiredReplicas(v)
	switch {
	case v.Spec.Autoscale == nil || v.Serving != v.Revision:
	case wanted == 0 && (s.State == endpoint.Transitioning || s.State == endpoint.Healthy):
		return is(s, endpoint.Healthy, "ScaledToZero", "it has no replica while no request comes; the next ones are held while one starts")
	case s.State == endpoint.Transitioning && s.Ready == 0:
		s.Message = "its first replica is starting; requests are held meanwhile"
	case enough(v, s) && s.State == endpoint.Transitioning:
		return is(s, endpoint.Healthy, "Scaling", fmt.Sprintf("%d of %d replicas are ready", s.Ready, wanted))
	case enough(v, s) && s.State == endpoint.Unschedulable:
		return is(s, endpoint.Healthy, "ScalingWithoutRoom", fmt.Sprintf("%d of %d replicas are ready; there is no room for more: %s", s.Ready, wanted, s.Message))
	}
	return s
}

func fromWorkload(v endpoint.Version, next endpoint.Status, w *Workload) endpoint.Status {
	next = is(next, w.State, w.Reason, w.Message)
	next.LogLines = w.LogLines
	switch {
	case w.State == endpoint.Healthy:
		next.Reason, next.Message, next.LogLines = "", "", nil
	case w.State == endpoint.Deleting:
		next = is(next, endpoint.Unhealthy, "WorkloadDeleted", "its replicas are being removed from the compute target")
	case w.State == endpoint.Failed && strings.HasSuffix(w.Message, keepsServing):
		next.Message = stillServing(v, w.Message)
	case w.State == endpoint.Failed && w.Ready > 0:
		next.Message = fmt.Sprintf("%s (%d of the replicas from before the change still answer)", w.Message, w.Ready)
	case next.Message == "" && w.State == endpoint.Transitioning:
		next.Message = "its replicas are starting"
	case next.Message == "":
		next.Message = "the compute target gives no cause"
	}
	return next
}

// keepsServing ends the message of a failed workload whose generation before
// still answers.
const keepsServing = "keeps serving)"

// stillServing names what still answers by its revision: users do not know the
// generations of workloads, which also count changes of scale.
func stillServing(v endpoint.Version, message string) string {
	at := strings.LastIndex(message, " (generation ")
	if at < 0 || v.Serving == 0 || v.Serving == v.Revision {
		return message
	}
	return fmt.Sprintf("%s (revision %d %s", message[:at], v.Serving, keepsServing)
}

// waiting keeps the words of an earlier wait, which may say more.
func waiting(next endpoint.Status) endpoint.Status {
	if next.State == endpoint.Transitioning && (next.Reason == "Waiting" || next.Reason == "WorkloadLost") {
		return next
	}
	return is(next, endpoint.Transitioning, "Waiting", "waiting for the compute target")
}

func is(s endpoint.Status, state endpoint.State, reason, message string) endpoint.Status {
	s.State, s.Reason, s.Message, s.LogLines = state, reason, message, nil
	return s
}
