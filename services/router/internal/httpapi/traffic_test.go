package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

func TestSplitIsExact(t *testing.T) {
	b := newBed(t, 1<<20)
	b.install(route(version("old", 9_000), version("new", 1_000)), map[string][]routetable.Replica{
		"w-old": {replica(t, "r", answers("old"))}, "w-new": {replica(t, "r", answers("new"))},
	})
	got := tally{}
	for i := range 1_000 {
		// What is no scoring, or names its version, does not disturb the split.
		if i%10 == 0 {
			b.do("GET", "/api/v1/service/diabetes/swagger.json", nil, "")
			b.score(header("azureml-model-deployment", "new"))
			b.score(header("Authorization", "Bearer wrong"))
		}
		answer := b.score(nil)
		if answer.header.Get("Azureml-Model-Deployment") != answer.body {
			t.Fatalf("version %s answered as %s", answer.body, answer.header.Get("Azureml-Model-Deployment"))
		}
		got[answer.body]++
		if off := 10*got["new"] - (i + 1); off > 10 || off < -10 {
			t.Fatalf("after %d requests new has %d", i+1, got["new"])
		}
	}
	if diff := cmp.Diff(tally{"old": 900, "new": 100}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestNamedVersion(t *testing.T) {
	b := newBed(t, 1<<20)
	b.install(route(version("a", 10_000), version("b", 0)), map[string][]routetable.Replica{
		"w-a": {replica(t, "r", answers("a"))}, "w-b": {replica(t, "r", answers("b"))},
	})
	if got := b.score(header("azureml-model-deployment", "b")); got.body != "b" || got.header.Get("Azureml-Model-Deployment") != "b" {
		t.Errorf("answer = %q from %q, want b", got.body, got.header.Get("Azureml-Model-Deployment"))
	}
	if got := b.score(nil); got.body != "a" {
		t.Errorf("answer = %q, want a", got.body)
	}
}

func TestIdleReplicasTakeTurns(t *testing.T) {
	b := newBed(t, 1<<20)
	b.serve(nil, replica(t, "1", answers("1")), replica(t, "2", answers("2")), replica(t, "3", answers("3")))
	got := tally{}
	// As long as nothing is known of how fast they are: the first answer says nothing.
	for range 6 {
		got[b.score(nil).body]++
	}
	if diff := cmp.Diff(tally{"1": 2, "2": 2, "3": 2}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestConcurrencyOfAReplica(t *testing.T) {
	b := newBed(t, 1<<20)
	var now, most atomic.Int32
	b.serve(func(v *routetable.RouteVersion) { v.MaxConcurrent = 2 }, replica(t, "r", func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(time.Millisecond)
	}))
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 10 {
				if got := b.score(nil); got.status != 200 {
					t.Errorf("answer = %d %s", got.status, got.body)
				}
			}
		})
	}
	callers.Wait()
	if most.Load() != 2 {
		t.Errorf("the replica had up to %d requests, want 2", most.Load())
	}
}

func TestVersionGoesWhileARequestWaits(t *testing.T) {
	b := newBed(t, 1<<20)
	waiting := func(n int) {
		for {
			if e, _ := b.routes.Load().Lookup(diabetes); e.Versions[0].Gate.Load().Queued == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	start := func(h http.Header) chan reply {
		b.serve(nil) // v1, without replicas
		out := make(chan reply, 1)
		go func() {
			got, _ := b.send(t.Context(), "POST", "/api/v1/service/diabetes/score", h, nil)
			out <- got
		}()
		waiting(1)
		return out
	}
	other := map[string][]routetable.Replica{"w-v2": {replica(t, "r", answers("v2"))}}

	got := start(nil)
	b.install(route(version("v2", 10_000)), other)
	if answer := <-got; answer.body != "v2" || answer.header.Get("Azureml-Model-Deployment") != "v2" {
		t.Errorf("the version went: %d %s, want v2", answer.status, answer.body)
	}
	got = start(header("azureml-model-deployment", "v1"))
	b.install(route(version("v2", 10_000)), other)
	(<-got).check(t, 404, "VersionNotFound", "has no version v1; it has: v2.")

	got = start(nil)
	gone := route(version("v1", 10_000))
	gone.ID.Endpoint, gone.UID = "another", "u2"
	b.install(gone, nil)
	(<-got).check(t, 404, "EndpointNotFound", "diabetes")
}

// Replicas are added, drained and removed, versions get and lose traffic, while
// callers send all the time: no request fails.
func TestNoRequestFailsWhileTablesChange(t *testing.T) {
	b := newBed(t, 1<<20)
	work := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			time.Sleep(time.Millisecond)
			io.WriteString(w, text)
		}
	}
	all := map[string][]routetable.Replica{}
	for _, v := range []string{"a", "b"} {
		for i := range 3 {
			all["w-"+v] = append(all["w-"+v], replica(t, fmt.Sprint(i), work(v)))
		}
	}
	install := func(step int) {
		replicas := map[string][]routetable.Replica{}
		for workload, list := range all {
			for i, r := range list {
				switch (step + i) % 3 {
				case 1:
					r.State = balancing.Draining
				case 2:
					if step%2 == 0 {
						continue
					}
				}
				replicas[workload] = append(replicas[workload], r)
			}
		}
		share := int32(step%11) * 1_000
		r := route(version("a", 10_000-share), version("b", share))
		if step%13 == 0 {
			r = route(version("a", 10_000))
		}
		b.install(r, replicas)
	}
	install(0)
	stop := make(chan struct{})
	var callers sync.WaitGroup
	var sent atomic.Int64
	for range 8 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := b.score(nil); got.status != 200 {
					t.Errorf("answer = %d %s", got.status, got.body)
				}
				sent.Add(1)
			}
		})
	}
	for step := 1; step <= 300; step++ {
		install(step)
		time.Sleep(3 * time.Millisecond)
	}
	close(stop)
	callers.Wait()
	if sent.Load() < 300 {
		t.Errorf("only %d requests were sent", sent.Load())
	}
}
