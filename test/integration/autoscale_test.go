package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// TestAutoscale sends a burst to a version without replicas: every request is
// answered, replicas come as the load asks for them, and go when it is over.
func TestAutoscale(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		key := deploy(t, i, "bursty", script, map[string]any{})
		const most = 4
		patchVersion(t, i, "bursty", "version1", "autoscale,replicas", map[string]any{
			"autoscale": map[string]any{"minReplicas": 0, "maxReplicas": most, "idleTime": "3s"},
		})
		awaitReplicas(t, i, "bursty", 0)
		if e := showEndpoint(t, i, "bursty"); e.GetState() != deployv1.State_STATE_HEALTHY {
			t.Errorf("at zero the endpoint is %s: %s", e.GetState(), e.GetStateMessage())
		}

		// More requests at a time than there are ever replicas.
		burst(t, i, "bursty", key, 3*most, func() { awaitReplicas(t, i, "bursty", most) })
		awaitReplicas(t, i, "bursty", 0)
		decisions := showEndpoint(t, i, "bursty").GetVersions()[0].GetScalingStatus().GetDecisions()
		if len(decisions) < 3 || !strings.Contains(decisions[0].GetExplanation(), "→ 0: no request for 3s") {
			t.Errorf("decisions: %v", decisions)
		}
	})
}

// burst keeps so many requests under way until the given function returns; each
// of them must be answered.
func burst(t *testing.T, i *harness.Installation, endpoint, key string, parallel int, until func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range parallel {
		callers.Go(func() {
			for ctx.Err() == nil {
				answer, err := i.Score(context.WithoutCancel(ctx), endpoint, key, wish(`{"sleep": 0.2}`), nil)
				if err != nil || answer.Status != http.StatusOK {
					t.Errorf("in the burst: %v, %v", answer, err)
					return
				}
			}
		})
	}
	until()
	stop()
	callers.Wait()
}

func awaitReplicas(t *testing.T, i *harness.Installation, endpoint string, want int32) {
	t.Helper()
	harness.Eventually(t, 40*time.Second, fmt.Sprintf("endpoint %s has %d replicas", endpoint, want), func() error {
		v := showEndpoint(t, i, endpoint).GetVersions()[0]
		if v.GetReadyReplicas() != want || v.GetDesiredReplicas() != want {
			return fmt.Errorf("%d of %d replicas are ready: %s", v.GetReadyReplicas(), v.GetDesiredReplicas(), v.GetScalingStatus().GetExplanation())
		}
		return nil
	})
}

// patchVersion changes fields of a version by REST and waits until it is done.
func patchVersion(t *testing.T, i *harness.Installation, endpoint, version, mask string, values map[string]any) {
	t.Helper()
	ctx := testContext(t)
	answer, err := i.REST(ctx, http.MethodPatch, "/v1/"+versionName(endpoint, version)+"?updateMask="+mask, values)
	if err != nil || answer.Status != http.StatusOK {
		t.Fatalf("patch: %v, %v", answer, err)
	}
	operation := struct {
		Name  string
		Done  bool
		Error any
	}{}
	harness.Eventually(t, 40*time.Second, "the change is done", func() error {
		if err := answer.Decode(&operation); err != nil {
			return err
		}
		if operation.Done {
			return nil
		}
		answer, err = i.REST(ctx, http.MethodGet, "/v1/"+operation.Name, nil)
		return fmt.Errorf("%v, %w", answer, err)
	})
	if operation.Error != nil {
		t.Fatalf("the change failed: %v", operation.Error)
	}
}
