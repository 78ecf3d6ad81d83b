package routetable

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/admission"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var diabetes = ID{"default", "diabetes"}

// version is a version with that many ready replicas in workload w-name.
func version(name string, share int32) RouteVersion {
	return RouteVersion{Name: name, Share: share, Workload: "w-" + name, MaxConcurrent: 1, MaxQueueWait: time.Second}
}

func ready(n int) []Replica {
	replicas := make([]Replica, n)
	for i := range replicas {
		replicas[i] = Replica{ID: fmt.Sprint(i), Address: fmt.Sprintf("h:%d", i+1), State: balancing.Ready, MaxConcurrent: 1}
	}
	return replicas
}

func inputs(replicas map[string][]Replica, versions ...RouteVersion) Inputs {
	return Inputs{Complete: true, Replicas: replicas, Routes: []Route{{ID: diabetes, UID: "u1", Default: "a", Versions: versions}}}
}

func build(t *testing.T, in Inputs, before *Table) *Endpoint {
	t.Helper()
	e, ok := NewBuilder(nil).Build(in, before, time.Time{}).Lookup(diabetes)
	if !ok {
		t.Fatal("the endpoint is not in the table")
	}
	return e
}

func TestShares(t *testing.T) {
	tests := []struct {
		name     string
		versions []RouteVersion
		ready    map[string][]Replica
		want     map[string]int32
		anchor   string
	}{
		{"as given", []RouteVersion{version("a", 9_000), version("b", 1_000)},
			map[string][]Replica{"w-a": ready(1), "w-b": ready(1)}, map[string]int32{"a": 9_000, "b": 1_000}, "a"},
		{"without a ready replica the default has it", []RouteVersion{version("a", 9_000), version("b", 1_000)},
			map[string][]Replica{"w-a": ready(1)}, map[string]int32{"a": 10_000, "b": 0}, "a"},
		{"a replica that drains is not ready", []RouteVersion{version("a", 2_000), version("b", 8_000)},
			map[string][]Replica{"w-a": ready(1), "w-b": {{ID: "0", Address: "h:1", State: balancing.Draining}}},
			map[string]int32{"a": 10_000, "b": 0}, "a"},
		{"a replica without an address is not ready", []RouteVersion{version("a", 2_000), version("b", 8_000)},
			map[string][]Replica{"w-a": ready(1), "w-b": {{ID: "0", State: balancing.Ready}}},
			map[string]int32{"a": 10_000, "b": 0}, "a"},
		{"the default is not ready, either", []RouteVersion{version("a", 9_000), version("b", 1_000)},
			nil, map[string]int32{"a": 9_000, "b": 1_000}, "a"},
		{"only the default is not ready", []RouteVersion{version("a", 9_000), version("b", 500), version("c", 500)},
			map[string][]Replica{"w-b": ready(1)}, map[string]int32{"a": 9_000, "b": 500, "c": 500}, "b"},
		{"nobody has a share", []RouteVersion{version("a", 0), version("b", 0)},
			map[string][]Replica{"w-b": ready(1)}, map[string]int32{"a": 10_000, "b": 0}, "b"},
		{"what is left goes to the default", []RouteVersion{version("b", 4_000), version("a", 0)},
			map[string][]Replica{"w-a": ready(1), "w-b": ready(1)}, map[string]int32{"a": 6_000, "b": 4_000}, "a"},
		{"an unknown default", []RouteVersion{version("b", 6_000), version("c", 4_000)},
			map[string][]Replica{"w-b": ready(1), "w-c": ready(1)}, map[string]int32{"b": 6_000, "c": 4_000}, "b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := build(t, inputs(test.ready, test.versions...), &Table{})
			got := map[string]int32{}
			for _, v := range e.Versions {
				got[v.Name] = v.Share
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("shares (-want +got):\n%s", diff)
			}
			if e.Anchor().Name != test.anchor {
				t.Errorf("anchor = %s, want %s", e.Anchor().Name, test.anchor)
			}
		})
	}
}

// Whatever comes in, all the traffic is given out, and none to a version without
// a ready replica while the default has one.
func TestAllTrafficIsGivenOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(map[string][]Replica{})
		rest := int32(whole)
		for _, name := range []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(t, "versions")] {
			v := version(name, rapid.Int32Range(0, rest).Draw(t, "share"))
			rest -= v.Share
			in.Routes[0].Versions = append(in.Routes[0].Versions, v)
			in.Replicas[v.Workload] = ready(rapid.IntRange(0, 2).Draw(t, "ready"))
		}
		e, _ := NewBuilder(nil).Build(in, &Table{}, time.Time{}).Lookup(diabetes)
		total := int32(0)
		for _, v := range e.Versions {
			total += v.Share
			if v.Share > 0 && !v.hasReady() && e.Versions[0].hasReady() {
				t.Errorf("%s has %d and no ready replica", v.Name, v.Share)
			}
		}
		if total != whole {
			t.Errorf("all together have %d", total)
		}
	})
}

func TestEndpointWithoutVersions(t *testing.T) {
	e := build(t, inputs(nil), &Table{})
	if e.Next() != nil || e.Anchor() != nil {
		t.Error("a version was chosen where there is none")
	}
}

