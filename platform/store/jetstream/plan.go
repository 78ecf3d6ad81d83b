package jetstream

import (
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
)

const (
	batchIDHeader       = "Nats-Batch-Id"
	batchSequenceHeader = "Nats-Batch-Sequence"
	batchCommitHeader   = "Nats-Batch-Commit"
	expectSeqHeader     = "Nats-Expected-Last-Subject-Sequence"
	expectSubjectHeader = "Nats-Expected-Last-Subject-Sequence-Subject"
)

// condition is what the server checks: the newest message of subject has sequence
// seq. For an absent key that is 0, or the sequence of the marker its delete left.
type condition struct {
	key     string
	subject string
	want    store.Revision
	seq     uint64
	id      string // Nats-Msg-Id of the message that writes the key; empty for a guard
}

// plan is a batch as messages: carriers of guards, then ops, then events, so that
// the position of the last op follows from the position of the last message.
type plan struct {
	messages   []*nats.Msg
	conditions []condition
	holder     []int // conditions[i] is carried by messages[holder[i]]
	ops        []opMessage
	events     []*nats.Msg

	// atomic is false for a plain publish of a single message, which spares a lone
	// server the files of a batch.
	atomic bool
	// repeated tells that the plan, or one with its id, may have been applied.
	repeated bool
}

type opMessage struct{ subject, id string }

// plan gives the messages of b. Every message has an id of its own that follows
// from the batch's, so that the server recognises a repetition.
func (s *Store) plan(id string, b store.Batch) (*plan, error) {
	p := &plan{}
	for _, e := range b.Events {
		m, err := s.eventMessage(e)
		if err != nil {
			return nil, err
		}
		p.events = append(p.events, m)
	}
	for i, g := range b.Guards {
		c := condition{key: g.Key, subject: s.subjects.key(g.Key), want: g.Revision, seq: uint64(g.Revision)}
		if i < len(p.events) {
			// An event has no condition of its own and can carry one.
			p.carry(c, p.events[i], len(b.Guards)-min(len(b.Guards), len(p.events))+len(b.Ops)+i)
			continue
		}
		n := i - len(p.events)
		m := nats.NewMsg(fmt.Sprintf("guard.%s.%d", s.cfg.Service, n))
		m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s.g%d", id, n))
		p.carry(c, m, len(p.messages))
		p.messages = append(p.messages, m)
	}
	for i, o := range b.Ops {
		om := opMessage{subject: s.subjects.key(o.Key), id: fmt.Sprintf("%s.%d", id, i)}
		m := opToMessage(o, om)
		if want, ok := o.Expected(); ok {
			p.carry(condition{key: o.Key, subject: om.subject, want: want, seq: uint64(want), id: om.id}, m, len(p.messages))
		}
		p.ops = append(p.ops, om)
		p.messages = append(p.messages, m)
	}
	p.messages = append(p.messages, p.events...)
	p.atomic = len(p.messages) > 1
	p.repeated = b.ID != ""
	return p, nil
}

func opToMessage(o store.Op, om opMessage) *nats.Msg {
	m := nats.NewMsg(om.subject)
	m.Header.Set(nats.MsgIdHdr, om.id)
	if o.Kind == store.OpDelete {
		m.Header.Set(operationHeader, deleteOperation)
		m.Header.Set(ttlHeader, markerTTL)
		return m
	}
	m.Data = o.Value
	if o.TTL > 0 {
		m.Header.Set(ttlHeader, o.TTL.String())
	}
	return m
}

func (s *Store) eventMessage(e events.Event) (*nats.Msg, error) {
	if e.Service != s.cfg.Service {
		return nil, &store.InvalidError{
			Field:  "event",
			Reason: fmt.Sprintf("%s is of service %q, but the store is that of %q", e.ID, e.Service, s.cfg.Service),
		}
	}
	h, data, err := events.Encode(e)
	if err != nil {
		return nil, &store.InvalidError{Field: "event", Reason: err.Error()}
	}
	h.Set(ttlHeader, s.cfg.EventTTL.String())
	return &nats.Msg{Subject: events.OutboxSubject(e), Header: h, Data: data}, nil
}

func (p *plan) carry(c condition, m *nats.Msg, at int) {
	m.Header.Set(expectSeqHeader, strconv.FormatUint(c.seq, 10))
	if c.subject != m.Subject {
		m.Header.Set(expectSubjectHeader, c.subject)
	}
	p.conditions = append(p.conditions, c)
	p.holder = append(p.holder, at)
}

// expect changes what condition i asks of the server.
func (p *plan) expect(i int, seq uint64) {
	p.conditions[i].seq = seq
	p.messages[p.holder[i]].Header.Set(expectSeqHeader, strconv.FormatUint(seq, 10))
}

// number marks the messages as one atomic batch. Every attempt is a batch of its
// own, as the server may still hold parts of an earlier one.
func (p *plan) number(batchID string) {
	for i, m := range p.messages {
		m.Header.Set(batchIDHeader, batchID)
		m.Header.Set(batchSequenceHeader, strconv.Itoa(i+1))
	}
	p.messages[len(p.messages)-1].Header.Set(batchCommitHeader, "1")
}
