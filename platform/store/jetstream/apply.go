package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/fairlead/fairlead/platform/store"
)

const (
	applyTimeout   = 20 * time.Second
	attemptTimeout = 4 * time.Second
	firstBackoff   = 5 * time.Millisecond
	lastBackoff    = 500 * time.Millisecond

	// maxMarkerRaces bounds how often a batch is repeated because the marker of a
	// deleted key changed under it.
	maxMarkerRaces = 10
)

// Error codes of the server.
const (
	codeUnavailable      = 10008
	codeWrongLast        = 10071
	codeFull             = 10077
	codeDuplicateRunning = 10158
	codeWrongLastConst   = 10164
	codeBatchIncomplete  = 10176
	codeBatchDuplicate   = 10201
	codeTooManyInFlight  = 10210
)

var (
	errConflict  = errors.New("a condition does not hold")
	errDuplicate = errors.New("applied before")
	errAgain     = errors.New("not applied for now")
)

// Apply implements store.Writer.
func (s *Store) Apply(ctx context.Context, b store.Batch) (store.Revision, error) {
	if err := b.Validate(); err != nil {
		return 0, err
	}
	id := b.ID
	if id == "" {
		id = nuid.Next()
	}
	p, err := s.plan(id, b)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: too many writes are waiting: %w", store.ErrUnavailable, ctx.Err())
	}
	return s.applyPlan(ctx, p)
}

func (s *Store) applyPlan(ctx context.Context, p *plan) (store.Revision, error) {
	backoff := firstBackoff
	races := 0
	for {
		seq, err := s.publish(ctx, p)
		if errors.Is(err, errConflict) && p.repeated && !p.atomic {
			// For a plain publish the server looks at the condition first and at the id
			// second, and so calls a repetition a conflict; for a batch it does not.
			p.atomic = true
			continue
		}
		if errors.Is(err, errConflict) {
			if err = s.explain(ctx, p); err == nil {
				if races++; races <= maxMarkerRaces {
					continue
				}
				return 0, fmt.Errorf("%w: key %s keeps changing", store.ErrUnavailable, p.conditions[0].key)
			}
		}
		switch {
		case err == nil:
			return store.Revision(seq - uint64(len(p.events))), nil
		case errors.Is(err, errDuplicate):
			return s.appliedAt(ctx, p)
		case !errors.Is(err, errAgain) && !errors.Is(err, store.ErrUnavailable):
			return 0, err
		}
		timer := time.NewTimer(backoff/2 + rand.N(backoff/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0, fmt.Errorf("%w: %w", store.ErrUnavailable, errors.Join(ctx.Err(), err))
		case <-timer.C:
		}
		p.repeated = true
		backoff = min(2*backoff, lastBackoff)
	}
}

// ack is the server's answer to a publish.
type ack struct {
	Sequence  uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Error     *struct {
		Code        int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// publish sends the plan once and gives the position of its last message.
func (s *Store) publish(ctx context.Context, p *plan) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	last := p.messages[len(p.messages)-1]
	if p.atomic {
		p.number(nuid.Next())
		for _, m := range p.messages[:len(p.messages)-1] {
			if err := s.conn.PublishMsg(m); err != nil {
				return 0, notSent(err)
			}
		}
	}
	resp, err := s.conn.RequestMsgWithContext(ctx, last)
	if err != nil {
		return 0, notSent(err)
	}
	var a ack
	if err := json.Unmarshal(resp.Data, &a); err != nil {
		return 0, fmt.Errorf("%w: the answer makes no sense: %w", errAgain, err)
	}
	if a.Error != nil {
		return 0, refusal(a.Error.Code, a.Error.Description)
	}
	if a.Duplicate {
		return 0, errDuplicate
	}
	return a.Sequence, nil
}

// notSent classifies an error of the client. Whatever may pass by itself is tried
// again; the message ids make that safe.
func notSent(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) || errors.Is(err, nats.ErrHeadersNotSupported) {
		return &store.InvalidError{Field: "batch", Reason: "can't be sent: " + err.Error()}
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("store: %w", err)
	}
	return fmt.Errorf("%w: %w", errAgain, err)
}

func refusal(code int, description string) error {
	switch code {
	case codeWrongLast, codeWrongLastConst:
		return errConflict
	case codeBatchDuplicate:
		return errDuplicate
	case codeUnavailable, codeDuplicateRunning, codeBatchIncomplete, codeTooManyInFlight:
		return fmt.Errorf("%w: %s (%d)", errAgain, description, code)
	case codeFull:
		return fmt.Errorf("%w: %s (%d)", store.ErrFull, description, code)
	default:
		return fmt.Errorf("store: the server refuses the write: %s (%d)", description, code)
	}
}

// explain looks for the condition that does not hold, as the server does not name
// it, and gives a *ConflictError. It gives nil when all hold, once the markers of
// deleted keys are taken into account, and errDuplicate when the plan itself made
// the change: the server forgets the ids of overwritten messages when it restarts.
func (s *Store) explain(ctx context.Context, p *plan) error {
	for i, c := range p.conditions {
		m, err := s.last(ctx, c.subject)
		if err != nil {
			return err
		}
		if c.id != "" && m.id == c.id {
			return errDuplicate
		}
		if have := m.revision(); have != c.want {
			return &store.ConflictError{Key: c.key, Want: c.want, Have: have}
		}
		p.expect(i, m.seq)
	}
	return nil
}

// appliedAt finds the revision of a plan that was applied before: from a message of
// it that is still there, or else from what replaced it.
func (s *Store) appliedAt(ctx context.Context, p *plan) (store.Revision, error) {
	var newest uint64
	lastOp := len(p.ops) - 1
	for i := lastOp; i >= 0; i-- {
		m, err := s.last(ctx, p.ops[i].subject)
		if err != nil {
			return 0, err
		}
		if m.id == p.ops[i].id {
			return store.Revision(m.seq + uint64(lastOp-i)), nil
		}
		newest = max(newest, m.seq)
	}
	for i, e := range p.events {
		m, err := s.last(ctx, e.Subject)
		if err != nil {
			return 0, err
		}
		if m.seq > 0 {
			return store.Revision(m.seq - uint64(i) - 1), nil
		}
	}
	if newest > 0 {
		return store.Revision(newest), nil
	}
	m, err := s.last(ctx, s.subjects.state())
	return store.Revision(m.seq), err
}
