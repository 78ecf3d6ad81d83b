package events

import "strings"

// StreamName is the public log.
const StreamName = "EVENTS"

// OutboxStream names the stream of a service's state and outgoing events.
func OutboxStream(service string) string { return "KV_" + service }

// OutboxSubjects is the pattern of a service's outgoing events in its stream.
func OutboxSubjects(service string) string { return "evo." + service + ".>" }

// OutboxSubject gives the subject an event has in its service's stream. That
// stream keeps one message per subject, so the event's id makes it unique.
func OutboxSubject(e Event) string {
	return strings.Join([]string{"evo", e.Service, e.Workspace, e.Resource, e.Verb, subjectToken(e.ID)}, ".")
}

// outboxPattern and logPattern map outgoing events to the log; the id is dropped.
func outboxPattern(service string) string { return "evo." + service + ".*.*.*.*" }

func logPattern(service string) string {
	return subjectPrefix + "{{wildcard(1)}}." + service + ".{{wildcard(2)}}.{{wildcard(3)}}"
}

// subjectToken turns any id into one token of a subject.
func subjectToken(id string) string {
	if isToken(id) {
		return id
	}
	var b strings.Builder
	for i := range len(id) {
		b.WriteByte(hexDigits[id[i]>>4])
		b.WriteByte(hexDigits[id[i]&15])
	}
	return "x" + b.String()
}
