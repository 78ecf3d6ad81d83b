package endpoint

import (
	"fmt"
	"slices"
	"time"

	"github.com/fairlead/fairlead/services/deploy/internal/scaling"
)

// maxDecisions is how many of the last decisions are kept with a version.
const maxDecisions = 10

// Scaling is what the autoscaler has decided for a version.
type Scaling struct {
	Desired int       `json:"desired"`
	Changed time.Time `json:"changed"`
	// Decisions are the last ones, newest first.
	Decisions []ScalingDecision `json:"decisions,omitempty"`
}

// ScalingDecision is one change of the number of replicas.
type ScalingDecision struct {
	Time        time.Time `json:"time"`
	From        int       `json:"from"`
	To          int       `json:"to"`
	Explanation string    `json:"explanation"`
}

// DesiredReplicas tells how many replicas a version is to have now.
func DesiredReplicas(v Version) int {
	a := v.Spec.Autoscale
	if a == nil {
		return v.Spec.Replicas
	}
	n := 1
	if v.Scaling != nil {
		n = v.Scaling.Desired
	}
	return min(max(n, a.Min), a.Max)
}

// rescaled gives the version with the number of replicas that it goes on with
// when it runs another specification: what it had, and at least one, which shows
// whether it starts.
func (v Version) rescaled(before Spec, now time.Time) Version {
	a := v.Spec.Autoscale
	if a == nil {
		v.Scaling = nil
		return v
	}
	next := Scaling{Changed: now}
	if v.Scaling != nil {
		next = *v.Scaling
	}
	have := next.Desired
	if before.Autoscale == nil {
		have = before.Replicas
	}
	if n := min(max(have, a.Min, 1), a.Max); n != next.Desired {
		next.Desired, next.Changed = n, now
	}
	v.Scaling = &next
	return v
}

// Decide asks the autoscaler; false when the version is not autoscaled.
func (v Version) Decide(h scaling.History, now time.Time) (scaling.Decision, bool) {
	a := v.Spec.Autoscale
	if a == nil {
		return scaling.Decision{}, false
	}
	r := scaling.Replicas{Desired: DesiredReplicas(v), Ready: v.Status.Ready, Began: v.UpdateTime}
	if v.Scaling != nil {
		r.Changed = v.Scaling.Changed
	}
	return scaling.Decide(v.scalingSettings(), r, h, now), true
}

// Utilization is the part of its ready replicas that a load takes, 1 is all.
func (v Version) Utilization(l scaling.Load) float64 {
	return v.scalingSettings().Utilization(l, v.Status.Ready)
}

func (v Version) scalingSettings() scaling.Settings {
	a := v.Spec.Autoscale
	return scaling.Settings{
		Min: a.Min, Max: a.Max, Target: float64(a.Target) / 100, Concurrency: v.Spec.Requests.MaxConcurrent,
		Refresh: a.RefreshPeriod, Idle: a.IdleTime,
	}
}

// Scale makes versions have as many replicas as was decided, by version. The
// second result tells whether that is a change.
func (e Endpoint) Scale(decided map[string]scaling.Decision, now time.Time) (Change, bool) {
	c := Change{Endpoint: e.clone()}
	changed := false
	for i, v := range c.Endpoint.Versions {
		d, ok := decided[v.ID]
		from := DesiredReplicas(v)
		if !ok || d.Desired == from || v.Spec.Autoscale == nil || e.Deletion != nil {
			continue
		}
		changed = true
		next := Scaling{Desired: d.Desired, Changed: now}
		if v.Scaling != nil {
			next.Decisions = v.Scaling.Decisions
		}
		next.Decisions = slices.Insert(slices.Clone(next.Decisions), 0, ScalingDecision{Time: now, From: from, To: d.Desired, Explanation: d.Explanation})
		next.Decisions = next.Decisions[:min(len(next.Decisions), maxDecisions)]
		v.Scaling = &next
		c.Endpoint.Versions[i] = v
		c.version(v, "scaled", fmt.Sprintf("version %s: %s", v.ID, d.Explanation), map[string]any{"from": from, "to": d.Desired})
	}
	if !changed {
		return Change{Endpoint: e}, false
	}
	return c.settled(e), true
}
