package events

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	specVersion   = "1.0"
	typePrefix    = "fairlead"
	typeVersion   = "v1"
	sourcePrefix  = "//fairlead/"
	subjectPrefix = "fairlead.events."

	// ContentTypeJSON is the content type of an event that names none.
	ContentTypeJSON = "application/json"
)

// Event is one fact. Its type, source and NATS subject follow from Service,
// Resource, Verb and Workspace.
type Event struct {
	// ID is unique among all events; it is what consumers deduplicate by.
	ID string
	// Workspace, Service, Resource and Verb say where and what: "default", "deploy",
	// "endpoint", "created". Letters, digits, "-" and "_".
	Workspace string
	Service   string
	Resource  string
	Verb      string
	// Subject is the resource's full name.
	Subject string
	Time    time.Time
	// Sequence counts the events of one resource, from 1.
	Sequence uint64
	// DataContentType is the media type of Data; empty means JSON.
	DataContentType string
	// DataSchema is a URI; optional.
	DataSchema string
	Data       []byte
	// Extensions are further CloudEvents attributes. Names are lower-case letters
	// and digits.
	Extensions map[string]string
}

// NewID gives a fresh event id; ids made later sort later.
func NewID() string { return ulid.Make().String() }

// Type gives the CloudEvents type, such as fairlead.deploy.endpoint.v1.created.
func (e Event) Type() string {
	return strings.Join([]string{typePrefix, e.Service, e.Resource, typeVersion, e.Verb}, ".")
}

// ParseType splits a CloudEvents type.
func ParseType(t string) (service, resource, verb string, err error) {
	p := strings.Split(t, ".")
	if len(p) != 5 || p[0] != typePrefix || p[3] != typeVersion || !isToken(p[1]) || !isToken(p[2]) || !isToken(p[4]) {
		return "", "", "", invalid("type", "%q is not fairlead.<service>.<resource>.v1.<verb>", t)
	}
	return p[1], p[2], p[4], nil
}

// Source gives the CloudEvents source, such as //fairlead/deploy.
func (e Event) Source() string { return sourcePrefix + e.Service }

// NATSSubject gives the subject the event has in the log.
func (e Event) NATSSubject() string {
	return subjectPrefix + strings.Join([]string{e.Workspace, e.Service, e.Resource, e.Verb}, ".")
}

// ContentType gives DataContentType, or JSON's when it is empty.
func (e Event) ContentType() string {
	if e.DataContentType == "" {
		return ContentTypeJSON
	}
	return e.DataContentType
}

// InvalidError says what keeps an event from being written or read.
type InvalidError struct {
	Attribute string // as CloudEvents calls it
	Reason    string
}

func (e *InvalidError) Error() string { return "event attribute " + e.Attribute + ": " + e.Reason }

func invalid(attribute, format string, args ...any) error {
	return &InvalidError{Attribute: attribute, Reason: fmt.Sprintf(format, args...)}
}

// Validate tells the first thing that is wrong with e.
func (e Event) Validate() error {
	if e.ID == "" {
		return invalid("id", "is empty: use NewID")
	}
	for _, f := range []struct{ name, value string }{
		{"workspace", e.Workspace}, {"service", e.Service}, {"resource", e.Resource}, {"verb", e.Verb},
	} {
		if !isToken(f.value) {
			return invalid(f.name, "%q must be letters, digits, '-' and '_'", f.value)
		}
	}
	if e.Subject == "" {
		return invalid("subject", "is empty: it is the resource's full name")
	}
	if e.Time.IsZero() {
		return invalid("time", "is missing")
	}
	if y := e.Time.UTC().Year(); y < 0 || y > 9999 {
		return invalid("time", "is outside the years 0 to 9999")
	}
	if e.Sequence == 0 {
		return invalid("sequence", "must count from 1")
	}
	for _, a := range e.attributes() {
		if err := validText(a.name, a.value); err != nil {
			return err
		}
	}
	return e.validExtensions()
}

func (e Event) validExtensions() error {
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		if !isAttributeName(name) {
			return invalid(name, "a name is 1 to 20 lower-case letters and digits")
		}
		if isReserved(name) {
			return invalid(name, "is set by the event itself")
		}
		if e.Extensions[name] == "" {
			return invalid(name, "is empty: leave it out")
		}
	}
	return nil
}

type attribute struct{ name, value string }

// attributes gives every CloudEvents attribute that is set, the required ones first.
func (e Event) attributes() []attribute {
	as := []attribute{
		{"specversion", specVersion},
		{"id", e.ID},
		{"source", e.Source()},
		{"type", e.Type()},
		{"subject", e.Subject},
		{"time", e.Time.UTC().Format(time.RFC3339Nano)},
		{"datacontenttype", e.ContentType()},
		{"workspace", e.Workspace},
		{"sequence", strconv.FormatUint(e.Sequence, 10)},
	}
	if e.DataSchema != "" {
		as = append(as, attribute{"dataschema", e.DataSchema})
	}
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		as = append(as, attribute{name, e.Extensions[name]})
	}
	return as
}

// fromAttributes is the inverse of attributes.
func fromAttributes(as map[string]string, data []byte) (Event, error) {
	if v := as["specversion"]; v != specVersion {
		return Event{}, invalid("specversion", "%q is not supported, only %q is", v, specVersion)
	}
	e := Event{
		ID:         as["id"],
		Workspace:  as["workspace"],
		Subject:    as["subject"],
		DataSchema: as["dataschema"],
		Data:       data,
	}
	if ct := as["datacontenttype"]; ct != ContentTypeJSON {
		e.DataContentType = ct
	}
	var err error
	if e.Service, e.Resource, e.Verb, err = ParseType(as["type"]); err != nil {
		return Event{}, err
	}
	if as["source"] != e.Source() {
		return Event{}, invalid("source", "%q does not fit the type, want %q", as["source"], e.Source())
	}
	if e.Time, err = time.Parse(time.RFC3339Nano, as["time"]); err != nil {
		return Event{}, invalid("time", "%q is not an RFC 3339 time", as["time"])
	}
	e.Time = e.Time.UTC()
	if e.Sequence, err = strconv.ParseUint(as["sequence"], 10, 64); err != nil {
		return Event{}, invalid("sequence", "%q is not a decimal number", as["sequence"])
	}
	for name, value := range as {
		if isReserved(name) {
			continue
		}
		if e.Extensions == nil {
			e.Extensions = map[string]string{}
		}
		e.Extensions[name] = value
	}
	return e, e.Validate()
}

func isReserved(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema",
		"workspace", "sequence", "data", "data_base64":
		return true
	}
	return false
}

// isAttributeName follows the CloudEvents naming rule.
func isAttributeName(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// isToken tells whether s can be one token of a NATS subject and one of a type.
func isToken(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
