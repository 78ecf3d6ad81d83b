package endpoint_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// TestInvariants runs random mutations and observations and checks, after each,
// the rules that must hold at every moment.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SampledFrom([]string{"aaa", "bbb", "ccc", "ddd", "eee", "fff", "ggg", "hhh"})
		e := create(t, nil).Endpoint
		check(t, e)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			id := ids.Draw(t, "id")
			var c endpoint.Change
			var err error
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				in := drawInput(t)
				c, err = e.AddVersion(endpoint.NewVersion{ID: id, UID: "uid-" + id, Operation: "op", Input: in}, maxVersions, start)
			case 2:
				c, err = e.UpdateVersion(id, "op", drawInput(t), start)
			case 3:
				c, err = e.DeleteVersion(id, "op", start)
			default:
				c, _ = e.Observe(drawObservation(t, e), limits, start)
			}
			if err != nil {
				continue
			}
			if c.Endpoint.Generation < e.Generation {
				t.Fatalf("the generation goes back from %d to %d", e.Generation, c.Endpoint.Generation)
			}
			e = c.Endpoint
			check(t, e)
		}
	})
}

func drawInput(t *rapid.T) endpoint.VersionInput {
	in := endpoint.VersionInput{
		Spec: source(), Percentile: float64(rapid.IntRange(0, 6000).Draw(t, "percentile")) / 100,
		Default: rapid.Bool().Draw(t, "default"), Role: rapid.SampledFrom([]endpoint.Role{"", endpoint.Control, endpoint.Treatment}).Draw(t, "role"),
	}
	in.Spec.Replicas = rapid.IntRange(1, 3).Draw(t, "replicas")
	return in
}

func drawObservation(t *rapid.T, e endpoint.Endpoint) endpoint.Observation {
	o := endpoint.Observation{Statuses: map[string]endpoint.Status{}, Gone: map[string]bool{}}
	for _, v := range e.Versions {
		o.Statuses[v.ID] = endpoint.Status{
			State:           rapid.SampledFrom([]endpoint.State{endpoint.Transitioning, endpoint.Healthy, endpoint.Unhealthy, endpoint.Unschedulable, endpoint.Failed}).Draw(t, "state"),
			Ready:           rapid.IntRange(0, 2).Draw(t, "ready"),
			AppliedRevision: rapid.Int64Range(0, v.Revision).Draw(t, "applied"),
		}
	}
	for _, r := range e.Retired {
		o.Gone[r.Workload] = rapid.Bool().Draw(t, "gone")
	}
	return o
}

func check(t *rapid.T, e endpoint.Endpoint) {
	if n := len(e.Versions); n < 1 || n > maxVersions {
		t.Fatalf("there are %d versions", n)
	}
	if _, ok := e.Version(e.DefaultVersion); !ok {
		t.Fatalf("the default %q is no version", e.DefaultVersion)
	}
	if _, ok := e.Version(e.ControlVersion); e.ControlVersion != "" && !ok {
		t.Fatalf("the control %q is no version", e.ControlVersion)
	}
	if _, ok := e.Version(e.StandIn); e.StandIn != "" && !ok || e.StandIn != "" && e.StandIn == e.DefaultVersion {
		t.Fatalf("the stand-in %q is no other version", e.StandIn)
	}
	percentiles, shares, ready := 0, 0, false
	workloads := map[string]bool{}
	for i, v := range e.Versions {
		percentiles += v.Percentile
		ready = ready || v.Status.Ready > 0
		workloads[v.Workload] = true
		if e.Shares[i].Version != v.ID {
			t.Fatalf("share %d is of %s, not of %s", i, e.Shares[i].Version, v.ID)
		}
		if v.Status.Ready == 0 && e.Shares[i].Share > 0 {
			t.Fatalf("%s has no ready replica and gets %d", v.ID, e.Shares[i].Share)
		}
		shares += e.Shares[i].Share
	}
	if percentiles > 10_000 {
		t.Fatalf("the percentiles add up to %d", percentiles)
	}
	if want := map[bool]int{true: 10_000}[ready]; shares != want {
		t.Fatalf("the shares add up to %d, want %d", shares, want)
	}
	if len(workloads) != len(e.Versions) {
		t.Fatalf("workload names are not unique: %v", workloads)
	}
}
