package integration

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// TestOutage kills the control plane process by process while requests go on. It
// needs processes that can be killed one by one.
func TestOutage(t *testing.T) {
	i := harness.Start(t, harness.Services, harness.WithOrphanGrace(time.Minute))
	registerModel(t, i)
	key := deploy(t, i, "shop", script, map[string]any{"numReplicas": 2, "maxQueueWaitMs": 10_000})
	pids := pidsOf(i.Replicas())
	if len(pids) != 2 {
		t.Fatalf("there are %d replicas, want 2", len(pids))
	}
	clients := startTraffic(t, i, "shop", key)
	clients.awaitMore(t, 50)
	control := []string{"deploy", "compute", "auth", "gateway", "nats"}
	for _, service := range control {
		i.Kill(service, syscall.SIGKILL)
		clients.awaitMore(t, 50)
		if t.Failed() {
			return
		}
	}
	clients.end(t)

	// The router alone: it serves from what it has on disk.
	i.Kill("router", syscall.SIGKILL)
	i.Restart("router")
	mustScore(t, i, "shop", key, nil)
	clients = startTraffic(t, i, "shop", key)
	clients.awaitMore(t, 100)

	i.Restart(control...)
	clients.awaitMore(t, 50)
	awaitHealthy(t, i, "shop")
	if diff := cmp.Diff(pids, pidsOf(i.Replicas())); diff != "" {
		t.Errorf("the replicas are not those from before (-want +got):\n%s", diff)
	}
	if got := keysOf(t, i, "shop").GetPrimaryKey(); got != key {
		t.Error("the key changed")
	}

	// Everything works again.
	i.Run("endpoint", "create-version", "-n", "shop", "--vn", "versionb", "-m", modelID, "--tp", "50", "--ic", inferenceConfig(t, script))
	if got := clients.measure(1000)["versionb"]; got < 495 || got > 505 {
		t.Errorf("the new version got %d of 1,000 requests, want 500 ± 5", got)
	}
	clients.end(t)
	i.Run("endpoint", "delete", "-n", "shop")
}

// TestComputeRestart stops compute as an operator does: replicas stay, no request fails.
func TestComputeRestart(t *testing.T) {
	i := harness.Start(t, harness.Services, harness.WithOrphanGrace(time.Minute))
	registerModel(t, i)
	key := deploy(t, i, "shop", script, map[string]any{"maxQueueWaitMs": 10_000})
	pids := pidsOf(i.Replicas())
	clients := startTraffic(t, i, "shop", key)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		i.Kill("compute", s)
		clients.awaitMore(t, 50)
		i.Restart("compute")
		awaitHealthy(t, i, "shop")
		clients.awaitMore(t, 50)
		if diff := cmp.Diff(pids, pidsOf(i.Replicas())); diff != "" {
			t.Errorf("after %v the replicas are not those from before (-want +got):\n%s", s, diff)
		}
	}
	clients.end(t)
	i.Run("endpoint", "delete", "-n", "shop")
}

func pidsOf(processes []harness.Process) []int {
	var pids []int
	for _, p := range processes {
		pids = append(pids, p.PID)
	}
	slices.Sort(pids)
	return pids
}

// awaitHealthy waits until the control plane answers and knows that all is well.
func awaitHealthy(t *testing.T, i *harness.Installation, endpoint string) {
	t.Helper()
	ctx := testContext(t)
	harness.Eventually(t, 20*time.Second, "endpoint "+endpoint+" is healthy", func() error {
		e, err := apiOf(i).endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: endpointName(endpoint)})
		if err == nil && e.GetState() != deployv1.State_STATE_HEALTHY {
			err = fmt.Errorf("it is %v: %q", e.GetState(), e.GetStateMessage())
		}
		return err
	})
}
