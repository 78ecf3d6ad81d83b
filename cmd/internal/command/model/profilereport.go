package model

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/profiling"
	"github.com/fairlead/fairlead/cmd/internal/session"
)

// profileResult is the answer; its fields have the old product's names where it
// had them. Latencies are in ms, memory is in GB (2^30 bytes).
type profileResult struct {
	Name                  string   `json:"name"`
	State                 string   `json:"state"`
	Models                []string `json:"models"`
	RequestedCPU          float64  `json:"requestedCpu"`
	RequestedMemory       float64  `json:"requestedMemoryInGB"`
	RequestedPerSecond    float64  `json:"requestedQueriesPerSecond,omitempty"`
	ReplicaConcurrency    int      `json:"maxConcurrentRequestsPerContainer"`
	TotalQueries          int      `json:"totalQueries"`
	SuccessQueries        int      `json:"successQueries"`
	SuccessRate           float64  `json:"successRate"` // percent
	AverageLatency        float64  `json:"averageLatencyInMs"`
	Latency50             float64  `json:"latencyPercentile50InMs"`
	Latency95             float64  `json:"latencyPercentile95InMs"`
	Latency99             float64  `json:"latencyPercentile99InMs"`
	MeasuredPerSecond     float64  `json:"measuredQueriesPerSecond"`
	MaxUtilizedCPU        float64  `json:"maxUtilizedCpu"`
	MaxUtilizedMemory     float64  `json:"maxUtilizedMemory"`
	CPUPerRequest         float64  `json:"cpuSecondsPerRequest"`
	RecommendedCPU        float64  `json:"recommendedCpu"`
	RecommendedMemory     float64  `json:"recommendedMemoryInGB"`
	RecommendationLatency float64  `json:"recommendationLatencyInMs"` // the 95th percentile
	UnhinderedRequests    int      `json:"unhinderedConcurrentRequests"`
	PerReplica            float64  `json:"requestsPerSecondPerReplica"`
	Replicas              int      `json:"replicas,omitempty"`
	Disturbed             bool     `json:"disturbed"` // latencies are larger than they can be

	Levels []profileLevel `json:"levels"`
}

type profileLevel struct {
	Concurrency int     `json:"concurrentRequests"`
	Requests    int     `json:"requests"`
	Failures    int     `json:"failures"`
	PerSecond   float64 `json:"requestsPerSecond"`
	Latency50   float64 `json:"latencyPercentile50InMs"`
	Latency95   float64 `json:"latencyPercentile95InMs"`
	Latency99   float64 `json:"latencyPercentile99InMs"`
	CPU         float64 `json:"cpu"` // processors that were busy
}

// result puts the measurement and what follows from it into words.
func (p *profile) result(m profiling.Measurement) profileResult {
	r := profiling.Recommend(m, p.rps)
	alone := m.Levels[0]
	out := profileResult{
		Name: p.name, State: "Succeeded", Models: p.draft.Version.GetModels(),
		RequestedCPU: p.cpu, RequestedMemory: p.memory, RequestedPerSecond: p.rps, ReplicaConcurrency: m.Concurrency,
		AverageLatency: ms(alone.Latency.Mean), Latency50: ms(alone.Latency.P50), Latency95: ms(alone.Latency.P95), Latency99: ms(alone.Latency.P99),
		MaxUtilizedMemory: round(float64(m.MemoryPeakBytes)/(1<<30), 3), CPUPerRequest: round(r.CPUPerRequest.Seconds(), 4),
		RecommendedCPU: r.CPU, RecommendedMemory: r.MemoryGB, RecommendationLatency: ms(r.Latency.P95),
		UnhinderedRequests: r.Unhindered, PerReplica: round(r.PerSecond, 2), Replicas: r.Replicas, Disturbed: r.Disturbed,
	}
	for _, l := range m.Levels {
		out.TotalQueries += l.Requests + l.Failures
		out.SuccessQueries += l.Requests
		out.MaxUtilizedCPU = max(out.MaxUtilizedCPU, round(l.Cores(), 2))
		out.MeasuredPerSecond = max(out.MeasuredPerSecond, round(l.PerSecond(), 2))
		out.Levels = append(out.Levels, profileLevel{
			Concurrency: l.Concurrency, Requests: l.Requests, Failures: l.Failures, PerSecond: round(l.PerSecond(), 2),
			Latency50: ms(l.Latency.P50), Latency95: ms(l.Latency.P95), Latency99: ms(l.Latency.P99), CPU: round(l.Cores(), 2),
		})
	}
	out.SuccessRate = round(100*float64(out.SuccessQueries)/float64(max(1, out.TotalQueries)), 2)
	return out
}

func (p *profile) report(s *session.Session, m profiling.Measurement) error {
	r := p.result(m)
	if p.metadataFile != "" {
		content, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(p.metadataFile, append(content, '\n'), 0o644); err != nil {
			return fmt.Errorf("the profile is made, but it could not be written: %w", err)
		}
	}
	return s.Print(output.Document{Value: r, Names: []string{r.Name}, Text: r.write})
}

// write writes the result for people.
func (r profileResult) write(t *output.Text) {
	t.Facts(
		output.Fact{Name: "Profile", Value: r.Name},
		output.Fact{Name: "Requested", Value: resources(r.RequestedCPU, r.RequestedMemory)},
		output.Fact{Name: "Measured", Value: fmt.Sprintf("%s CPU, %s GB at most; %s ms of CPU per request",
			number(r.MaxUtilizedCPU), number(r.MaxUtilizedMemory), number(1000*r.CPUPerRequest))},
		output.Fact{Name: "Recommended", Value: resources(r.RecommendedCPU, r.RecommendedMemory)},
	)
	t.Blank()
	var rows [][]string
	for _, l := range r.Levels {
		rows = append(rows, []string{
			strconv.Itoa(l.Concurrency), strconv.Itoa(l.Requests), strconv.Itoa(l.Failures), number(l.PerSecond),
			number(l.Latency50), number(l.Latency95), number(l.Latency99), number(l.CPU),
		})
	}
	t.Table([]string{"AT ONCE", "REQUESTS", "FAILED", "PER SECOND", "P50 MS", "P95 MS", "P99 MS", "CPU"}, rows)
	t.Blank()
	t.Linef("A replica that works on %s at once takes %s ms (p95) for each, and carries %s requests per second at a utilization of 70 %%.",
		requests(r.ReplicaConcurrency), number(r.RecommendationLatency), number(r.PerReplica))
	if r.UnhinderedRequests < r.ReplicaConcurrency {
		t.Linef("More than %d at once are in each other's way: the latency grows.", r.UnhinderedRequests)
	}
	if r.Disturbed {
		t.Linef("Requests took far longer than the fastest of them: the machine was busy with something else. Measure again when it is quiet.")
	}
	if r.Replicas > 0 {
		t.Linef("%s", need(r.RequestedPerSecond, r.Replicas))
	}
}

func resources(cpu, memory float64) string {
	return fmt.Sprintf("%s CPU, %s GB memory", number(cpu), number(memory))
}

// need says how many replicas carry so many requests per second.
func need(perSecond float64, replicas int) string {
	subject, verb, object := "requests", "need", "replicas"
	if perSecond == 1 {
		subject, verb = "request", "needs"
	}
	if replicas == 1 {
		object = "replica"
	}
	return fmt.Sprintf("%s %s per second %s %d %s.", number(perSecond), subject, verb, replicas, object)
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return strconv.Itoa(n) + " requests"
}

func ms(d time.Duration) float64 { return round(float64(d)/float64(time.Millisecond), 1) }

func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
