package integration

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/test/harness"
)

// collector takes spans as OTLP over HTTP.
type collector struct {
	mu    sync.Mutex
	spans map[string]*tracev1.Span // by id
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{spans: map[string]*tracev1.Span{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	req := &collectorv1.ExportTraceServiceRequest{}
	if err != nil || proto.Unmarshal(content, req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range req.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans[hex.EncodeToString(s.GetSpanId())] = s
			}
		}
	}
}

// path gives the names of the spans from the first of a name up to the caller.
func (c *collector) path(trace, name, caller string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) != trace || s.GetName() != name || s.GetKind() != tracev1.Span_SPAN_KIND_SERVER {
			continue
		}
		names := []string{}
		for {
			names = append(names, s.GetName())
			parent := hex.EncodeToString(s.GetParentSpanId())
			if parent == caller {
				return names, nil
			}
			next, ok := c.spans[parent]
			if !ok {
				return nil, fmt.Errorf("the parent of %v is not there", names)
			}
			s = next
		}
	}
	return nil, fmt.Errorf("there is no span %s of trace %s", name, trace)
}

// TestTraces follows the spans of a request to the replica, and of a call
// through the control plane.
func TestTraces(t *testing.T) {
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	c := newCollector(t)
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		ctx := testContext(t)
		registerModel(t, i)
		key := deploy(t, i, "shop", script, nil)
		eventuallyScores(t, i, "shop", key)
		c.mu.Lock()
		clear(c.spans)
		c.mu.Unlock()

		answer, err := i.Score(ctx, "shop", key, wish(`{}`), http.Header{"Traceparent": {"00-" + trace + "-" + caller + "-01"}})
		if err != nil || answer.Status != http.StatusOK {
			t.Fatal(answer, err)
		}
		told := strings.Split(answer.Header.Get("Traceparent"), "-")
		if len(told) != 4 || told[1] != trace {
			t.Fatalf("the caller got %v", told)
		}
		harness.Eventually(t, 10*time.Second, "the spans of the request arrive", func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			score := c.spans[told[2]]
			if score.GetName() != "score" || hex.EncodeToString(score.GetParentSpanId()) != caller {
				return fmt.Errorf("the caller was told of the span %q under %x", score.GetName(), score.GetParentSpanId())
			}
			for _, s := range c.spans {
				if s.GetName() == "execute" && hex.EncodeToString(s.GetParentSpanId()) == told[2] {
					return nil
				}
			}
			return fmt.Errorf("there is no span of the replica's work among %d", len(c.spans))
		})

		req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.Server+"/v1/"+endpointName("shop"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+i.Token)
		req.Header.Set("Traceparent", "00-"+trace+"-"+caller+"-01")
		if answer, err := i.Do(req); err != nil || answer.Status != http.StatusOK {
			t.Fatal(answer, err)
		}
		harness.Eventually(t, 10*time.Second, "the spans of the call arrive", func() error {
			names, err := c.path(trace, "fairlead.deploy.v1.EndpointService/GetEndpoint", caller)
			if err == nil && (len(names) != 3 || names[2] != "GET") {
				err = fmt.Errorf("the call went through %v", names)
			}
			return err
		})
	})
}

// TestMetrics reads a router's metrics as Prometheus does.
func TestMetrics(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	i := harness.Start(t, harness.AllInOne, harness.WithServerArgs("router", "--health-listen", address))
	registerModel(t, i)
	key := deploy(t, i, "shop", script, nil)
	eventuallyScores(t, i, "shop", key)
	mustScore(t, i, "shop", key, nil)
	want := `fairlead_router_requests_total{code="2xx",endpoint="shop",version="version1",workspace="default"}`
	harness.Eventually(t, 10*time.Second, "the request is in the metrics", func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
		if err != nil {
			return err
		}
		answer, err := i.Do(req)
		if err == nil && (!strings.Contains(string(answer.Body), want) || !strings.Contains(string(answer.Body), "fairlead_grpc_server_calls_total")) {
			err = fmt.Errorf("the answer is %d with %d bytes", answer.Status, len(answer.Body))
		}
		return err
	})
}
