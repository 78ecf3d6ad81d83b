// Package memory keeps state in memory, with the guarantees of package store. It is
// for tests of what uses a store, and is gone with the process.
//
// A Store starts no goroutine and needs no closing; it works inside a
// testing/synctest bubble, where TTLs follow the bubble's clock.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
)

// Store is state in memory.
type Store struct {
	mu       sync.Mutex
	records  map[string]record
	revision store.Revision
	applied  map[string]applied // by batch ID
	log      []events.Event
	watches  map[*watch]struct{}
}

type record struct {
	entry   store.Entry
	expires time.Time // zero: never
}

type applied struct {
	revision store.Revision
	at       time.Time
}

var _ store.Store = (*Store)(nil)

// New gives an empty store.
func New() *Store {
	return &Store{
		records: map[string]record{},
		applied: map[string]applied{},
		watches: map[*watch]struct{}{},
	}
}

// Events gives the events of all batches, in order.
func (s *Store) Events() []events.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Get implements store.Reader.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := store.NoKey(key); err != nil {
		return store.Entry{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Entry{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(time.Now())
	r, ok := s.records[key]
	if !ok {
		return store.Entry{}, fmt.Errorf("%w: %s", store.ErrNotFound, key)
	}
	return r.entry, nil
}

// List implements store.Reader.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Entry, store.Revision, error) {
	if err := store.ValidatePrefix(prefix); err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(time.Now())
	return s.list(prefix), s.revision, nil
}

func (s *Store) list(prefix string) []store.Entry {
	entries := []store.Entry{}
	for key, r := range s.records {
		if store.Below(prefix, key) {
			entries = append(entries, r.entry)
		}
	}
	slices.SortFunc(entries, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return entries
}

// Apply implements store.Writer.
func (s *Store) Apply(ctx context.Context, b store.Batch) (store.Revision, error) {
	if err := b.Validate(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	if before, ok := s.applied[b.ID]; ok && b.ID != "" {
		return before.revision, nil
	}
	if err := s.check(b); err != nil {
		return 0, err
	}
	for _, o := range b.Ops {
		s.write(o, now)
	}
	for _, e := range b.Events {
		e.Data = bytes.Clone(e.Data)
		s.log = append(s.log, e)
	}
	if b.ID != "" {
		s.applied[b.ID] = applied{revision: s.revision, at: now}
	}
	return s.revision, nil
}

func (s *Store) check(b store.Batch) error {
	for _, g := range b.Guards {
		if have := s.records[g.Key].entry.Revision; have != g.Revision {
			return &store.ConflictError{Key: g.Key, Want: g.Revision, Have: have}
		}
	}
	for _, o := range b.Ops {
		want, ok := o.Expected()
		if have := s.records[o.Key].entry.Revision; ok && have != want {
			return &store.ConflictError{Key: o.Key, Want: want, Have: have}
		}
	}
	return nil
}

func (s *Store) write(o store.Op, now time.Time) {
	s.revision++
	if o.Kind == store.OpDelete {
		delete(s.records, o.Key)
		s.tell(store.Change{Kind: store.ChangeDelete, Entry: store.Entry{Key: o.Key, Revision: s.revision}})
		return
	}
	r := record{entry: store.Entry{Key: o.Key, Value: bytes.Clone(o.Value), Revision: s.revision}}
	if o.TTL > 0 {
		r.expires = now.Add(o.TTL)
	}
	s.records[o.Key] = r
	s.tell(store.Change{Kind: store.ChangePut, Entry: r.entry})
}

// expire removes what is due. Every call does it first, and so does every watch
// when something is due, so nobody sees a key that has expired.
func (s *Store) expire(now time.Time) {
	for key, r := range s.records {
		if !r.expires.IsZero() && !now.Before(r.expires) {
			delete(s.records, key)
			s.tell(store.Change{Kind: store.ChangeDelete, Entry: store.Entry{Key: key, Revision: r.entry.Revision}})
		}
	}
	for id, a := range s.applied {
		if now.Sub(a.at) >= store.DedupeWindow {
			delete(s.applied, id)
		}
	}
}

// nextExpiry gives how long until something is due, 0 for never.
func (s *Store) nextExpiry(now time.Time) time.Duration {
	var next time.Duration
	for _, r := range s.records {
		if r.expires.IsZero() {
			continue
		}
		if d := max(r.expires.Sub(now), 1); next == 0 || d < next {
			next = d
		}
	}
	return next
}

// watch is one call of Watch; its fields are guarded by the store's lock.
type watch struct {
	prefix string
	queue  []store.Change
	wake   chan struct{}
}

func (s *Store) tell(c store.Change) {
	for w := range s.watches {
		mine := c
		if !store.Below(w.prefix, c.Entry.Key) {
			mine = store.Change{Kind: store.ChangeProgress, Entry: store.Entry{Revision: c.Entry.Revision}}
		}
		w.queue = append(w.queue, mine)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Watch implements store.Watcher.
func (s *Store) Watch(ctx context.Context, prefix string) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		if err := store.ValidatePrefix(prefix); err != nil {
			yield(store.Change{}, err)
			return
		}
		w := s.enter(prefix)
		defer s.leave(w)
		for {
			changes, next := s.drain(w)
			for _, c := range changes {
				if ctx.Err() != nil {
					break
				}
				if !yield(c, nil) {
					return
				}
			}
			if !w.await(ctx, next) {
				yield(store.Change{}, ctx.Err())
				return
			}
		}
	}
}

func (s *Store) enter(prefix string) *watch {
	w := &watch{prefix: prefix, wake: make(chan struct{}, 1)}
	w.wake <- struct{}{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(time.Now())
	for _, e := range s.list(prefix) {
		w.queue = append(w.queue, store.Change{Kind: store.ChangePut, Entry: e})
	}
	w.queue = append(w.queue, store.Change{Kind: store.ChangeSynced, Entry: store.Entry{Revision: s.revision}})
	s.watches[w] = struct{}{}
	return w
}

func (s *Store) leave(w *watch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watches, w)
}

// drain gives what is queued, and how long until something expires.
func (s *Store) drain(w *watch) ([]store.Change, time.Duration) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	changes := w.queue
	w.queue = nil
	return changes, s.nextExpiry(now)
}

// await waits until there may be something to drain; it tells false when ctx ended.
func (w *watch) await(ctx context.Context, next time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	var due <-chan time.Time
	if next > 0 {
		timer := time.NewTimer(next)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-w.wake:
	case <-due:
	}
	return true
}
