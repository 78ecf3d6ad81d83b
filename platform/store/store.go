package store

import (
	"context"
	"iter"
	"time"

	"github.com/fairlead/fairlead/platform/events"
)

// DedupeWindow is how long a batch ID is remembered.
const DedupeWindow = 10 * time.Minute

// Limits of one batch.
const (
	MaxBatch  = 500        // ops, guards and events together
	MaxValue  = 768 * 1024 // bytes of one value or of one event's data
	MaxKey    = 512        // bytes
	MaxTTL    = 10 * 365 * 24 * time.Hour
	MinTTL    = time.Second
	maxIDSize = 128
)

// Revision is a position in a service's store. It grows with every op. 0 stands for
// an absent key.
type Revision uint64

// Entry is a key's current value.
type Entry struct {
	Key      string
	Value    []byte
	Revision Revision
}

// Reader reads current state.
type Reader interface {
	// Get gives the entry, or ErrNotFound; that also for what can be no key.
	Get(ctx context.Context, key string) (Entry, error)
	// List gives the entries below prefix as they were at one moment, sorted by key,
	// and a revision up to which every write is included. The empty prefix selects all.
	List(ctx context.Context, prefix string) ([]Entry, Revision, error)
}

// Watcher reports state and its changes.
type Watcher interface {
	// Watch reports what is below prefix until the caller stops or ctx ends; then, or
	// when the prefix is invalid, the error is the last thing given. Trouble in between
	// is the watch's own to repair.
	Watch(ctx context.Context, prefix string) iter.Seq2[Change, error]
}

// Writer changes state.
type Writer interface {
	// Apply applies b and gives the revision of its last op; op i of n has that
	// revision less n-1-i. A batch whose ID was applied before is not applied again
	// and gives the revision it had, or a later one where that is no longer known.
	//
	// A *ConflictError or an *InvalidError means that nothing was applied. With any
	// other error, ErrUnavailable and the end of ctx included, the batch may or may
	// not be applied: repeat it with the same ID to find out.
	Apply(ctx context.Context, b Batch) (Revision, error)
}

// Store is a service's state.
type Store interface {
	Reader
	Watcher
	Writer
}

// ChangeKind says what a Change reports.
type ChangeKind int

// The kinds of change.
const (
	// ChangePut: the key has this value and revision.
	ChangePut ChangeKind = iota + 1
	// ChangeDelete: the key is absent, deleted or expired; there is no value.
	ChangeDelete
	// ChangeSynced: everything present was reported up to this revision; no key.
	ChangeSynced
	// ChangeProgress: nothing below the prefix changed up to this revision; no key.
	ChangeProgress
)

// Change is one report of a watch. The revision of a delete is a position only: no
// op or guard may name it.
type Change struct {
	Kind  ChangeKind
	Entry Entry
}

// Batch is what is applied together.
type Batch struct {
	// ID makes the batch idempotent; empty means an ID of its own.
	ID     string
	Ops    []Op
	Guards []Guard
	Events []events.Event
}

// Guard is a condition on a key that the batch does not write: it must have this
// revision, or be absent when Revision is 0.
type Guard struct {
	Key      string
	Revision Revision
}

// OpKind says what an Op does.
type OpKind int

// The kinds of op.
const (
	OpCreate OpKind = iota + 1 // the key must be absent
	OpUpdate                   // the key must have revision At
	OpPut                      // whatever the key has
	OpDelete                   // the key must have revision At
)

// Op writes one key. Make it with Create, Update, Put or Delete.
type Op struct {
	Kind  OpKind
	Key   string
	Value []byte
	At    Revision
	TTL   time.Duration // 0 means for ever
}

// Create writes a key that must be absent.
func Create(key string, value []byte) Op { return Op{Kind: OpCreate, Key: key, Value: value} }

// Update writes a key that must have revision at.
func Update(key string, value []byte, at Revision) Op {
	return Op{Kind: OpUpdate, Key: key, Value: value, At: at}
}

// Put writes a key whatever it has; the last writer wins.
func Put(key string, value []byte) Op { return Op{Kind: OpPut, Key: key, Value: value} }

// Delete removes a key that must have revision at.
func Delete(key string, at Revision) Op { return Op{Kind: OpDelete, Key: key, At: at} }

// WithTTL lets the key vanish d after the write, in whole seconds.
func (o Op) WithTTL(d time.Duration) Op {
	o.TTL = d
	return o
}

// Expected gives the revision the key must have for o to apply; ok is false when
// any will do.
func (o Op) Expected() (r Revision, ok bool) {
	switch o.Kind {
	case OpCreate:
		return 0, true
	case OpUpdate, OpDelete:
		return o.At, true
	default:
		return 0, false
	}
}
