package profiling

import (
	"math"
	"slices"
	"time"
)

const (
	// memoryMargin is what a replica may need beyond what was seen.
	memoryMargin = 1.3
	// slower is by how much the latency may grow before requests at the same time
	// count as being in each other's way.
	slower = 1.5
	// disturbed is how many times the fastest answers the mean may be.
	disturbed = 2
	// jitter is a growth that says nothing.
	jitter = 5 * time.Millisecond
	// step is what recommendations are rounded up to: processors, and GB.
	step = 0.1
	// noise is a share of a step of processors that is not worth the next one.
	noise = 0.2
	// targetUtilization is the autoscaler's default: the rest is for bursts.
	targetUtilization = 0.7

	bytesPerGB = 1 << 30
)

// Latency is how long requests took.
type Latency struct{ Mean, P50, P95, P99 time.Duration }

// Level is what was measured with so many requests at the same time.
type Level struct {
	Concurrency int
	Requests    int // those that were answered well
	Failures    int
	Elapsed     time.Duration
	Latency     Latency
	// Fastest is the mean, over the different requests, of the fastest answer to
	// each: what they take when nothing else is in the way.
	Fastest time.Duration
	CPU     time.Duration // processor time of the replica
}

// PerSecond gives the requests per second.
func (l Level) PerSecond() float64 {
	if l.Elapsed <= 0 {
		return 0
	}
	return float64(l.Requests) / l.Elapsed.Seconds()
}

// Cores gives how many processors the replica kept busy.
func (l Level) Cores() float64 {
	if l.Elapsed <= 0 {
		return 0
	}
	return l.CPU.Seconds() / l.Elapsed.Seconds()
}

// Measurement is what was measured of one replica.
type Measurement struct {
	// Concurrency is how many requests the replica works on at the same time.
	Concurrency int
	// Levels begin with one request at a time and rise.
	Levels          []Level
	MemoryPeakBytes int64
}

// Recommendation is what one replica should get, and what it then can do.
type Recommendation struct {
	CPU      float64 // processors
	MemoryGB float64 // GB (2^30 bytes)
	// Latency is what a request takes when as many run as the replica works on.
	Latency Latency
	// Unhindered is the greatest number of requests at the same time whose 95th
	// percentile is near that of one at a time.
	Unhindered int
	// CPUPerRequest is the processor time of one request.
	CPUPerRequest time.Duration
	// PerSecond is the requests per second of a replica that is as busy as the
	// autoscaler wants it by default.
	PerSecond float64
	// Replicas is how many are needed for the wanted requests per second; 0 when
	// none were given.
	Replicas int
	// Disturbed says that requests one at a time mostly took far longer than they
	// can: something else was in the way, and latencies say less.
	Disturbed bool
}

// Recommend says what a replica should get. The measurement has at least one
// level with an answered request, the first.
func Recommend(m Measurement, requestsPerSecond float64) Recommendation {
	alone, full := m.Levels[0], m.full()
	perRequest := time.Duration(float64(alone.CPU) / float64(max(1, alone.Requests)))
	cores := full.Cores()
	if alone.Fastest > 0 {
		// What as many requests need that are in nobody's way: where processors were
		// short, those that were busy say less.
		cores = max(cores, float64(m.Concurrency)*perRequest.Seconds()/alone.Fastest.Seconds())
	}
	r := Recommendation{
		CPU:      roundUp(cores, noise),
		MemoryGB: roundUp(float64(m.MemoryPeakBytes)/bytesPerGB*memoryMargin, 0),
		Latency:  full.Latency, Unhindered: 1, CPUPerRequest: perRequest,
		Disturbed: alone.Latency.Mean > disturbed*alone.Fastest+jitter,
	}
	limit := max(time.Duration(float64(alone.Latency.P95)*slower), alone.Latency.P95+jitter)
	for _, l := range m.Levels {
		if l.Requests == 0 || l.Failures > 0 || l.Latency.P95 > limit {
			break
		}
		r.Unhindered = l.Concurrency
	}
	if mean := full.Latency.Mean.Seconds(); mean > 0 {
		r.PerSecond = float64(m.Concurrency) / mean * targetUtilization
	}
	if requestsPerSecond > 0 && r.PerSecond > 0 {
		r.Replicas = int(math.Ceil(requestsPerSecond / r.PerSecond))
	}
	return r
}

// full gives the level with as many requests as the replica works on, or the
// nearest below.
func (m Measurement) full() Level {
	found := m.Levels[0]
	for _, l := range m.Levels {
		if l.Concurrency <= m.Concurrency && l.Requests > 0 {
			found = l
		}
	}
	return found
}

func roundUp(x, slack float64) float64 {
	steps := max(1, math.Ceil(x/step-slack))
	return math.Round(steps) / math.Round(1/step)
}

// LevelsFor gives how many requests at a time are tried for a replica that works
// on so many: one, then twice as many each time, its own number, and twice that,
// which shows what waiting costs.
func LevelsFor(concurrency int) []int {
	var levels []int
	for n := 1; n < concurrency; n *= 2 {
		levels = append(levels, n)
	}
	return append(levels, concurrency, 2*concurrency)
}

// LatencyOf gives the figures of durations, which it sorts.
func LatencyOf(all []time.Duration) Latency {
	if len(all) == 0 {
		return Latency{}
	}
	slices.Sort(all)
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	at := func(share float64) time.Duration {
		return all[min(len(all)-1, int(math.Ceil(share*float64(len(all))))-1)]
	}
	return Latency{Mean: sum / time.Duration(len(all)), P50: at(0.50), P95: at(0.95), P99: at(0.99)}
}
