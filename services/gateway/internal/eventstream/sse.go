package eventstream

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/rpc"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/services/gateway/internal/httperr"
	"github.com/fairlead/fairlead/services/gateway/internal/stopping"
)

const (
	// cursorTimeout is how long the answer to a request with a cursor waits for
	// the log to refuse it; later refusals come as an error event.
	cursorTimeout = time.Second
	// retryMillis is how long browsers wait before they connect again.
	retryMillis = 2000

	contentType = "text/event-stream"
)

// step is one outcome of reading the log.
type step struct {
	record events.Record
	err    error
}

// ServeHTTP answers GET …/workspaces/{workspace}/events:watch.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.Stopping.Bind(r.Context())
	defer cancel(nil)
	req, err := parse(r)
	leave := func() {}
	if err == nil {
		leave, err = s.admit(ctx, cancel, r.Header.Values("Authorization"), req)
	}
	if err != nil {
		httperr.Write(w, err, r.Header.Get(rpc.RequestIDHeader))
		return
	}
	defer leave()
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", contentType)
		return // with nothing to come, it would last for ever and keep the connection
	}
	steps := make(chan step)
	go s.feed(ctx, req, steps)
	defer func() {
		cancel(nil)
		for range steps { // until feed has ended
		}
	}()
	first, begun := s.first(req, steps)
	if begun && first.err != nil {
		httperr.Write(w, stopping.Cause(ctx, first.err), r.Header.Get(rpc.RequestIDHeader))
		return
	}
	out := sse{w: w, rc: http.NewResponseController(w)}
	if err := out.begin(); err != nil {
		return
	}
	if begun && first.record.Cursor != "" {
		if err := out.event(first.record); err != nil {
			return
		}
	}
	s.follow(ctx, out, steps)
	if cause := context.Cause(ctx); isRefusal(cause) {
		_ = out.failure(cause)
	}
}

// feed reads the log into steps and closes it at the end.
func (s *Service) feed(ctx context.Context, req *eventsv1.WatchEventsRequest, steps chan<- step) {
	defer close(steps)
	for record, err := range s.read(ctx, req) {
		select {
		case steps <- step{record, err}:
		case <-ctx.Done():
			return
		}
	}
}

// first waits for the outcome that decides whether the request is good, where
// there can be such a one.
func (s *Service) first(req *eventsv1.WatchEventsRequest, steps <-chan step) (first step, begun bool) {
	if req.GetCursor() == "" && req.GetTypePrefix() == "" {
		return step{}, false
	}
	timer := time.NewTimer(cursorTimeout)
	defer timer.Stop()
	select {
	case first, begun = <-steps:
		return first, begun
	case <-timer.C:
		return step{}, false
	}
}

// follow writes what comes until it ends.
func (s *Service) follow(ctx context.Context, out sse, steps <-chan step) {
	quiet := time.NewTicker(s.KeepAlive)
	defer quiet.Stop()
	for {
		var err error
		select {
		case next, more := <-steps:
			switch {
			case !more:
				return
			case next.err != nil:
				if ctx.Err() == nil {
					_ = out.failure(next.err)
				}
				return
			}
			err = out.event(next.record)
			quiet.Reset(s.KeepAlive)
		case <-quiet.C:
			err = out.write(": keep-alive\n\n")
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// parse reads the query; everything that is wrong is told at once.
func parse(r *http.Request) (*eventsv1.WatchEventsRequest, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, apierr.Invalid(apierr.Violation{Field: "query", Description: "is malformed"})
	}
	req := &eventsv1.WatchEventsRequest{Parent: "workspaces/" + r.PathValue("workspace"), Cursor: query.Get("cursor"), TypePrefix: query.Get("typePrefix")}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		req.Cursor = last
	}
	var bad apierr.Violations
	req.FromStart = flag(query, "fromStart", &bad)
	req.NoFollow = flag(query, "noFollow", &bad)
	for name := range query {
		if !slices.Contains([]string{"cursor", "fromStart", "noFollow", "typePrefix"}, name) {
			bad.Add(name, "is not a parameter; these are: cursor, fromStart, noFollow, typePrefix")
		}
	}
	return req, bad.Err()
}

func flag(query url.Values, name string, bad *apierr.Violations) bool {
	if !query.Has(name) {
		return false
	}
	on, err := strconv.ParseBool(query.Get(name))
	if err != nil {
		bad.Add(name, "must be true or false")
	}
	return on
}

// sse writes one stream of server-sent events.
type sse struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (o sse) begin() error {
	h := o.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // some proxies would hold events back
	o.w.WriteHeader(http.StatusOK)
	return o.write(fmt.Sprintf("retry: %d\n\n", retryMillis))
}

func (o sse) event(r events.Record) error {
	data, err := json.Marshal(r.Event)
	if err != nil {
		return err
	}
	return o.write(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", r.Cursor, r.Event.Type(), data))
}

// failure tells why a stream ends that has begun.
func (o sse) failure(err error) error {
	return o.write(fmt.Sprintf("event: error\ndata: %s\n\n", httperr.Body(apierr.ToStatus(err))))
}

func (o sse) write(text string) error {
	if _, err := o.w.Write([]byte(text)); err != nil {
		return err
	}
	return o.rc.Flush()
}
