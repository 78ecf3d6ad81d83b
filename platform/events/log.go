package events

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// quietInterval is how long a reader waits before it asks whether the log is still
// the one it knows.
const quietInterval = 15 * time.Second

// boundedQuiet is the same for a reader that does not follow.
const boundedQuiet = time.Second

// ErrExpired is matched by an *ExpiredError.
var ErrExpired = errors.New("the cursor is not in the event log")

// ExpiredError says that the events after a cursor are gone. Read current state,
// then continue with After(Oldest) or with FromNow.
type ExpiredError struct {
	Cursor string
	// Oldest is the cursor that the oldest event in the log comes after.
	Oldest string
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("cursor %s is not in the event log, which starts after cursor %s: read current state and continue from there", e.Cursor, e.Oldest)
}

// Is matches ErrExpired.
func (e *ExpiredError) Is(target error) bool { return target == ErrExpired }

// Log reads the stream EVENTS.
type Log struct{ js jetstream.JetStream }

// OpenLog gives the log; nothing is asked of the server yet.
func OpenLog(js jetstream.JetStream) *Log { return &Log{js: js} }

// From is where to start; the zero value is the oldest event.
type From struct {
	now    bool
	cursor string
}

// FromStart starts with the oldest event in the log.
func FromStart() From { return From{} }

// FromNow starts with the first event after the reading began.
func FromNow() From { return From{now: true} }

// After starts with the first event after the cursor.
func After(cursor string) From { return From{cursor: cursor} }

// Filter selects events; the zero value selects all.
type Filter struct {
	// Workspaces are names; empty means every workspace.
	Workspaces []string
	// TypePrefix is a type or whole leading segments of one, such as
	// "fairlead.deploy" or "fairlead.deploy.endpoint".
	TypePrefix string
}

// Query is what to read. With Follow the reading goes on until its context ends;
// without, it ends after the last event that was there when it began.
type Query struct {
	From   From
	Filter Filter
	Follow bool
}

// Record is an event and its place in the log.
type Record struct {
	Event  Event
	Cursor string // opaque; for After
}

// Last gives the cursor of the newest event: After(cursor) starts with whatever
// happens next.
func (l *Log) Last(ctx context.Context) (string, error) {
	info, err := l.info(ctx)
	if err != nil {
		return "", err
	}
	return formatCursor(info.State.LastSeq), nil
}

// Read gives events in the order of the log. An *InvalidError concerns one record,
// whose cursor is set; a caller may go on. Every other error is the last thing
// given: an *ExpiredError, or ctx.Err() when the context ends first.
func (l *Log) Read(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := l.read(ctx, q, yield); err != nil {
			yield(Record{}, err)
		}
	}
}

func (l *Log) read(ctx context.Context, q Query, yield func(Record, error) bool) error {
	filters, err := q.Filter.subjects()
	if err != nil {
		return err
	}
	info, err := l.info(ctx)
	if err != nil {
		return err
	}
	first, err := q.From.position(info.State)
	if err != nil {
		return err
	}
	last := info.State.LastSeq
	if !q.Follow && (first > last || info.State.Msgs == 0) {
		return nil
	}
	cons, err := l.js.OrderedConsumer(ctx, StreamName, jetstream.OrderedConsumerConfig{
		FilterSubjects: filters,
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:    max(first, 1),
	})
	if err != nil {
		return fmt.Errorf("the event log can't be read: %w", err)
	}
	r := reading{log: l, created: info.Created, next: first, yield: yield}
	if !q.Follow {
		r.last = last
		if cons.CachedInfo().NumPending == 0 {
			return nil
		}
	}
	return r.run(ctx, cons)
}

func (l *Log) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	stream, err := l.js.Stream(ctx, StreamName)
	if err != nil {
		return nil, fmt.Errorf("the event log can't be read: %w", err)
	}
	return stream.CachedInfo(), nil
}

// reading is one call of Read.
type reading struct {
	log     *Log
	created time.Time
	next    uint64 // the lowest sequence not yet seen
	last    uint64 // where to end; 0 means never
	yield   func(Record, error) bool
}

