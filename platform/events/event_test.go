package events_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/events"
)

func sample() events.Event {
	return events.Event{
		ID: "01J", Workspace: "default", Service: "deploy", Resource: "endpoint", Verb: "created",
		Subject: "workspaces/default/endpoints/e", Time: time.Date(2026, 11, 23, 18, 0, 0, 5000, time.UTC),
		Sequence: 1, Data: []byte(`{"a":1}`),
	}
}

func TestNames(t *testing.T) {
	e := sample()
	for got, want := range map[string]string{
		e.Type():                 "fairlead.deploy.endpoint.v1.created",
		e.Source():               "//fairlead/deploy",
		e.NATSSubject():          "fairlead.events.default.deploy.endpoint.created",
		events.OutboxSubject(e):  "evo.deploy.default.endpoint.created.01J",
		events.OutboxStream("x"): "KV_x",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	e.ID = "a.b c"
	if s := events.OutboxSubject(e); strings.ContainsAny(s, " *>") || strings.Count(s, ".") != 5 {
		t.Errorf("an odd id gives the subject %q", s)
	}
}

func TestEncode(t *testing.T) {
	e := sample()
	e.Subject = "workspaces/default/endpoints/é \"100%\""
	e.DataSchema = "https://example.com/s"
	e.Extensions = map[string]string{"traceparent": "00-ab"}
	h, data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	want := nats.Header{
		"Nats-Msg-Id":        {"01J"},
		"ce-specversion":     {"1.0"},
		"ce-id":              {"01J"},
		"ce-source":          {"//fairlead/deploy"},
		"ce-type":            {"fairlead.deploy.endpoint.v1.created"},
		"ce-subject":         {"workspaces/default/endpoints/%C3%A9%20%22100%25%22"},
		"ce-time":            {"2026-11-23T18:00:00.000005Z"},
		"ce-datacontenttype": {"application/json"},
		"ce-dataschema":      {"https://example.com/s"},
		"ce-workspace":       {"default"},
		"ce-sequence":        {"1"},
		"ce-traceparent":     {"00-ab"},
	}
	if d := cmp.Diff(want, h); d != "" {
		t.Errorf("headers (-want +got):\n%s", d)
	}
	if string(data) != `{"a":1}` {
		t.Errorf("data %s", data)
	}
}

func TestJSONFormat(t *testing.T) {
	binary := sample()
	binary.DataContentType = "application/protobuf"
	binary.Data = []byte{0, 1, 255}
	empty := sample()
	empty.Data = nil
	const common = `"datacontenttype":"application/json","id":"01J","sequence":"1","source":"//fairlead/deploy","specversion":"1.0",` +
		`"subject":"workspaces/default/endpoints/e","time":"2026-11-23T18:00:00.000005Z","type":"fairlead.deploy.endpoint.v1.created","workspace":"default"}`
	for name, c := range map[string]struct {
		event events.Event
		want  string
	}{
		"json":    {sample(), `{"data":{"a":1},` + common},
		"binary":  {binary, `{"data_base64":"AAH/",` + strings.Replace(common, "application/json", "application/protobuf", 1)},
		"no data": {empty, `{` + common},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(c.event)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, string(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			var back events.Event
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.event, back, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("read back (-want +got):\n%s", d)
			}
		})
	}
}

