package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// measure loads the server with all callers, then with one, and keeps the figures unless the round is for warming up.
func (s *server) measure(ctx context.Context, o options, keep bool) error {
	before, err := cpuTime(s.pid)
	if err != nil {
		return err
	}
	start := time.Now()
	latencies, err := s.load(ctx, o.conns, o.length)
	if err != nil {
		return err
	}
	elapsed := time.Since(start)
	after, err := cpuTime(s.pid)
	if err != nil {
		return err
	}
	alone, err := s.load(ctx, 1, o.length/2)
	if err != nil {
		return err
	}
	if !keep {
		return nil
	}
	s.rates = append(s.rates, float64(len(latencies))/elapsed.Seconds())
	s.cpu = append(s.cpu, micros(after-before)/float64(len(latencies)))
	s.p50 = append(s.p50, percentile(alone, 0.5))
	s.p99 = append(s.p99, percentile(alone, 0.99))
	return nil
}

// load sends requests from so many callers, each as soon as its last was answered, and gives how long each took.
func (s *server) load(ctx context.Context, callers int, length time.Duration) ([]time.Duration, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: callers, DisableCompression: true}
	defer transport.CloseIdleConnections()
	deadline := time.Now().Add(length)
	results, errs := make([][]time.Duration, callers), make([]error, callers)
	var calling sync.WaitGroup
	for i := range callers {
		calling.Go(func() {
			for time.Now().Before(deadline) {
				start := time.Now()
				if errs[i] = s.call(ctx, transport); errs[i] != nil {
					return
				}
				results[i] = append(results[i], time.Since(start))
			}
		})
	}
	calling.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return slices.Concat(results...), nil
}

func (s *server) call(ctx context.Context, transport *http.Transport) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/score", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("X-Ms-Request-Id") == "" {
		return fmt.Errorf("status %s, headers %v", res.Status, res.Header)
	}
	return nil
}

func percentile(latencies []time.Duration, q float64) float64 {
	slices.Sort(latencies)
	return micros(latencies[int(q*float64(len(latencies)-1))])
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
