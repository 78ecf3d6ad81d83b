package httpapi

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/fairlead/fairlead/services/router/internal/tracecontext"
)

// begin makes the request a span of the caller's trace, or of a new one, and
// tells the caller and the replica of it.
func (h *Handler) begin(x *exchange) {
	if h.tracer == nil {
		passTrace(x.r.Header, x.w.Header())
		return
	}
	carrier := propagation.HeaderCarrier(x.r.Header)
	ctx := propagation.TraceContext{}.Extract(x.r.Context(), carrier)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		delete(x.r.Header, headerTracestate)
	}
	ctx, x.span = h.tracer.Start(ctx, "score", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(x.arrival),
		trace.WithAttributes(attribute.String("http.request.method", x.r.Method), attribute.String("url.path", x.r.URL.Path)))
	x.r = x.r.WithContext(ctx)
	propagation.TraceContext{}.Inject(ctx, carrier)
	x.w.Header()[headerTraceparent] = x.r.Header[headerTraceparent]
}

// end ends the request's span.
func (x *exchange) end(status int) {
	if x.span == nil {
		return
	}
	if e := x.seen.endpoint; e != nil {
		x.span.SetAttributes(attribute.String("fairlead.workspace", e.ID.Workspace), attribute.String("fairlead.endpoint", e.ID.Endpoint))
	}
	x.span.SetAttributes(
		attribute.String("fairlead.version", x.seen.version), attribute.String("fairlead.request_id", x.ids.MSRequest),
		attribute.Float64("fairlead.queue_wait_seconds", x.seen.queueWait.Seconds()),
		attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		x.span.SetStatus(codes.Error, x.seen.reason)
	}
	x.span.End()
}

// toReplica makes the call to a replica a span of its own, which the replica
// sees as its parent. The answer ends it.
func (h *Handler) toReplica(ctx context.Context, header http.Header, replica string) (context.Context, func(error)) {
	if h.tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := h.tracer.Start(ctx, "execute", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("fairlead.replica", replica)))
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// passTrace makes the request part of a trace, of the caller's if it has one, and
// tells the caller which.
func passTrace(request, answer http.Header) {
	values := request[headerTraceparent]
	if len(values) != 1 || !tracecontext.Valid(values[0]) {
		values = []string{tracecontext.New()}
		request[headerTraceparent] = values
		delete(request, headerTracestate)
	}
	answer[headerTraceparent] = values
}
