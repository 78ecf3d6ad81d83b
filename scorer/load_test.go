package scorer_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A caller that asks learns from an answer how busy the scorer is; others ask at /-/load.
func TestLoadReport(t *testing.T) {
	cfg := obedientConfig(t)
	cfg.Workers, cfg.Threads = 1, 2
	r := startReady(t, cfg)
	if got := r.reportOf(t, ""); got != "" {
		t.Errorf("a report that nobody asked for: %s", got)
	}
	if got := r.reportOf(t, "text"); !strings.HasPrefix(got, "TEXT cpu_utilization=") || !strings.Contains(got, "named_metrics.in_flight=1,named_metrics.queued=0") {
		t.Errorf("the report as text: %s", got)
	}

	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range 2 {
		mark := filepath.Join(t.TempDir(), fmt.Sprint("begun", i))
		wg.Go(func() { r.score(t.Context(), fmt.Sprintf(`{"touch": %q, "sleep": 1}`, mark)) })
		awaitFile(t, mark)
	}
	wg.Go(func() { r.score(t.Context(), `{}`) })
	r.await(t, "one waits", func(s status) bool { return s.Workers.Queued == 1 })
	res, err := r.client.Get(r.url + "/-/load")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Application float64            `json:"application_utilization"`
		Named       map[string]float64 `json:"named_metrics"`
	}
	if err := json.Unmarshal([]byte(drain(res)), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"in_flight": 3, "queued": 1}, got.Named); diff != "" {
		t.Errorf("named metrics (-want +got):\n%s", diff)
	}
	if got.Application != 1.5 {
		t.Errorf("application utilization %v with 3 requests for 2 places, want 1.5", got.Application)
	}
}

// reportOf gives the load report on an answer to a request that asks for this format.
func (r *running) reportOf(t *testing.T, format string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/score", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if format != "" {
		req.Header.Set("endpoint-load-metrics-format", format)
	}
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	drain(res)
	return res.Header.Get("endpoint-load-metrics")
}