func TestJSONFormatOfOthers(t *testing.T) {
	const attributes = `"specversion":"1.0","id":"1","source":"//fairlead/deploy","type":"fairlead.deploy.endpoint.v1.created","subject":"s","time":"2026-11-23T19:00:00+01:00","workspace":"w","sequence":7`
	for name, c := range map[string]struct {
		doc  string
		want string // the data, or what the error says
		ok   bool
	}{
		"data without content type": {`{` + attributes + `,"data":[1, 2]}`, `[1, 2]`, true},
		"text data":                 {`{` + attributes + `,"datacontenttype":"text/plain","data":"hi"}`, "hi", true},
		"null attribute":            {`{` + attributes + `,"dataschema":null,"data":1}`, "1", true},
		"both kinds of data":        {`{` + attributes + `,"data":1,"data_base64":""}`, "only one", false},
		"bad base64":                {`{` + attributes + `,"data_base64":"?"}`, "base64", false},
		"text data that is none":    {`{` + attributes + `,"datacontenttype":"text/plain","data":1}`, "not a string", false},
		"attribute of two parts":    {`{` + attributes + `,"ext":{"a":1}}`, "neither", false},
		"bad extension name":        {`{` + attributes + `,"Ext":"a"}`, "lower-case", false},
		"other spec version":        {`{"specversion":"2.0"}`, "not supported", false},
		"no object":                 {`[]`, "object", false},
	} {
		t.Run(name, func(t *testing.T) {
			var e events.Event
			err := json.Unmarshal([]byte(c.doc), &e)
			if (err == nil) != c.ok || !c.ok && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if c.ok && string(e.Data) != c.want {
				t.Errorf("data %q, want %q", e.Data, c.want)
			}
			if c.ok && (e.Sequence != 7 || e.Time.Hour() != 18) {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*events.Event)
		want   string // attribute; "" is valid
	}{
		"as it is":             {func(*events.Event) {}, ""},
		"no id":                {func(e *events.Event) { e.ID = "" }, "id"},
		"control character":    {func(e *events.Event) { e.ID = "a\nb" }, "id"},
		"workspace with a dot": {func(e *events.Event) { e.Workspace = "a.b" }, "workspace"},
		"wildcard resource":    {func(e *events.Event) { e.Resource = "*" }, "resource"},
		"no verb":              {func(e *events.Event) { e.Verb = "" }, "verb"},
		"no subject":           {func(e *events.Event) { e.Subject = "" }, "subject"},
		"no time":              {func(e *events.Event) { e.Time = time.Time{} }, "time"},
		"far time":             {func(e *events.Event) { e.Time = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) }, "time"},
		"no sequence":          {func(e *events.Event) { e.Sequence = 0 }, "sequence"},
		"not utf-8":            {func(e *events.Event) { e.Subject = "\xff" }, "subject"},
		"reserved extension":   {func(e *events.Event) { e.Extensions = map[string]string{"type": "x"} }, "type"},
		"odd extension":        {func(e *events.Event) { e.Extensions = map[string]string{"a-b": "x"} }, "a-b"},
		"empty extension":      {func(e *events.Event) { e.Extensions = map[string]string{"ab": ""} }, "ab"},
	} {
		t.Run(name, func(t *testing.T) {
			e := sample()
			c.change(&e)
			got := ""
			if err := e.Validate(); err != nil {
				invalid, ok := errors.AsType[*events.InvalidError](err)
				if !ok {
					t.Fatalf("got %v", err)
				}
				got = invalid.Attribute
			}
			if got != c.want {
				t.Errorf("complains about %q, want %q", got, c.want)
			}
		})
	}
}

func drawn(t *rapid.T) events.Event {
	token := rapid.StringMatching(`[a-zA-Z0-9_-]{1,12}`)
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab \"%é码/=;\\'\U0001F600~")), 1, 12, -1)
	e := events.Event{
		ID: text.Draw(t, "id"), Workspace: token.Draw(t, "workspace"), Service: token.Draw(t, "service"),
		Resource: token.Draw(t, "resource"), Verb: token.Draw(t, "verb"), Subject: text.Draw(t, "subject"),
		Time:            time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC(),
		Sequence:        rapid.Uint64Min(1).Draw(t, "sequence"),
		DataContentType: rapid.SampledFrom([]string{"", "text/plain", "application/protobuf"}).Draw(t, "contenttype"),
		Data:            rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
		Extensions:      rapid.MapOf(rapid.StringMatching(`x[a-z0-9]{1,10}`), text).Draw(t, "extensions"),
	}
	if e.DataContentType == "" {
		e.Data = []byte(`{"n":1}`)
	}
	return e
}

func TestRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawn(t)
		h, data, err := events.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range h {
			if strings.ContainsFunc(values[0], func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) {
				t.Fatalf("header %s is %q", name, values[0])
			}
		}
		got, err := events.Decode(h, data)
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Fatalf("binary mode: %v (-want +got):\n%s", err, d)
		}
		doc, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var back events.Event
		err = json.Unmarshal(doc, &back)
		if d := cmp.Diff(want, back, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Fatalf("json format: %v (-want +got):\n%s", err, d)
		}
	})
}

func FuzzDecode(f *testing.F) {
	h, data, err := events.Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		lines = append(lines, name+": "+h[name][0])
	}
	f.Add(strings.Join(lines, "\n"), data)
	f.Add("CE-id: %\nce-id: a", []byte(nil))
	f.Add("ce-sequence: -1\nce-specversion: 1.0\nce-type: fairlead.a.b.v1.c\nce-source: //fairlead/a\nce-time: x", []byte("{"))
	f.Fuzz(func(t *testing.T, headers string, data []byte) {
		h := nats.Header{}
		for line := range strings.SplitSeq(headers, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			h[name] = append(h[name], value)
		}
		e, err := events.Decode(h, data)
		if err != nil {
			return
		}
		again, payload, err := events.Encode(e)
		if err != nil {
			t.Fatalf("%+v was read but can't be written: %v", e, err)
		}
		back, err := events.Decode(again, payload)
		if d := cmp.Diff(e, back, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Fatalf("%v (-want +got):\n%s", err, d)
		}
	})
}

func FuzzUnmarshalJSON(f *testing.F) {
	doc, err := json.Marshal(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc)
	f.Add([]byte(`{"specversion":"1.0","data":1,"data_base64":"AA=="}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var e events.Event
		if json.Unmarshal(doc, &e) != nil {
			return
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%+v was read but can't be written: %v", e, err)
		}
		var back events.Event
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		back.Data, e.Data = nil, nil // JSON data is compacted
		if d := cmp.Diff(e, back, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
}
