// Package audit brings the calls that a server noted to the audit log, off the
// way of the calls themselves.
//
// Equal calls that follow each other are one entry with a count, so that a
// flood of refused calls is few entries. Entries wait in memory while the log
// is away, up to a bound; what does not fit is counted and reported. A process
// that is killed loses what it has not handed on, at most flushDelay of it when
// the log can be reached. A Trail is safe for concurrent use; its Run is a
// component.
package audit

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"google.golang.org/grpc/codes"

	"github.com/fairlead/fairlead/platform/rpc"
)

const (
	// flushDelay is how long entries are collected.
	flushDelay = 100 * time.Millisecond
	// maxBatch is how many entries are handed on at once.
	maxBatch = 400
	// maxWaiting is how many entries wait at most.
	maxWaiting = 10_000
	// maxMessage is how much is kept of what a caller was told, in bytes, and
	// maxName of each text that a caller chose. What callers send is longer at
	// will: without a bound one call could fill the memory, or make a batch that
	// the log never takes.
	maxMessage = 500
	maxName    = 500

	sendTimeout = 2 * time.Second
	minBackoff  = 200 * time.Millisecond
	maxBackoff  = 5 * time.Second
)

// Entry is a call, or several equal ones.
type Entry struct {
	rpc.Call
	Count int64
}

// Send hands entries on to the log. Under the same id the same entries are added
// once.
type Send func(ctx context.Context, id string, entries []Entry) error

// kind is what makes calls equal.
type kind struct {
	principal, method, resource, details, address, message string
	denied                                                 bool
	code                                                   codes.Code
}

func kindOf(c rpc.Call) kind {
	return kind{c.Principal, c.Method, c.Resource, c.Details, c.ClientAddress, c.Message, c.Denied, c.Code}
}

// Trail collects entries for the log.
type Trail struct {
	send Send
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	waiting []Entry
	index   map[kind]int // of waiting
	dropped int64
}

var _ rpc.Auditor = (*Trail)(nil)

// NewTrail makes a Trail.
func NewTrail(send Send, log *slog.Logger) *Trail {
	return &Trail{send: send, log: log, wake: make(chan struct{}, 1), index: map[kind]int{}}
}

// Record takes a call. It does not block.
func (t *Trail) Record(c rpc.Call) {
	c = plain(c)
	k := kindOf(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, ok := t.index[k]; ok {
		t.waiting[i].Count++
		return
	}
	if len(t.waiting) >= maxWaiting {
		t.dropped++
		return
	}
	t.index[k] = len(t.waiting)
	t.waiting = append(t.waiting, Entry{Call: c, Count: 1})
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// plain makes the texts of a call short, and one line each: a log that people
// read in a terminal must not show what a caller made up as a line of its own.
func plain(c rpc.Call) rpc.Call {
	c.Message = cut(c.Message, maxMessage)
	for _, text := range []*string{&c.Principal, &c.Method, &c.Resource, &c.Details, &c.ClientAddress, &c.RequestID} {
		*text = cut(*text, maxName)
	}
	return c
}

// cut gives text with spaces and question marks for what is not printed,
// at most so many bytes of it.
func cut(text string, most int) string {
	const mark = "…"
	shortened := len(text) > most
	if shortened {
		text = text[:most-len(mark)]
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if shortened {
		text += mark
	}
	return text
}

// Dropped is how many calls did not fit since the last report.
func (t *Trail) Dropped() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// Run hands entries on until ctx ends, and tries once more then.
func (t *Trail) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			t.last(ctx)
			return nil
		case <-t.wake:
		}
		pause(ctx, flushDelay)
		for entries := t.take(); len(entries) > 0; entries = t.take() {
			if err := t.deliver(ctx, entries); err != nil {
				t.log.Warn("audit entries were lost: the process ends and the audit log is away", "entries", len(entries), "error", err)
				return nil
			}
		}
	}
}

// deliver hands entries on, again until it works or ctx has ended.
func (t *Trail) deliver(ctx context.Context, entries []Entry) error {
	id := rand.Text()
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		err := t.attempt(ctx, id, entries)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return t.attempt(context.WithoutCancel(ctx), id, entries)
		}
		t.log.Warn("audit entries wait: the audit log does not take them", "entries", len(entries), "error", err)
		pause(ctx, backoff)
	}
}

// last hands on what is left when the process ends.
func (t *Trail) last(ctx context.Context) {
	for entries := t.take(); len(entries) > 0; entries = t.take() {
		if err := t.attempt(context.WithoutCancel(ctx), rand.Text(), entries); err != nil {
			t.log.Warn("audit entries were lost: the process ends and the audit log is away", "entries", len(entries), "error", err)
			return
		}
	}
}

func (t *Trail) attempt(ctx context.Context, id string, entries []Entry) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return t.send(ctx, id, entries)
}

// take gives the next entries, and reports what did not fit.
func (t *Trail) take() []Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped > 0 {
		t.log.Error("audit entries were dropped: too many wait for the audit log", "dropped", t.dropped)
		t.dropped = 0
	}
	n := min(len(t.waiting), maxBatch)
	batch := t.waiting[:n:n]
	t.waiting = append([]Entry(nil), t.waiting[n:]...)
	clear(t.index)
	for i, e := range t.waiting {
		t.index[kindOf(e.Call)] = i
	}
	return batch
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
