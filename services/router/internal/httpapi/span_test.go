package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/fairlead/fairlead/services/router/internal/proxy"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// TestSpans follows a trace from the caller through the router to the replica.
func TestSpans(t *testing.T) {
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	seen := make(chan string, 1)
	r := replica(t, "r", func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("traceparent") })
	b := newBed(t, 1000)
	spans := tracetest.NewSpanRecorder()
	forwarder := proxy.New()
	defer forwarder.Close()
	handler := New(Deps{
		Logger: slog.New(slog.DiscardHandler), Routes: b.routes, Forwarder: forwarder, MaxBodyBytes: 1000,
		Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test"),
	})
	b.install(route(version("v1", 10_000)), map[string][]routetable.Replica{"w-v1": {r}})
	for _, parent := range []string{"00-" + trace + "-" + caller + "-01", "", "nonsense"} {
		spans.Reset()
		request := httptest.NewRequest(http.MethodPost, "/api/v1/service/diabetes/score", strings.NewReader("x"))
		request.Header.Set("Authorization", "Bearer "+key)
		request.Header.Set("traceparent", parent)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request)
		if len(spans.Ended()) != 2 {
			t.Fatalf("there are %d spans, want 2", len(spans.Ended()))
		}
		execute, score := spans.Ended()[0], spans.Ended()[1]
		of := score.SpanContext().TraceID().String()
		if strings.HasPrefix(parent, "00-") && (of != trace || score.Parent().SpanID().String() != caller) {
			t.Errorf("score is of trace %s under %s", of, score.Parent().SpanID())
		}
		if execute.Parent().SpanID() != score.SpanContext().SpanID() {
			t.Errorf("execute is under %s, want %s", execute.Parent().SpanID(), score.SpanContext().SpanID())
		}
		for who, got := range map[string]string{
			execute.SpanContext().SpanID().String(): <-seen,
			score.SpanContext().SpanID().String():   w.Header().Get("traceparent"),
		} {
			if want := "00-" + of + "-" + who + "-01"; got != want {
				t.Errorf("with %q: told %s, want %s", parent, got, want)
			}
		}
	}
}
