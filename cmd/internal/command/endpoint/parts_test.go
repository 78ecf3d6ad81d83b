package endpoint

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/cmd/internal/output"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func TestCauseOfAReplica(t *testing.T) {
	at := timestamppb.New(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
	for name, test := range map[string]struct {
		status *deployv1.ReplicaStatus
		want   string
	}{
		"ready, never failed":   {&deployv1.ReplicaStatus{State: "READY"}, ""},
		"ready, failed before":  {&deployv1.ReplicaStatus{State: "READY", LastFailure: "OutOfMemory: used 2 GB", LastFailureTime: at}, "was OutOfMemory at " + output.Time(at) + ": used 2 GB"},
		"not ready is what now": {&deployv1.ReplicaStatus{State: "STARTING", Message: "init() runs", LastFailure: "OutOfMemory: used 2 GB", LastFailureTime: at}, "init() runs"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := replicaCause(test.status); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
