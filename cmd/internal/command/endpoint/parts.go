package endpoint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// replicas shows each replica of the versions.
func replicas(t *output.Text, versions []*deployv1.EndpointVersion) {
	var rows [][]string
	computed := false // whether any says what it computes on
	for _, v := range versions {
		for _, r := range v.GetReplicaStatuses() {
			computed = computed || computesOn(r) != ""
			rows = append(rows, []string{
				r.GetReplica(), resourcename.Last(v.GetName()), output.OrDash(r.GetNode()), stateWord(r.GetState()), fmt.Sprint(r.GetRestarts()),
				memory(r), output.OrDash(computesOn(r)), replicaCause(r),
			})
		}
	}
	if len(rows) == 0 {
		return
	}
	t.Blank()
	header := []string{"REPLICA", "VERSION", "NODE", "STATE", "RESTARTS", "MEMORY", "COMPUTES ON", "CAUSE"}
	if !computed {
		const column = 6
		header = slices.Delete(header, column, column+1)
		for i := range rows {
			rows[i] = slices.Delete(rows[i], column, column+1)
		}
	}
	t.Table(header, rows)
}

// computesOn gives the execution provider and the accelerators of a replica.
func computesOn(r *deployv1.ReplicaStatus) string {
	words := r.GetAccelerators()
	if p := r.GetExecutionProvider(); p != "" {
		words = slices.Concat([]string{p}, words)
	}
	return output.Clean(strings.Join(words, ", "))
}

// runtimes shows what answers in versions, where that is not a script as usual.
func runtimes(t *output.Text, versions []*deployv1.EndpointVersion) {
	for _, v := range versions {
		r := v.GetRuntime()
		if r == nil || r.GetKind() == deployv1.Runtime_KIND_SCRIPT && r.GetScript() == nil {
			continue
		}
		words := []string{manifest.Word(r.GetKind().String(), "KIND_")}
		words = append(words, workerWords(r.GetScript())...)
		words = append(words, onnxWords(r.GetOnnx())...)
		words = append(words, customWords(r.GetCustom())...)
		t.Blank()
		t.Linef("%s is answered by the runtime %s", resourcename.Last(v.GetName()), output.Clean(strings.Join(words, "; ")))
	}
}

func workerWords(s *deployv1.ScriptRuntime) []string {
	var words []string
	if n := s.GetWorkers(); n > 0 {
		words = append(words, fmt.Sprintf("workers: %d", n))
	}
	if n := s.GetThreadsPerWorker(); n > 1 {
		words = append(words, fmt.Sprintf("threads per worker: %d", n))
	}
	if s.GetPreload() {
		words = append(words, "forked after init()")
	}
	if gb := s.GetMaxWorkerMemoryGb(); gb > 0 {
		words = append(words, "a worker is replaced above "+output.Number(gb)+" GB")
	}
	return words
}

func onnxWords(o *deployv1.OnnxRuntime) []string {
	var words []string
	if len(o.GetExecutionProviders()) > 0 {
		words = append(words, "on "+strings.Join(o.GetExecutionProviders(), ", else "))
	}
	if b := o.GetBatching(); b.GetMaxSize() > 1 {
		words = append(words, fmt.Sprintf("batches of up to %d rows within %s", b.GetMaxSize(), b.GetMaxDelay().AsDuration()))
	}
	return words
}

func customWords(c *deployv1.CustomRuntime) []string {
	var words []string
	if c.GetImage() != "" {
		words = append(words, "image "+c.GetImage())
	}
	if len(c.GetCommand()) > 0 {
		words = append(words, strings.Join(c.GetCommand(), " "))
	}
	if c.GetProtocol() == deployv1.CustomRuntime_PROTOCOL_GRPC {
		words = append(words, "gRPC")
	}
	return words
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
