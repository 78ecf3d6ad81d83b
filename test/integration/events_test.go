package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// event is a CloudEvent as a reader got it, in the JSON format.
type event struct {
	SpecVersion     string         `json:"specversion"`
	ID              string         `json:"id"`
	Source          string         `json:"source"`
	Type            string         `json:"type"`
	Subject         string         `json:"subject"`
	Time            time.Time      `json:"time"`
	DataContentType string         `json:"datacontenttype"`
	Sequence        string         `json:"sequence"`
	Data            map[string]any `json:"data"`

	cursor string
}

// TestEvents reads the same events in every way that there is.
func TestEvents(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		live := subscribe(t, i)
		registerModel(t, i)
		deploy(t, i, "shop", script, map[string]any{"computeType": "AKSENDPOINT", "versionName": "versiona"})
		i.Run("endpoint", "create-version", "-n", "shop", "--vn", "versionb", "-m", modelID, "--tp", "10", "--ic", inferenceConfig(t, script))
		i.Run("endpoint", "update-version", "-n", "shop", "--vn", "versionb", "--tp", "40", "--is-default", "--cvt")
		i.Run("endpoint", "delete-version", "-n", "shop", "--vn", "versionb")
		i.Run("workspace", "create", "-n", "other")
		i.Run("endpoint", "delete", "-n", "shop")

		all := awaitQuiet(t, i)
		wantTypes(t, all, "fairlead.deploy.model.v1.registered", "fairlead.deploy.endpoint.v1.created", "fairlead.deploy.version.v1.created",
			"fairlead.deploy.endpoint.v1.traffic-changed", "fairlead.deploy.version.v1.promoted", "fairlead.deploy.version.v1.deleted",
			"fairlead.deploy.endpoint.v1.deleted", "fairlead.auth.endpointkey.v1.created", "fairlead.auth.endpointkey.v1.deleted",
			"fairlead.compute.workload.v1.applied", "fairlead.compute.workload.v1.deleted")
		wantContiguous(t, all)
		wantSame(t, "events tail", all, tailEvents(t, i))
		wantSame(t, "SSE", all, serverSentEvents(t, i, "", http.Header{}))
		middle := len(all) / 2
		wantSame(t, "SSE after Last-Event-ID", all[middle+1:],
			serverSentEvents(t, i, "", http.Header{"Last-Event-Id": {serverSentEvents(t, i, "", http.Header{})[middle].cursor}}))
		wantSame(t, "gRPC after a cursor", all[middle+1:], watchEvents(t, i, &eventsv1.WatchEventsRequest{Cursor: all[middle].cursor}))
		wantSame(t, "gRPC by type", slices.DeleteFunc(slices.Clone(all), func(e event) bool { return !strings.HasPrefix(e.Type, "fairlead.deploy.endpoint.") }),
			watchEvents(t, i, &eventsv1.WatchEventsRequest{FromStart: true, TypePrefix: "fairlead.deploy.endpoint."}))
		wantSame(t, "NATS", after(all, live.first(t)), live.events(len(after(all, live.first(t)))))
		badCursor(t, i)
		refusedSubscriber(t, i)
	})
}

// awaitQuiet reads all events of the workspace default until no more come: what
// follows from a deletion ends after it.
func awaitQuiet(t *testing.T, i *harness.Installation) []event {
	t.Helper()
	var all []event
	harness.Eventually(t, 10*time.Second, "the last event has come", func() error {
		all = watchEvents(t, i, &eventsv1.WatchEventsRequest{FromStart: true})
		if !slices.ContainsFunc(all, func(e event) bool { return e.Type == "fairlead.deploy.endpoint.v1.deleted" }) {
			return errors.New("the endpoint's deletion is missing")
		}
		if n := deletedWorkloads(all); n != 2 {
			return fmt.Errorf("%d workloads are deleted, want 2", n)
		}
		return nil
	})
	return all
}

func deletedWorkloads(all []event) int {
	n := 0
	for _, e := range all {
		if e.Type == "fairlead.compute.workload.v1.deleted" {
			n++
		}
	}
	return n
}