func TestLookup(t *testing.T) {
	sum := sha256.Sum256([]byte("a-key-of-diabetes"))
	in := inputs(nil, version("b", 0), version("a", 0))
	in.Routes = append(in.Routes, Route{ID: ID{"other", "diabetes"}, UID: "u2", Open: true})
	in.Digests = map[ID][][]byte{diabetes: {sum[:]}}
	table := NewBuilder(nil).Build(in, &Table{}, time.Time{})
	one, _ := table.Lookup(diabetes)
	two, _ := table.Lookup(ID{"other", "diabetes"})
	if !one.Keys.Opens("a-key-of-diabetes") || two.Keys.Opens("a-key-of-diabetes") {
		t.Error("a key opens its own endpoint and no other")
	}
	if one.Open || !two.Open {
		t.Error("open is not as the route says")
	}
	if diff := cmp.Diff([]string{"a", "b"}, one.VersionNames()); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	if _, ok := one.Version("c"); ok {
		t.Error("found a version that there is not")
	}
	if _, ok := table.Lookup(ID{"default", "other"}); ok {
		t.Error("found an endpoint that there is not")
	}
	if got := len(table.Endpoints()); got != 2 {
		t.Errorf("%d endpoints, want 2", got)
	}
}

// take counts the versions of the next n requests.
func take(e *Endpoint, n int) map[string]int {
	got := map[string]int{}
	for range n {
		got[e.Next().Name]++
	}
	return got
}

func TestCarriedOver(t *testing.T) {
	builder := NewBuilder(nil)
	all := map[string][]Replica{"w-a": ready(1), "w-b": ready(1)}
	current := NewCurrent()
	install := func(in Inputs) *Endpoint {
		current.Install(builder.Build(in, current.Load(), time.Time{}))
		e, _ := current.Load().Lookup(diabetes)
		return e
	}
	e := install(inputs(all, version("a", 9_000), version("b", 1_000)))
	gate := e.Versions[0].Gate
	place, err := gate.Acquire(t.Context(), admission.Patience{})
	if err != nil {
		t.Fatal(err)
	}
	first := take(e, 5)

	// Another table with the same shares goes on in the same order.
	all["w-a"] = ready(2)
	e = install(inputs(all, version("a", 9_000), version("b", 1_000)))
	second := take(e, 5)
	if got := first["b"] + second["b"]; got != 1 {
		t.Errorf("b had %d of 10 requests over two tables, want 1", got)
	}
	if e.Versions[0].Gate != gate || gate.Load().InFlight["w-a/0"] != 1 {
		t.Error("the request in flight was forgotten")
	}
	place.Release()

	// The endpoint made again under the same name begins anew.
	again := inputs(all, version("a", 10_000))
	again.Routes[0].UID = "u9"
	if e = install(again); e.Versions[0].Gate == gate {
		t.Error("an endpoint of another uid has the old one's gate")
	}
	if _, err := gate.Acquire(t.Context(), admission.Patience{}); !errors.Is(err, admission.ErrClosed) {
		t.Errorf("the old gate: %v, want ErrClosed", err)
	}
}

func TestWaitingRequestsLearnOfTheTable(t *testing.T) {
	tests := []struct {
		name string
		next Inputs
		want error
	}{
		{"a replica becomes ready", inputs(map[string][]Replica{"w-b": ready(1)}, version("a", 0), version("b", 10_000)), nil},
		{"the share goes to another version", inputs(map[string][]Replica{"w-a": ready(1)}, version("a", 0), version("b", 10_000)), admission.ErrMoved},
		{"the version goes", inputs(nil, version("a", 10_000)), admission.ErrClosed},
		{"the endpoint goes", Inputs{}, admission.ErrClosed},
		{"nothing changes", inputs(nil, version("a", 0), version("b", 10_000)), admission.ErrNoReplicas},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				builder, current := NewBuilder(nil), NewCurrent()
				current.Install(builder.Build(inputs(nil, version("a", 0), version("b", 10_000)), current.Load(), time.Now()))
				e, _ := current.Load().Lookup(diabetes)
				got := make(chan error)
				go func() {
					_, err := e.Next().Gate.Acquire(t.Context(), admission.Patience{Until: time.Now().Add(time.Second)})
					got <- err
				}()
				synctest.Wait()
				current.Install(builder.Build(test.next, current.Load(), time.Now()))
				if err := <-got; !errors.Is(err, test.want) {
					t.Errorf("Acquire: %v, want %v", err, test.want)
				}
			})
		})
	}
}

func TestCapacity(t *testing.T) {
	v := version("a", 0)
	v.MaxConcurrent = 3
	e := build(t, inputs(map[string][]Replica{"w-a": {
		{ID: "old", Address: "h:1", State: balancing.Ready, MaxConcurrent: 7}, {ID: "silent", Address: "h:2", State: balancing.Ready},
	}}, v), &Table{})
	want := []admission.Replica{
		{Key: "w-a/old", Address: "h:1", State: balancing.Ready, Capacity: 7},
		{Key: "w-a/silent", Address: "h:2", State: balancing.Ready, Capacity: 3},
	}
	if diff := cmp.Diff(want, e.Versions[0].Replicas); diff != "" {
		t.Errorf("replicas (-want +got):\n%s", diff)
	}
}

func BenchmarkBuild(b *testing.B) {
	in := Inputs{Replicas: map[string][]Replica{}}
	for i := range 1_000 {
		id := ID{"default", fmt.Sprintf("e%d", i)}
		va, vb := version("a", 9_000), version("b", 1_000)
		va.Workload, vb.Workload = fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)
		in.Routes = append(in.Routes, Route{ID: id, UID: id.Endpoint, Default: "a", Versions: []RouteVersion{va, vb}})
		in.Replicas[va.Workload], in.Replicas[vb.Workload] = ready(3), ready(3)
	}
	builder, current := NewBuilder(nil), NewCurrent()
	for b.Loop() {
		current.Install(builder.Build(in, current.Load(), time.Time{}))
	}
}
