package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/test/harness"
)

// TestUpdatesDropNothing changes everything that can be changed while requests
// go on. None may fail.
func TestUpdatesDropNothing(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		key := deploy(t, i, "shop", script, map[string]any{"maxQueueWaitMs": 10_000})
		registerModel(t, i) // demo:2
		clients := startTraffic(t, i, "shop", key)
		clients.awaitMore(t, 100)
		secondary := func() {
			i.Run("endpoint", "regen-key", "-n", "shop", "-k", "Secondary")
		}
		changes := []struct {
			name string
			do   func()
		}{
			{"model", func() { i.Run("endpoint", "update", "-n", "shop", "-m", "demo:2") }},
			{"script", func() { i.Run("endpoint", "update", "-n", "shop", "--ic", inferenceConfig(t, script+"\n# changed\n")) }},
			{"resources", func() { i.Run("endpoint", "update", "-n", "shop", "--cc", "0.2", "--gb", "0.2") }},
			{"five replicas", func() { i.Run("endpoint", "update", "-n", "shop", "--nr", "5") }},
			{"one replica", func() { i.Run("endpoint", "update", "-n", "shop", "--nr", "1") }},
			{"timeouts", func() { i.Run("endpoint", "update", "-n", "shop", "--tm", "30000", "--mr", "9000") }},
			{"probes", func() { i.Run("endpoint", "update", "-n", "shop", "--ps", "5", "--ft", "4") }},
			{"concurrency", func() { i.Run("endpoint", "update", "-n", "shop", "--rm", "2") }},
			{"description, tags and properties", func() {
				i.Run("endpoint", "update", "-n", "shop", "-d", "a shop", "--add-tag", "team=blue", "--add-property", "origin=here")
			}},
			{"without keys", func() { i.Run("endpoint", "update", "-n", "shop", "--ae=false") }},
			{"with keys again", func() { i.Run("endpoint", "update", "-n", "shop", "--ae=true") }},
			{"the other key", secondary},
			{"autoscaling", func() { i.Run("endpoint", "update", "-n", "shop", "--as=true", "--mi", "2", "--ma", "4") }},
			{"back to what it was", func() { i.Run("endpoint", "rollback", "-n", "shop", "--revision", "1") }},
		}
		for _, change := range changes {
			change.do()
			clients.awaitMore(t, 30)
			clients.mustNotHaveFailed(t)
			if t.Failed() {
				t.Fatalf("after the change of: %s", change.name)
			}
		}
		if got := keysOf(t, i, "shop").GetPrimaryKey(); got != key {
			t.Error("the primary key changed")
		}

		// An update that cannot start leaves what serves, and says why.
		refused := i.Refused("endpoint", "update", "-n", "shop", "--ic", inferenceConfig(t, "raise SystemError('boom')\n"))
		if want := "boom"; !strings.Contains(refused.Stderr, want) {
			t.Errorf("a failing update does not say %q:\n%s", want, refused.Stderr)
		}
		clients.awaitMore(t, 100)
		clients.end(t)
		v := showEndpoint(t, i, "shop").GetVersions()[0]
		if v.GetServingRevision() >= v.GetRevision() || !strings.Contains(v.GetStateMessage(), "boom") {
			t.Errorf("revision %d serves, the newest is %d: %s", v.GetServingRevision(), v.GetRevision(), v.GetStateMessage())
		}
	})
}

// TestScorersAreKilled kills every scorer in turn under load: only requests that
// a killed one held may fail, and those that may be repeated do not.
func TestScorersAreKilled(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		key := deploy(t, i, "shop", script, map[string]any{"numReplicas": 3, "maxQueueWaitMs": 10_000})
		var lost, answered atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		call := func(header http.Header, failed func(string)) {
			for ctx.Err() == nil {
				answer, err := i.Score(context.WithoutCancel(ctx), "shop", key, wish(`{"sleep": 0.01}`), header)
				if err != nil || answer.Status != http.StatusOK {
					failed(fmt.Sprintf("%v, %v", answer, err))
					continue
				}
				answered.Add(1)
			}
		}
		callers.Go(func() { call(nil, func(string) { lost.Add(1) }) })
		callers.Go(func() {
			call(http.Header{"Idempotency-Key": {"any"}}, func(what string) { t.Errorf("a request that may be repeated failed: %s", what) })
		})
		replicas := i.Replicas()
		if len(replicas) < 3 {
			t.Errorf("there are %d replicas, want 3", len(replicas))
		}
		for _, replica := range replicas {
			if err := syscall.Kill(replica.PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			before := answered.Load()
			harness.Eventually(t, 30*time.Second, "the killed replica is back", func() error {
				if v := showEndpoint(t, i, "shop").GetVersions()[0]; v.GetReadyReplicas() != 3 || answered.Load() < before+50 {
					return fmt.Errorf("%d replicas are ready, %d requests were answered", v.GetReadyReplicas(), answered.Load()-before)
				}
				return nil
			})
		}
		stop()
		callers.Wait()
		if lost.Load() > int64(len(replicas)) {
			t.Errorf("%d requests failed; the %d killed replicas held at most one each", lost.Load(), len(replicas))
		}
	})
}
