package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/events"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
)

// record is the n-th record of a log.
func record(n int, workspace, service, verb string) events.Record {
	return events.Record{Cursor: fmt.Sprint(n), Event: events.Event{
		ID: fmt.Sprintf("id-%d", n), Workspace: workspace, Service: service, Resource: "endpoint", Verb: verb,
		Subject: "workspaces/" + workspace + "/endpoints/e", Time: time.Unix(int64(n), 0).UTC(), Sequence: uint64(n),
		Data: []byte(`{"name":"e","generation":"3"}`),
	}}
}

func withEvents(t *testing.T) *bed {
	t.Helper()
	b := start(t)
	b.log.records = []events.Record{
		record(8, "default", "deploy", "created"), record(9, "other", "deploy", "created"),
		record(10, "default", "auth", "created"), record(11, "default", "deploy", "deleted"),
	}
	return b
}

// sse is one server-sent event.
type sse struct{ id, event, data string }

// read reads the next event, leaving comments and retry out; ok is false at the end.
func read(t *testing.T, r *bufio.Scanner) (e sse, ok bool) {
	t.Helper()
	for r.Scan() {
		name, value, _ := strings.Cut(r.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.event = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				return e, true
			}
		}
	}
	return e, false
}

func (b *bed) ids(t *testing.T, path string, headers ...string) []string {
	t.Helper()
	resp, err := b.client.Do(b.request(t, "GET", path, "", headers...))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("%s: %d %s", path, resp.StatusCode, got)
	}
	ids := []string{}
	lines := bufio.NewScanner(resp.Body)
	for {
		e, ok := read(t, lines)
		if !ok {
			return ids
		}
		ids = append(ids, e.id)
	}
}

