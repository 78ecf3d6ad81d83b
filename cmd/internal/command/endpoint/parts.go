package endpoint

import (
	"fmt"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// replicas shows each replica of the versions.
func replicas(t *output.Text, versions []*deployv1.EndpointVersion) {
	var rows [][]string
	for _, v := range versions {
		for _, r := range v.GetReplicaStatuses() {
			rows = append(rows, []string{
				r.GetReplica(), resourcename.Last(v.GetName()), output.OrDash(r.GetNode()), stateWord(r.GetState()), fmt.Sprint(r.GetRestarts()),
				memory(r), replicaCause(r),
			})
		}
	}
	if len(rows) == 0 {
		return
	}
	t.Blank()
	t.Table([]string{"REPLICA", "VERSION", "NODE", "STATE", "RESTARTS", "MEMORY", "CAUSE"}, rows)
}

// stateWord writes BACKING_OFF as BackingOff.
func stateWord(state string) string {
	var out strings.Builder
	for part := range strings.SplitSeq(state, "_") {
		if part != "" {
			out.WriteString(part[:1] + strings.ToLower(part[1:]))
		}
	}
	return out.String()
}

// replicaCause says why a replica is not ready, or why it was not the last time.
func replicaCause(r *deployv1.ReplicaStatus) string {
	reason, message, ok := strings.Cut(r.GetLastFailure(), ": ")
	if r.GetMessage() != "" || !ok {
		return output.Clean(r.GetMessage())
	}
	return output.Clean("was " + reason + " at " + output.Time(r.GetLastFailureTime()) + ": " + message)
}

func memory(r *deployv1.ReplicaStatus) string {
	if r.GetMemoryBytes() == 0 {
		return "-"
	}
	return output.Bytes(r.GetMemoryBytes())
}

// scaling shows what the autoscaler sees, and its last changes.
func scaling(t *output.Text, versions []*deployv1.EndpointVersion) {
	const shown = 3
	for _, v := range versions {
		s := v.GetScalingStatus()
		if s == nil {
			continue
		}
		t.Blank()
		a := v.GetAutoscale()
		t.Linef("%s follows its load with %d to %d replicas at %d%%: %s", resourcename.Last(v.GetName()),
			a.GetMinReplicas(), a.GetMaxReplicas(), a.GetTargetUtilizationPercent(), s.GetExplanation())
		for _, d := range s.GetDecisions()[:min(len(s.GetDecisions()), shown)] {
			t.Linef("  %s  %s", output.Time(d.GetTime()), d.GetExplanation())
		}
	}
}

// notices shows what is set and has no effect.
func notices(t *output.Text, versions []*deployv1.EndpointVersion) {
	for _, v := range versions {
		for _, n := range v.GetNotices() {
			t.Blank()
			t.Linef("note: %s: %s", resourcename.Last(v.GetName()), n)
		}
	}
}
