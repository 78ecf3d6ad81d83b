// Package metrics shows a router's figures to Prometheus.
//
// Labels are bounded: endpoints and versions are those in the route table, status
// codes are by their hundred, and requests to no endpoint that exists are under
// an empty endpoint. A Collector may be used by many goroutines.
package metrics

import (
	"math"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead/fairlead/platform/histogram"
	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/record"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// The buckets of durations end at powers of 2, where those of our histograms
// end, too: from 1/1024 s, about a millisecond, to 64 s.
const (
	firstExponent = -10
	lastExponent  = 6
)

// figures has what the router counted since it started.
type figures interface {
	Totals(see func(record.Key, *record.Figures))
	Waiting() int
}

// Collector gives the metrics as they are now.
type Collector struct {
	figures figures
	routes  *routetable.Current

	requests, dropped, bytesIn, bytesOut *prometheus.Desc
	latency, queueWait, execution        *prometheus.Desc
	inFlight, queued, ready, waiting     *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// New shows these figures, and the load of what is in the table.
func New(f figures, routes *routetable.Current) *Collector {
	version := []string{"workspace", "endpoint", "version"}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("fairlead_router_"+name, help, labels, nil)
	}
	return &Collector{
		figures: f, routes: routes,
		requests:  desc("requests_total", "Scoring requests that have ended, by the hundred of the status code.", append(version, "code")...),
		dropped:   desc("records_dropped_total", "Requests of which no single record could be kept.", version...),
		bytesIn:   desc("request_bytes_total", "Bytes of request bodies.", version...),
		bytesOut:  desc("response_bytes_total", "Bytes of answer bodies.", version...),
		latency:   desc("request_duration_seconds", "From a request's arrival to the end of its answer.", version...),
		queueWait: desc("queue_wait_seconds", "How long requests waited for a replica.", version...),
		execution: desc("execution_seconds", "How long replicas took.", version...),
		inFlight:  desc("in_flight_requests", "Requests that replicas work on now.", version...),
		queued:    desc("queued_requests", "Requests that wait for a replica now.", version...),
		ready:     desc("ready_replicas", "Replicas that take requests.", version...),
		waiting:   desc("waiting_reports", "Reports that the telemetry service has not taken yet."),
	}
}

// Describe describes the metrics.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.requests, c.dropped, c.bytesIn, c.bytesOut, c.latency, c.queueWait, c.execution, c.inFlight, c.queued, c.ready, c.waiting,
	} {
		to <- d
	}
}

// version is what the labels of a version are.
type version struct{ workspace, endpoint, version string }

func (v version) labels(more ...string) []string {
	return append([]string{v.workspace, v.endpoint, v.version}, more...)
}

// Collect gives the metrics.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	sums := map[version]*record.Figures{}
	byCode := map[version]map[int]int64{}
	c.figures.Totals(func(key record.Key, f *record.Figures) {
		v := version{f.Workspace, f.Endpoint, key.Version}
		if sums[v] == nil {
			sums[v], byCode[v] = &record.Figures{}, map[int]int64{}
		}
		sums[v].Merge(f)
		byCode[v][key.Code/100] += f.Requests
	})
	for v, f := range sums {
		for class, n := range byCode[v] {
			to <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(n), v.labels(strconv.Itoa(class)+"xx")...)
		}
		for desc, n := range map[*prometheus.Desc]int64{c.dropped: f.Dropped, c.bytesIn: f.RequestBytes, c.bytesOut: f.ResponseBytes} {
			to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), v.labels()...)
		}
		for desc, h := range map[*prometheus.Desc]*histogram.Histogram{c.latency: &f.Latency, c.queueWait: &f.QueueWait, c.execution: &f.Execution} {
			to <- prometheus.MustNewConstHistogram(desc, h.Count(), h.Sum().Seconds(), buckets(h), v.labels()...)
		}
	}
	c.collectLoad(to)
	to <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(c.figures.Waiting()))
}

func (c *Collector) collectLoad(to chan<- prometheus.Metric) {
	for _, e := range c.routes.Load().Endpoints() {
		for _, v := range e.Versions {
			load, inFlight, ready := v.Gate.Load(), 0, 0
			for _, n := range load.InFlight {
				inFlight += n
			}
			for _, r := range v.Replicas {
				if r.State == balancing.Ready {
					ready++
				}
			}
			of := version{e.ID.Workspace, e.ID.Endpoint, v.Name}
			for desc, n := range map[*prometheus.Desc]int{c.inFlight: inFlight, c.queued: load.Queued, c.ready: ready} {
				to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), of.labels()...)
			}
		}
	}
}

// buckets gives how many durations are at most each bound; exact.
func buckets(h *histogram.Histogram) map[float64]uint64 {
	out := map[float64]uint64{}
	for exponent := firstExponent; exponent <= lastExponent; exponent++ {
		out[math.Ldexp(1, exponent)] = h.CountUpTo(exponent)
	}
	return out
}
