package loadreport

import (
	"encoding/base64"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// scene is a scorer whose clock and figures the test sets.
type scene struct {
	now      time.Time
	usage    Usage
	requests Requests
}

func (s *scene) reporter() *Reporter {
	return New(Deps{
		Requests: func() Requests { return s.requests }, Usage: func() Usage { return s.usage }, Now: func() time.Time { return s.now },
	})
}

func TestReport(t *testing.T) {
	s := &scene{now: time.Unix(1000, 0), usage: Usage{CPUTime: 10 * time.Second, Processors: 2, MemoryBytes: 1 << 20, MemoryLimit: 4 << 20}}
	r := s.reporter()
	statuses := []int{200, 500, 200, 404}
	handler := r.Wrap(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/score" {
			return // a probe
		}
		w.WriteHeader(statuses[0])
		statuses = statuses[1:]
	}))
	for _, path := range []string{"/score", "/", "/-/ready", "/score", "/score", "/score"} {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path, nil))
	}
	s.now = s.now.Add(2 * time.Second)
	s.usage.CPUTime += time.Second
	s.requests = Requests{InFlight: 3, Queued: 1, Capacity: 2}
	want := Report{
		CPUUtilization: 0.25, MemUtilization: 0.25, ApplicationUtilization: 1.5, RPS: 2, EPS: 0.5,
		NamedMetrics: map[string]float64{"in_flight": 3, "queued": 1},
	}
	if diff := cmp.Diff(want, r.Report()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Until a second is over, what is used is not looked at again; what is inside is.
	s.now = s.now.Add(sampleEvery - 1)
	s.usage.CPUTime += time.Hour
	s.requests = Requests{Capacity: 2}
	want.ApplicationUtilization, want.NamedMetrics = 0, map[string]float64{"in_flight": 0, "queued": 0}
	if diff := cmp.Diff(want, r.Report()); diff != "" {
		t.Errorf("within the second (-want +got):\n%s", diff)
	}
	// A worker that has ended takes its processor time with it.
	s.now = s.now.Add(1)
	s.usage.CPUTime = 0
	if got := r.Report().CPUUtilization; got != 0 {
		t.Errorf("processor utilization %v when less time is seen, want 0", got)
	}
}

func TestHeaderOnlyWhenAsked(t *testing.T) {
	s := &scene{now: time.Unix(1000, 0), requests: Requests{InFlight: 1, Queued: 0, Capacity: 4}}
	handler := s.reporter().Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	for format, want := range map[string][]string{
		"":     nil,
		"yaml": nil,
		"text": {"TEXT cpu_utilization=0,mem_utilization=0,application_utilization=0.25,rps_fractional=0,eps=0,named_metrics.in_flight=1,named_metrics.queued=0"},
		"JSON": {`JSON {"cpu_utilization":0,"mem_utilization":0,"application_utilization":0.25,"rps_fractional":0,"eps":0,"named_metrics":{"in_flight":1,"queued":0}}`},
	} {
		w, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/score", nil)
		if format != "" {
			req.Header.Set("endpoint-load-metrics-format", format)
		}
		handler.ServeHTTP(w, req)
		if diff := cmp.Diff(want, w.Result().Header.Values("endpoint-load-metrics")); diff != "" {
			t.Errorf("format %q (-want +got):\n%s", format, diff)
		}
	}
}

func TestTrailerByGRPC(t *testing.T) {
	s := &scene{now: time.Unix(1000, 0), requests: Requests{InFlight: 1, Capacity: 4}}
	handler := s.reporter().Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	resp, err := server.Client().Post(server.URL+"/inference.GRPCInferenceService/ModelInfer", "application/grpc", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	report, err := base64.RawStdEncoding.DecodeString(resp.Trailer.Get("endpoint-load-metrics-bin"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[protowire.Number]any{9: 0.25, 8: map[string]float64{"in_flight": 1, "queued": 0}}
	if diff := cmp.Diff(want, decode(t, report)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// decode reads doubles and maps of them, by field.
func decode(t *testing.T, b []byte) map[protowire.Number]any {
	t.Helper()
	out := map[protowire.Number]any{}
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		if kind == protowire.Fixed64Type {
			v, n := protowire.ConsumeFixed64(b)
			out[field], b = math.Float64frombits(v), b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		if field != 8 {
			out[field] = string(v)
			continue
		}
		entry := decode(t, v)
		named, _ := out[field].(map[string]float64)
		if named == nil {
			named = map[string]float64{}
		}
		value, _ := entry[2].(float64)
		named[entry[1].(string)] = value
		out[field] = named
	}
	return out
}

func TestParse(t *testing.T) {
	for text, want := range map[string]float64{"50000 100000\n": 0.5, "max 100000\n": 0, "": 0, "0 0": 0, "x": 0} {
		if got, ok := parseCPUMax(text); got != want || ok != (want > 0) {
			t.Errorf("cpu.max %q: %v, %v; want %v", text, got, ok, want)
		}
	}
	stat := "7 (a ) b) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 9 9 20 0 1 0 100 1000 3 18446744073709551615"
	cpu, memory, ok := parseStat(stat)
	if !ok || cpu != 2*time.Second || memory != 3*int64(os.Getpagesize()) {
		t.Errorf("stat: %v %d %v", cpu, memory, ok)
	}
	for _, bad := range []string{"", "7 (x) S", "7 (x) S 1 1 1 1 1 1 1 1 1 1 x 1 1 1 1 1 1 1 1 1 1 1"} {
		if _, _, ok := parseStat(bad); ok {
			t.Errorf("stat %q is taken for one", bad)
		}
	}
}

func TestMeasure(t *testing.T) {
	u := Measure()
	if u.MemoryBytes <= 0 || u.MemoryLimit <= 0 || u.Processors <= 0 {
		t.Errorf("%+v: this process holds memory, and may use some", u)
	}
}
