package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/record"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// totals are figures that a test made up.
type totals map[record.Key]*record.Figures

func (t totals) Totals(see func(record.Key, *record.Figures)) {
	for key, f := range t {
		see(key, f)
	}
}

func (t totals) Waiting() int { return 2 }

func (t totals) add(key record.Key, latency time.Duration) {
	f, ok := t[key]
	if !ok {
		f = &record.Figures{Workspace: "default", Endpoint: "diabetes"}
		t[key] = f
	}
	f.Requests++
	f.Latency.Add(latency)
	f.QueueWait.Add(0)
	f.Execution.Add(latency)
}

func TestMetrics(t *testing.T) {
	routes := routetable.NewCurrent()
	routes.Install(routetable.NewBuilder(nil).Build(routetable.Inputs{
		Complete: true,
		Routes: []routetable.Route{{
			ID: routetable.ID{Workspace: "default", Endpoint: "diabetes"}, UID: "u2", Default: "v1",
			Versions: []routetable.RouteVersion{{Name: "v1", Share: 10_000, Workload: "w", MaxConcurrent: 1}},
		}},
		Replicas: map[string][]routetable.Replica{"w": {{ID: "a", Address: "a:1", State: balancing.Ready}, {ID: "b", State: balancing.Unready}}},
	}, routes.Load(), time.Now()))
	counted := totals{}
	// An endpoint that was deleted and made again is one in the labels.
	counted.add(record.Key{UID: "u1", Version: "v1", Code: 200}, time.Second)
	counted.add(record.Key{UID: "u2", Version: "v1", Code: 201}, 3*time.Second)
	counted.add(record.Key{UID: "u2", Version: "v1", Code: 502}, 100*time.Second)
	counted[record.Key{Code: 404}] = &record.Figures{Requests: 5}
	c := New(counted, routes)
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	want := `
# HELP fairlead_router_ready_replicas Replicas that take requests.
# TYPE fairlead_router_ready_replicas gauge
fairlead_router_ready_replicas{endpoint="diabetes",version="v1",workspace="default"} 1
# HELP fairlead_router_requests_total Scoring requests that have ended, by the hundred of the status code.
# TYPE fairlead_router_requests_total counter
fairlead_router_requests_total{code="2xx",endpoint="diabetes",version="v1",workspace="default"} 2
fairlead_router_requests_total{code="4xx",endpoint="",version="",workspace=""} 5
fairlead_router_requests_total{code="5xx",endpoint="diabetes",version="v1",workspace="default"} 1
# HELP fairlead_router_waiting_reports Reports that the telemetry service has not taken yet.
# TYPE fairlead_router_waiting_reports gauge
fairlead_router_waiting_reports 2
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want),
		"fairlead_router_requests_total", "fairlead_router_ready_replicas", "fairlead_router_waiting_reports"); err != nil {
		t.Error(err)
	}
	latency := &record.Figures{}
	for _, f := range counted {
		latency.Merge(f)
	}
	got := buckets(&latency.Latency)
	for bound, want := range map[float64]uint64{0.5: 0, 1: 1, 2: 1, 4: 2, 64: 2} {
		if got[bound] != want {
			t.Errorf("up to %v s there are %d, want %d", bound, got[bound], want)
		}
	}
}