// watchEvents reads what there is, by gRPC; of the workspace default when the
// request names none.
func watchEvents(t *testing.T, i *harness.Installation, r *eventsv1.WatchEventsRequest) []event {
	t.Helper()
	r.NoFollow = true
	if r.GetParent() == "" {
		r.Parent = workspace
	}
	stream := must(apiOf(i).events.WatchEvents(testContext(t), r))(t)
	var all []event
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		e := answer.GetEvent()
		all = append(all, event{
			SpecVersion: e.GetSpecVersion(), ID: e.GetId(), Source: e.GetSource(), Type: e.GetType(), Subject: e.GetSubject(),
			Time: e.GetTime().AsTime(), DataContentType: e.GetDataContentType(), Sequence: e.GetSequence(), Data: e.GetData().AsMap(),
			cursor: answer.GetCursor(),
		})
	}
}

// tailEvents reads what there is, by the command line.
func tailEvents(t *testing.T, i *harness.Installation) []event {
	t.Helper()
	var all []event
	for line := range strings.Lines(i.Run("events", "tail", "--from-start", "--no-follow", "-o", "json")) {
		all = append(all, parseEvent(t, []byte(line)))
	}
	return all
}

func parseEvent(t *testing.T, raw []byte) event {
	t.Helper()
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatalf("an event that is no JSON: %v: %s", err, raw)
	}
	return e
}

// serverSentEvents reads what there is, by REST.
func serverSentEvents(t *testing.T, i *harness.Installation, query string, header http.Header) []event {
	t.Helper()
	from := "&fromStart=true"
	if header.Get("Last-Event-Id") != "" {
		from = ""
	}
	address := i.Server + "/v1/workspaces/default/events:watch?noFollow=true" + from + query
	request, err := http.NewRequestWithContext(testContext(t), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	request.Header.Set("Authorization", "Bearer "+i.Token)
	request.Header.Set("Accept", "text/event-stream")
	answer, err := i.Do(request)
	if err != nil || answer.Status != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("the events by REST: %v, %v", answer, err)
	}
	var all []event
	for block := range strings.SplitSeq(string(answer.Body), "\n\n") {
		fields := map[string]string{}
		lines := bufio.NewScanner(strings.NewReader(block))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && name != "" {
				fields[name] = strings.TrimPrefix(value, " ")
			}
		}
		if fields["data"] == "" {
			continue
		}
		e := parseEvent(t, []byte(fields["data"]))
		if e.cursor = fields["id"]; e.cursor == "" || fields["event"] != e.Type {
			t.Errorf("the event %s comes with id %q and event %q", e.Type, e.cursor, fields["event"])
		}
		all = append(all, e)
	}
	return all
}

// subscriber is a plain NATS client.
type subscriber struct {
	mu       sync.Mutex
	received []event
	problems []error
	i        *harness.Installation
}

// consumer is what a client with a token connects with.
func consumer(i *harness.Installation, token string) []nats.Option {
	options := []nats.Option{nats.Token(token)}
	if authority := i.Authority(); authority != "" {
		options = append(options, nats.RootCAs(authority))
	}
	return options
}

// subscribe connects with the token that the control plane takes.
func subscribe(t *testing.T, i *harness.Installation) *subscriber {
	t.Helper()
	conn, err := nats.Connect(i.NATS, consumer(i, i.Token)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	s := &subscriber{i: i}
	if _, err := conn.Subscribe("fairlead.events.default.>", s.receive); err != nil {
		t.Fatal(err)
	}
	if err := conn.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	return s
}

// receive reads CloudEvents in binary mode.
func (s *subscriber) receive(m *nats.Msg) {
	attribute := func(name string) string {
		text, err := url.PathUnescape(m.Header.Get("ce-" + name))
		if err != nil {
			s.problems = append(s.problems, fmt.Errorf("attribute %s: %w", name, err))
		}
		return text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := event{
		SpecVersion: attribute("specversion"), ID: attribute("id"), Source: attribute("source"), Type: attribute("type"),
		Subject: attribute("subject"), DataContentType: attribute("datacontenttype"), Sequence: attribute("sequence"),
	}
	var err error
	if e.Time, err = time.Parse(time.RFC3339Nano, attribute("time")); err != nil {
		s.problems = append(s.problems, err)
	}
	if err := json.Unmarshal(m.Data, &e.Data); err != nil {
		s.problems = append(s.problems, err)
	}
	s.received = append(s.received, e)
}

// first is the id of the first event that was received.
func (s *subscriber) first(t *testing.T) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.received) == 0 || len(s.problems) > 0 {
		t.Fatalf("the NATS subscriber got %d events, and has trouble with %v", len(s.received), s.problems)
	}
	return s.received[0].ID
}

