package httpapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/fairlead/fairlead/services/router/internal/proxy"
	"github.com/fairlead/fairlead/services/router/internal/record"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// statusCallerLeft is counted for a caller that left before its answer was whole.
const statusCallerLeft = 499

// Reasons beside the codes of refusals.
const (
	reasonCallerLeft   = "CallerLeft"
	reasonAnswerCutOff = "AnswerCutOff"
)

// observation is what is counted of an exchange, and the writer that sees its
// answer pass.
type observation struct {
	http.ResponseWriter
	status                int
	written               int64
	endpoint              *routetable.Endpoint // nil when none was found
	version, replica      string
	body                  *proxy.Body // nil when it was not taken
	queueWait, execution  time.Duration
	reason                string
	callerLeft, answerCut bool
}

// Unwrap is for http.ResponseController.
func (o *observation) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// WriteHeader notes the status of the answer, not that of interim ones.
func (o *observation) WriteHeader(status int) {
	if o.status == 0 && status >= http.StatusOK {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (o *observation) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	n, err := o.ResponseWriter.Write(b)
	o.written += int64(n)
	return n, err
}

// cut notes why there is no whole answer.
func (x *exchange) cut(err error) {
	x.seen.callerLeft = x.r.Context().Err() != nil
	x.seen.answerCut = !x.seen.callerLeft && errors.Is(err, proxy.ErrAborted)
}

// observe hands a request that has ended to who counts them. Only scoring
// counts: probes, swagger.json and preflight requests would dilute the figures.
func (h *Handler) observe(x *exchange) {
	status := x.seen.status
	switch {
	case x.seen.callerLeft:
		status, x.seen.reason = statusCallerLeft, reasonCallerLeft
	case x.seen.answerCut:
		status, x.seen.reason = http.StatusBadGateway, reasonAnswerCutOff
	}
	x.end(status)
	if h.count == nil || x.r.URL.Path == "/" || x.target.own != ownNothing || !x.target.scoring && x.target.path != "" || x.r.Method == http.MethodOptions {
		return
	}
	seen := &x.seen
	q := record.Request{
		Key:     record.Key{Version: seen.version, Code: status},
		Replica: seen.replica, Arrival: x.arrival, Latency: time.Since(x.arrival),
		QueueWait: seen.queueWait, Execution: seen.execution, ResponseBytes: seen.written,
		RequestID: x.ids.MSRequest, ClientRequestID: x.ids.MSClient, Reason: seen.reason,
	}
	if e := seen.endpoint; e != nil {
		q.UID, q.Workspace, q.Endpoint, q.Keep = e.UID, e.ID.Workspace, e.ID.Endpoint, e.Telemetry
	}
	if seen.body != nil {
		q.RequestBytes = seen.body.Received()
	}
	if parent := x.r.Header[headerTraceparent]; len(parent) == 1 {
		q.TraceID = traceID(parent[0])
	}
	h.count(&q)
}

// traceID is the trace of a valid traceparent.
func traceID(parent string) string {
	const begin, end = 3, 35
	if len(parent) < end {
		return ""
	}
	return parent[begin:end]
}
