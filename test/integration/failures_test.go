package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// stepTimeout is for what takes moments on an idle machine.
const stepTimeout = 2 * time.Second

// TestFailures deploys what cannot work: the user is told why.
func TestFailures(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		for _, test := range []struct {
			name, endpoint, script string
			cause                  string // what the message has to say
			line                   string // what the log lines have to show
		}{
			{"init raises", "raises", "def init():\n    raise ValueError('no weights here')\n\ndef run(raw):\n    return 1\n", "no weights here", "ValueError: no weights here"},
			{"package is missing", "imports", "import nothere\n\ndef init():\n    pass\n\ndef run(raw):\n    return 1\n", "nothere", "nothere"},
			{"syntax error", "syntax", "def init(:\n", "SyntaxError", "SyntaxError"},
		} {
			t.Run(test.name, func(t *testing.T) { failedDeploy(t, i.In(t), test.endpoint, test.script, test.cause, test.line) })
		}
		t.Run("failed version beside a healthy one", func(t *testing.T) { failedVersion(t, i.In(t)) })
		t.Run("no room for all", func(t *testing.T) { unschedulable(t, i.In(t), 4, 3) })
		t.Run("no room on any node", func(t *testing.T) { unschedulable(t, i.In(t), 1, 64) })
		t.Run("killed replica", func(t *testing.T) { killedReplica(t, i.In(t)) })
	})
}

func failedDeploy(t *testing.T, i *harness.Installation, endpoint, script, cause, line string) {
	r := i.Refused("model", "deploy", "-n", endpoint, "-m", modelID, "--ct", "local",
		"--ic", inferenceConfig(t, script), "--dc", deploymentConfig(t, nil))
	if r.Code != 1 || !strings.Contains(r.Stderr, cause) || !strings.Contains(r.Stderr, line) {
		t.Errorf("the command does not say %q and show %q, or its exit code is not 1: %v", cause, line, r)
	}
	e := showEndpoint(t, i, endpoint)
	if e.GetState() != deployv1.State_STATE_FAILED || !strings.Contains(e.GetStateMessage(), cause) {
		t.Errorf("the endpoint is %v: %q", e.GetState(), e.GetStateMessage())
	}
	var lines []string
	for _, v := range e.GetVersions() {
		for _, c := range v.GetConditions() {
			lines = append(lines, c.GetLogLines()...)
		}
	}
	if !strings.Contains(strings.Join(lines, "\n"), line) {
		t.Errorf("the conditions' log lines do not show %q: %q", line, lines)
	}
	if out := i.Run("endpoint", "get-logs", "-n", endpoint); !strings.Contains(out, line) {
		t.Errorf("the log does not show %q: %s", line, out)
	}
	i.Run("endpoint", "delete", "-n", endpoint)
}

// failedVersion adds a version that cannot start: the healthy one keeps all traffic.
func failedVersion(t *testing.T, i *harness.Installation) {
	key := deploy(t, i, "both", script, map[string]any{"computeType": "AKSENDPOINT", "versionName": "good", "maxQueueWaitMs": 10_000})
	clients := startTraffic(t, i, "both", key)
	i.Refused("endpoint", "create-version", "-n", "both", "--vn", "bad", "-m", modelID, "--tp", "50", "--is-default",
		"--ic", inferenceConfig(t, "def init():\n    raise ValueError('no')\n\ndef run(raw):\n    return 1\n"))
	wantShares(t, clients, map[string]int{"good": 1000})
	i.Run("endpoint", "delete-version", "-n", "both", "--vn", "bad")
	clients.end(t)
	i.Run("endpoint", "delete", "-n", "both")
}

// unschedulable wants more than the nodes have, which are three with 4 vCPU each.
func unschedulable(t *testing.T, i *harness.Installation, replicas, cpu int) {
	i.Run("model", "deploy", "-n", "wide", "-m", modelID, "--ct", "local", "--no-wait", "--ic", inferenceConfig(t, script),
		"--dc", deploymentConfig(t, map[string]any{
			"numReplicas": replicas, "containerResourceRequirements": map[string]any{"cpu": cpu, "memoryInGB": 0.1},
		}))
	harness.Eventually(t, 20*time.Second, "the endpoint is unschedulable and says why", func() error {
		e := showEndpoint(t, i, "wide")
		if e.GetState() != deployv1.State_STATE_UNSCHEDULABLE {
			return fmt.Errorf("it is %v: %q", e.GetState(), e.GetStateMessage())
		}
		for _, part := range []string{fmt.Sprintf("asked %d vCPU", cpu), "node-0 has", "of 4 vCPU"} {
			if !strings.Contains(e.GetStateMessage(), part) {
				return fmt.Errorf("the message %q does not say %q", e.GetStateMessage(), part)
			}
		}
		return nil
	})
	i.Run("endpoint", "delete", "-n", "wide")
}

// killedReplica kills a scorer: it is started again, and that is told.
func killedReplica(t *testing.T, i *harness.Installation) {
	key := deploy(t, i, "shop", script, nil)
	pid := replicaOf(t, i, "shop").PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 20*time.Second, "the replica is back and counts its restart", func() error {
		workloads := workloadsOf(t, i, "shop")
		for _, w := range workloads {
			for _, r := range w.GetReplicas() {
				if r.GetRestarts() >= 1 && r.GetState() == computev1.Replica_STATE_READY {
					return nil
				}
			}
		}
		return fmt.Errorf("the workloads are %v", workloads)
	})
	eventuallyScores(t, i, "shop", key)
	if again := replicaOf(t, i, "shop").PID; again == pid {
		t.Errorf("the process is still %d", pid)
	}
	harness.Eventually(t, 10*time.Second, "the endpoint is healthy again", func() error {
		if e := showEndpoint(t, i, "shop"); e.GetState() != deployv1.State_STATE_HEALTHY {
			return fmt.Errorf("it is %v: %q", e.GetState(), e.GetStateMessage())
		}
		return nil
	})
}
