package profiling_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/cmd/internal/profiling"
)

const (
	msec = time.Millisecond
	mb   = 1 << 20
)

// level is one that ran for ten seconds.
func level(concurrency, requests int, cpuPerRequest, fastest, mean, p95 time.Duration) profiling.Level {
	return profiling.Level{
		Concurrency: concurrency, Requests: requests, Elapsed: 10 * time.Second, CPU: time.Duration(requests) * cpuPerRequest,
		Fastest: fastest, Latency: profiling.Latency{Mean: mean, P50: mean, P95: p95, P99: p95},
	}
}

func TestRecommend(t *testing.T) {
	tests := map[string]struct {
		measured profiling.Measurement
		rps      float64
		want     profiling.Recommendation
	}{
		"it computes all the time": {
			measured: profiling.Measurement{Concurrency: 1, MemoryPeakBytes: 246 * mb, Levels: []profiling.Level{
				level(1, 490, 20*msec, 20*msec, 20*msec, 22*msec), level(2, 490, 20*msec, 20*msec, 40*msec, 44*msec),
			}},
			rps: 100,
			want: profiling.Recommendation{
				CPU: 1, MemoryGB: 0.4, Latency: profiling.Latency{Mean: 20 * msec, P50: 20 * msec, P95: 22 * msec, P99: 22 * msec},
				Unhindered: 1, CPUPerRequest: 20 * msec, PerSecond: 35, Replicas: 3,
			},
		},
		"it waits most of the time": {
			measured: profiling.Measurement{Concurrency: 4, MemoryPeakBytes: 1024 * mb, Levels: []profiling.Level{
				level(1, 50, 10*msec, 200*msec, 200*msec, 210*msec), level(2, 100, 10*msec, 200*msec, 200*msec, 215*msec),
				level(4, 200, 10*msec, 200*msec, 200*msec, 220*msec), level(8, 200, 10*msec, 200*msec, 400*msec, 450*msec),
			}},
			want: profiling.Recommendation{
				CPU: 0.2, MemoryGB: 1.3, Latency: profiling.Latency{Mean: 200 * msec, P50: 200 * msec, P95: 220 * msec, P99: 220 * msec},
				Unhindered: 4, CPUPerRequest: 10 * msec, PerSecond: 14,
			},
		},
		"processors are short": {
			measured: profiling.Measurement{Concurrency: 4, MemoryPeakBytes: 100 * mb, Levels: []profiling.Level{
				level(1, 500, 20*msec, 20*msec, 20*msec, 21*msec), level(2, 1000, 20*msec, 20*msec, 20*msec, 22*msec),
				level(4, 1000, 20*msec, 20*msec, 40*msec, 50*msec), level(8, 1000, 20*msec, 20*msec, 80*msec, 100*msec),
			}},
			rps: 1,
			want: profiling.Recommendation{
				CPU: 4, MemoryGB: 0.2, Latency: profiling.Latency{Mean: 40 * msec, P50: 40 * msec, P95: 50 * msec, P99: 50 * msec},
				Unhindered: 2, CPUPerRequest: 20 * msec, PerSecond: 70, Replicas: 1,
			},
		},
		"something else was in the way": {
			measured: profiling.Measurement{Concurrency: 1, MemoryPeakBytes: 10 * mb, Levels: []profiling.Level{level(1, 100, 20*msec, 21*msec, 90*msec, 130*msec)}},
			want: profiling.Recommendation{
				CPU: 1, MemoryGB: 0.1, Latency: profiling.Latency{Mean: 90 * msec, P50: 90 * msec, P95: 130 * msec, P99: 130 * msec},
				Unhindered: 1, CPUPerRequest: 20 * msec, PerSecond: 1 / 0.09 * 0.7, Disturbed: true,
			},
		},
		"nothing to speak of": {
			measured: profiling.Measurement{Concurrency: 1, Levels: []profiling.Level{level(1, 1, 0, 0, 0, 0)}},
			rps:      10,
			want:     profiling.Recommendation{CPU: 0.1, MemoryGB: 0.1, Unhindered: 1},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := profiling.Recommend(test.measured, test.rps)
			near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
			if diff := cmp.Diff(test.want, got, near); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// More is never answered with less.
func TestRecommendationsGrowWithNeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, most int) time.Duration {
			return time.Duration(rapid.IntRange(1, most).Draw(t, name)) * msec
		}
		n := rapid.IntRange(1, 16).Draw(t, "concurrency")
		cpu, fastest := draw("cpu", 1000), draw("fastest", 1000)
		mean := fastest + draw("more", 1000)
		peak := rapid.Int64Range(0, 100<<30).Draw(t, "peak")
		rps := rapid.Float64Range(0.1, 1000).Draw(t, "rps")
		measure := func(cpu time.Duration, peak int64) profiling.Measurement {
			return profiling.Measurement{Concurrency: n, MemoryPeakBytes: peak, Levels: []profiling.Level{level(1, 10, cpu, fastest, mean, mean)}}
		}
		one := profiling.Recommend(measure(cpu, peak), rps)
		two := profiling.Recommend(measure(cpu*2, peak+1<<28), rps*2)
		if two.CPU < one.CPU || two.MemoryGB < one.MemoryGB || two.Replicas < one.Replicas {
			t.Fatalf("%+v, then %+v", one, two)
		}
		if one.MemoryGB < float64(peak)/(1<<30)*1.3-1e-9 {
			t.Fatalf("the recommended memory %v has no room beyond %d bytes", one.MemoryGB, peak)
		}
		if float64(one.Replicas)*one.PerSecond < rps-1e-6 {
			t.Fatalf("%d replicas do not carry %v per second", one.Replicas, rps)
		}
	})
}

func TestLevelsFor(t *testing.T) {
	for n, want := range map[int][]int{1: {1, 2}, 2: {1, 2, 4}, 3: {1, 2, 3, 6}, 8: {1, 2, 4, 8, 16}} {
		if diff := cmp.Diff(want, profiling.LevelsFor(n)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLatencyOf(t *testing.T) {
	var all []time.Duration
	for i := 100; i > 0; i-- {
		all = append(all, time.Duration(i)*msec)
	}
	want := profiling.Latency{Mean: 50500 * time.Microsecond, P50: 50 * msec, P95: 95 * msec, P99: 99 * msec}
	if diff := cmp.Diff(want, profiling.LatencyOf(all)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(profiling.Latency{Mean: msec, P50: msec, P95: msec, P99: msec}, profiling.LatencyOf([]time.Duration{msec})); diff != "" {
		t.Error(diff)
	}
}