// events gives what was received, which becomes n.
func (s *subscriber) events(n int) []event {
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s.mu.Lock()
		got := slices.Clone(s.received)
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-deadline:
			return got
		case <-tick.C:
		}
	}
}

// after gives the events from the one with an id.
func after(all []event, id string) []event {
	return all[max(0, slices.IndexFunc(all, func(e event) bool { return e.ID == id })):]
}

// wantSame compares events in content and order.
func wantSame(t *testing.T, reader string, want, got []event) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".cursor" }, cmp.Ignore()),
		cmp.AllowUnexported(event{})); diff != "" {
		t.Errorf("%s sees other events (-want +got):\n%s", reader, diff)
	}
}

func wantTypes(t *testing.T, all []event, types ...string) {
	t.Helper()
	for _, want := range types {
		if !slices.ContainsFunc(all, func(e event) bool { return e.Type == want }) {
			t.Errorf("there is no event of type %s", want)
		}
	}
	for _, e := range all {
		if e.SpecVersion != "1.0" || e.DataContentType != "application/json" || e.Data["name"] != e.Subject || e.Data["message"] == "" {
			t.Errorf("the event is not complete: %+v", e)
		}
	}
}

// wantContiguous checks that each resource's events count 1, 2, 3, … in order, and
// that no event is there twice. After the deletion of a resource another one of
// its name may begin.
func wantContiguous(t *testing.T, all []event) {
	t.Helper()
	ids := map[string]bool{}
	last := map[string]event{}
	for _, e := range all {
		if ids[e.ID] {
			t.Errorf("event %s is there twice", e.ID)
		}
		ids[e.ID] = true
		resource := aggregateOf(e)
		n, err := strconv.Atoi(e.Sequence)
		if err != nil {
			t.Errorf("the sequence %q is no number", e.Sequence)
		}
		before := 0
		if previous, ok := last[resource]; ok && !(n == 1 && strings.HasSuffix(previous.Type, ".deleted")) {
			before, _ = strconv.Atoi(previous.Sequence) // checked when it was the current one
		}
		if n != before+1 {
			t.Errorf("%s of %s has sequence %d after %d", e.Type, resource, n, before)
		}
		last[resource] = e
	}
}

// aggregateOf names what an event's sequence counts the events of: an endpoint's
// versions count with the endpoint.
func aggregateOf(e event) string {
	if details, ok := e.Data["details"].(map[string]any); ok {
		if name, ok := details["aggregate"].(string); ok {
			return e.Source + " " + name
		}
	}
	return e.Source + " " + e.Subject
}

func badCursor(t *testing.T, i *harness.Installation) {
	t.Helper()
	stream, err := apiOf(i).events.WatchEvents(testContext(t), &eventsv1.WatchEventsRequest{Parent: workspace, Cursor: "nonsense", NoFollow: true})
	if err == nil {
		_, err = stream.Recv()
	}
	if code := status.Code(err); code != codes.InvalidArgument && code != codes.OutOfRange {
		t.Errorf("a cursor that is none gives %v", err)
	}
}

// refusedSubscriber connects without a right to, and publishes without a right to.
func refusedSubscriber(t *testing.T, i *harness.Installation) {
	t.Helper()
	if conn, err := nats.Connect(i.NATS, consumer(i, "wrong")...); err == nil {
		conn.Close()
		t.Error("NATS lets a wrong token in")
	}
	ctx, cancel := context.WithTimeout(testContext(t), 5*time.Second)
	defer cancel()
	refused := make(chan error, 1)
	conn, err := nats.Connect(i.NATS, append(consumer(i, i.Token), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	}))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Publish("fairlead.events.default.deploy.model.registered", bytes.Repeat([]byte("x"), 3)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("publishing an event gives %v", err)
		}
	case <-ctx.Done():
		t.Error("a consumer of events can publish some")
	}
}