func TestServerSentEventsSelectAndResume(t *testing.T) {
	b := withEvents(t)
	for name, tt := range map[string]struct {
		path    string
		headers []string
		want    []string
	}{
		"from start":            {"/v1/workspaces/default/events:watch?fromStart=true&noFollow=true", nil, []string{"8", "10", "11"}},
		"all workspaces":        {"/v1/workspaces/-/events:watch?fromStart=true&noFollow=true", nil, []string{"8", "9", "10", "11"}},
		"from now":              {"/v1/workspaces/default/events:watch?noFollow=true", nil, []string{}},
		"by cursor":             {"/v1/workspaces/default/events:watch?cursor=8&noFollow=true", nil, []string{"10", "11"}},
		"by last event":         {"/v1/workspaces/default/events:watch?noFollow=true", []string{"Last-Event-ID", "10"}, []string{"11"}},
		"last event wins":       {"/v1/workspaces/default/events:watch?noFollow=true&cursor=8", []string{"Last-Event-ID", "10"}, []string{"11"}},
		"whole prefix":          {"/v1/workspaces/default/events:watch?fromStart=1&noFollow=1&typePrefix=fairlead.deploy.", nil, []string{"8", "11"}},
		"prefix within a word":  {"/v1/workspaces/default/events:watch?fromStart=1&noFollow=1&typePrefix=fairlead.deploy.endpoint.v1.de", nil, []string{"11"}},
		"prefix of other types": {"/v1/workspaces/default/events:watch?fromStart=1&noFollow=1&typePrefix=fairlead.compute", nil, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, b.ids(t, tt.path, tt.headers...)); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServerSentEventsFollow(t *testing.T) {
	b := withEvents(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	resp, err := b.client.Do(b.request(t, "GET", "/v1/workspaces/default/events:watch", "").WithContext(ctx))
	if err != nil {
		t.Fatal(err) // the answer must begin before there is an event
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for quiet := false; !quiet && lines.Scan(); {
		quiet = strings.HasPrefix(lines.Text(), ": keep-alive")
	}
	live := record(12, "default", "deploy", "updated")
	b.log.live <- live
	e, ok := read(t, lines)
	if !ok || e.id != "12" || e.event != "fairlead.deploy.endpoint.v1.updated" {
		t.Fatalf("event %+v, %v", e, ok)
	}
	var back events.Event
	if err := json.Unmarshal([]byte(e.data), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(live.Event, back); diff != "" {
		t.Errorf("CloudEvent (-want +got):\n%s", diff)
	}
	b.stop()
	if _, more := read(t, lines); more {
		t.Error("an event after the gateway stopped")
	}
}

// TestServerSentEventsHead: an answer without a body is over at once, and the connection free for the next request.
func TestServerSentEventsHead(t *testing.T) {
	b := withEvents(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 {
		resp, err := b.client.Do(b.request(t, "HEAD", "/v1/workspaces/default/events:watch", "").WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
			t.Errorf("%d %s", resp.StatusCode, got)
		}
	}
}

func TestServerSentEventsRefuse(t *testing.T) {
	b := withEvents(t)
	for name, tt := range map[string]struct {
		path   string
		token  string
		status int
		reason string
	}{
		"expired cursor":    {"/v1/workspaces/default/events:watch?cursor=0", token, 400, "CURSOR_EXPIRED"},
		"unknown token":     {"/v1/workspaces/default/events:watch", "wrong", 401, "TOKEN_UNKNOWN"},
		"no token":          {"/v1/workspaces/default/events:watch", "", 401, "NO_TOKEN"},
		"unknown workspace": {"/v1/workspaces/nowhere/events:watch", token, 404, "WORKSPACE_NOT_FOUND"},
		"bad parameters":    {"/v1/workspaces/default/events:watch?fromStart=maybe&since=1", token, 400, "INVALID_ARGUMENT"},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.request(t, "GET", tt.path, "")
			r.Header.Set("Authorization", "Bearer "+tt.token)
			if tt.token == "" {
				r.Header.Del("Authorization")
			}
			a := b.do(t, r)
			if got := apierr.FromStatus(status.FromProto(errorIn(t, a)).Err()); a.status != tt.status || got.Reason != tt.reason {
				t.Errorf("%d %s, want %d %s", a.status, a.body, tt.status, tt.reason)
			}
		})
	}
	a := b.call(t, http.MethodPost, "/v1/workspaces/default/events:watch", "")
	if a.status != 404 && a.status != 405 {
		t.Errorf("POST: %d %s", a.status, a.body)
	}
}

func TestWatchEventsByGRPC(t *testing.T) {
	b := withEvents(t)
	client := eventsv1.NewEventServiceClient(b.conn)
	s, err := client.WatchEvents(as(t, token), &eventsv1.WatchEventsRequest{Parent: "workspaces/default", FromStart: true, NoFollow: true})
	if err != nil {
		t.Fatal(err)
	}
	var cursors []string
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, m.GetCursor())
		if e := m.GetEvent(); e.GetSource() != "//fairlead/"+strings.Split(e.GetType(), ".")[1] || e.GetData().GetFields()["name"].GetStringValue() != "e" ||
			e.GetSpecVersion() != "1.0" || e.GetSequence() != m.GetCursor() || e.GetDataContentType() != "application/json" || e.GetTime() == nil {
			t.Errorf("event %v", e)
		}
	}
	if diff := cmp.Diff([]string{"8", "10", "11"}, cursors); diff != "" {
		t.Errorf("cursors (-want +got):\n%s", diff)
	}
	for name, tt := range map[string]struct {
		token string
		req   *eventsv1.WatchEventsRequest
		want  codes.Code
	}{
		"expired":    {token, &eventsv1.WatchEventsRequest{Parent: "workspaces/default", Cursor: "0"}, codes.OutOfRange},
		"no token":   {"wrong", &eventsv1.WatchEventsRequest{Parent: "workspaces/default"}, codes.Unauthenticated},
		"no parent":  {token, &eventsv1.WatchEventsRequest{}, codes.InvalidArgument},
		"bad parent": {token, &eventsv1.WatchEventsRequest{Parent: "workspaces/default/endpoints/e"}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := client.WatchEvents(as(t, tt.token), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Recv(); status.Code(err) != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	follow, err := client.WatchEvents(as(t, token), &eventsv1.WatchEventsRequest{Parent: "workspaces/-"})
	if err != nil {
		t.Fatal(err)
	}
	b.log.live <- record(12, "other", "deploy", "updated")
	if m, err := follow.Recv(); err != nil || m.GetCursor() != "12" {
		t.Errorf("%v, %v", m, err)
	}
	b.stop()
	if _, err := follow.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the end = %v, want UNAVAILABLE", err)
	}
}
