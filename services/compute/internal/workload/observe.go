package workload

import (
	"fmt"
	"slices"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/fact"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
)

// View is what can be seen of a workload at one moment.
type View struct {
	Replicas []replica.Replica
	// NoRoom says why a wanted replica has no node; empty when each has one or soon will.
	NoRoom string
	// NeverFits says that it would fit on no node even if all were empty.
	NeverFits bool
	// Failure says that the newest revision cannot start.
	Failure *replica.Cause
}

// Observe gives the workload as the view shows it, with the facts that are new.
func Observe(w Workload, v View, now time.Time) (Workload, []fact.Fact) {
	w, facts := announce(w, v.Replicas)
	if w.State == Deleting {
		return w, facts
	}
	if v.Failure != nil && !w.Proven {
		w.Failure = v.Failure
	}
	template := w.Spec.Template()
	ready := 0
	for _, r := range v.Replicas {
		if r.Template == template && r.State == replica.Ready {
			ready++
		}
	}
	w.Proven = w.Proven || ready > 0
	state, cause := judge(w, v, ready)
	if state == Healthy {
		w.HealthyGeneration = w.Generation
		w.Stable = nil
	}
	w.ObservedGeneration = w.Generation
	changed := state != w.State
	w.Cause = cause
	if !changed {
		return w, facts
	}
	w.State, w.TransitionTime = state, now
	w, f := w.happened("workload", "state-changed", cause.Message, map[string]any{"reason": cause.Reason})
	return w, append(facts, f)
}

func readiness(ready, wanted int) string {
	if wanted == 1 {
		return fmt.Sprintf("%d of 1 replica is ready", ready)
	}
	return fmt.Sprintf("%d of %d replicas are ready", ready, wanted)
}

func replicas(n int) string {
	if n == 1 {
		return "1 replica"
	}
	return fmt.Sprintf("%d replicas", n)
}

// NeverFits is the reason of a workload that waits for room that its target
// cannot give.
const NeverFits = "NeverFits"

func judge(w Workload, v View, ready int) (State, replica.Cause) {
	wanted := w.Spec.Replicas
	switch {
	case w.Failure != nil:
		cause := *w.Failure
		if w.Stable != nil {
			cause.Message += fmt.Sprintf(" (generation %d keeps serving)", w.Stable.Generation)
		}
		return Failed, cause
	case ready >= wanted:
		return Healthy, replica.Cause{Reason: "Ready", Message: readiness(ready, wanted)}
	case v.NoRoom != "" && v.NeverFits:
		return Unschedulable, replica.Cause{Reason: NeverFits, Message: v.NoRoom + "; it would not fit on an empty node either"}
	case v.NoRoom != "":
		return Unschedulable, replica.Cause{Reason: "NoRoom", Message: v.NoRoom}
	}
	cause := worst(v.Replicas)
	progress := readiness(ready, wanted)
	if cause.Message == "" {
		cause = replica.Cause{Reason: "Progressing", Message: progress}
	} else {
		cause.Message = progress + "; " + cause.Message
	}
	if w.HealthyGeneration == w.Generation {
		return Unhealthy, cause
	}
	return Transitioning, cause
}

// worst gives the cause of the replica that is farthest from being ready.
func worst(replicas []replica.Replica) replica.Cause {
	order := []replica.State{replica.BackingOff, replica.Unresponsive, replica.Pending, replica.Starting}
	for _, state := range order {
		for _, r := range replicas {
			if r.State == state && r.Cause.Message != "" {
				return r.Cause
			}
		}
	}
	return replica.Cause{}
}

// announce gives one fact for each process that became ready, and for each
// that ended unexpectedly, since the last time.
func announce(w Workload, replicas []replica.Replica) (Workload, []fact.Fact) {
	next := map[string]Announcement{}
	var facts []fact.Fact
	sorted := slices.Clone(replicas)
	slices.SortFunc(sorted, func(a, b replica.Replica) int {
		if c := a.CreateTime.Compare(b.CreateTime); c != 0 {
			return c
		}
		return compare(a.ID, b.ID)
	})
	for _, r := range sorted {
		last, known := w.Announced[r.ID]
		present := Announcement{Process: r.Restarts, Failed: r.State == replica.BackingOff}
		if (r.State != replica.Ready && r.State != replica.BackingOff) || (known && last == present) {
			if known {
				next[r.ID] = last
			}
			continue
		}
		next[r.ID] = present
		verb, message := "readied", "ready at "+r.Address
		if present.Failed {
			verb, message = "failed", r.Cause.Message
		}
		var f fact.Fact
		w, f = w.happened("replica", verb, message, map[string]any{
			"replica": r.ID, "node": r.Node, "restarts": r.Restarts, "replicaGeneration": r.Generation, "reason": r.Cause.Reason,
		})
		f.State = string(r.State)
		facts = append(facts, f)
	}
	w.Announced = next
	if len(next) == 0 {
		w.Announced = nil
	}
	return w, facts
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