func (r *reading) run(ctx context.Context, cons jetstream.Consumer) error {
	messages, err := cons.Messages()
	if err != nil {
		return fmt.Errorf("the event log can't be read: %w", err)
	}
	defer messages.Stop()
	for {
		msg, err := r.wait(ctx, messages)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			done, err := r.check(ctx, cons)
			if done || err != nil {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("the event log can't be read: %w", err)
		}
		if done, err := r.give(msg); done || err != nil {
			return err
		}
	}
}

func (r *reading) wait(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	quiet := quietInterval
	if r.last > 0 {
		quiet = boundedQuiet
	}
	ctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	return messages.Next(jetstream.NextContext(ctx))
}

func (r *reading) give(msg jetstream.Msg) (done bool, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return true, fmt.Errorf("the event log gave a message without its place: %w", err)
	}
	seq := meta.Sequence.Stream
	if r.last > 0 && seq > r.last {
		return true, nil
	}
	r.next = seq + 1
	e, err := Decode(msg.Headers(), msg.Data())
	if !r.yield(Record{Event: e, Cursor: formatCursor(seq)}, err) {
		return true, nil
	}
	return r.last > 0 && (seq >= r.last || meta.NumPending == 0), nil
}

// check runs when nothing came for a while. A log that was restored or made anew
// would otherwise leave its reader waiting at a position that means nothing.
func (r *reading) check(ctx context.Context, cons jetstream.Consumer) (done bool, err error) {
	info, err := r.log.info(ctx)
	if ctx.Err() != nil || err != nil && r.last == 0 {
		return false, ctx.Err() // unreachable for now: a follower waits
	}
	if err != nil {
		return true, err
	}
	if !info.Created.Equal(r.created) || info.State.LastSeq+1 < r.next {
		return true, expired(r.next-1, info.State)
	}
	if r.last == 0 {
		return false, nil
	}
	// What was pending may have expired before it was delivered.
	state, err := cons.Info(ctx)
	return err == nil && state.NumPending == 0, nil
}

// position gives the first sequence to read.
func (f From) position(state jetstream.StreamState) (uint64, error) {
	switch {
	case f.now:
		return state.LastSeq + 1, nil
	case f.cursor == "":
		return state.FirstSeq, nil
	}
	after, err := strconv.ParseUint(f.cursor, 10, 64)
	if err != nil {
		return 0, invalid("cursor", "%q is no cursor of this log", f.cursor)
	}
	if after > state.LastSeq || after+1 < state.FirstSeq {
		return 0, expired(after, state)
	}
	return after + 1, nil
}

func expired(cursor uint64, state jetstream.StreamState) error {
	return &ExpiredError{Cursor: formatCursor(cursor), Oldest: formatCursor(max(state.FirstSeq, 1) - 1)}
}

func formatCursor(seq uint64) string { return strconv.FormatUint(seq, 10) }

// subjects turns the filter into subjects of the log.
func (f Filter) subjects() ([]string, error) {
	service, resource, verb := "*", "*", "*"
	if f.TypePrefix != "" {
		parts := strings.Split(f.TypePrefix, ".")
		known := []*string{nil, &service, &resource, nil, &verb}
		fixed := []string{typePrefix, "", "", typeVersion, ""}
		if len(parts) > len(known) {
			return nil, invalid("type_prefix", "%q has more segments than a type", f.TypePrefix)
		}
		for i, p := range parts {
			if known[i] == nil && p != fixed[i] || !isToken(p) {
				return nil, invalid("type_prefix", "%q does not start fairlead.<service>.<resource>.v1.<verb>", f.TypePrefix)
			}
			if known[i] != nil {
				*known[i] = p
			}
		}
	}
	tail := strings.Join([]string{service, resource, verb}, ".")
	if len(f.Workspaces) == 0 {
		return []string{subjectPrefix + "*." + tail}, nil
	}
	var subjects []string
	seen := map[string]bool{}
	for _, w := range f.Workspaces {
		if !isToken(w) {
			return nil, invalid("workspace", "%q must be letters, digits, '-' and '_'", w)
		}
		if !seen[w] {
			seen[w] = true
			subjects = append(subjects, subjectPrefix+w+"."+tail)
		}
	}
	return subjects, nil
}
