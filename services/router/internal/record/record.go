// Package record counts requests as they end: exactly, by endpoint, version and
// status code, with histograms of their durations; and it keeps a record of
// single requests until they are collected.
//
// Guarantees: Observe takes no memory once the figures of a version exist, waits
// for nobody but another Observe or a Collect on one of several shards, and
// counts every request once. Single records are kept in rings of fixed size;
// one that finds its ring full is dropped, and the drop is counted with its
// figures. A Recorder may be used by many goroutines.
package record

import (
	"math/bits"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/platform/histogram"
)

const (
	// ringTotal single records can wait to be collected.
	ringTotal = 16384
	// maxShards bounds what the shards take on large machines.
	maxShards = 16
	// idleCollections after its last request figures are forgotten, so that
	// deleted endpoints take no room.
	idleCollections = 300
	// maxID is how much of an id is kept; requestid lets no longer one pass.
	maxID = 100
	// traceDigits is the length of a trace id.
	traceDigits = 32
)

// Key says what figures are of.
type Key struct {
	// UID of the endpoint; empty for requests to none that exists.
	UID string
	// Version that answered; empty for requests that reached none.
	Version string
	// Code is the HTTP status code of the answer.
	Code int
}

// Request is a request that has ended.
type Request struct {
	Key
	// Workspace and Endpoint name the endpoint; empty with UID.
	Workspace, Endpoint string
	// Replica that answered; empty when none did.
	Replica                       string
	Arrival                       time.Time
	Latency, QueueWait, Execution time.Duration
	RequestBytes, ResponseBytes   int64
	RequestID, ClientRequestID    string
	TraceID                       string
	// Reason of the router's refusal; empty when a replica answered.
	Reason string
	// Keep asks for a record of this single request.
	Keep bool
}

// Figures are what was counted under one key.
type Figures struct {
	Workspace, Endpoint           string
	Requests                      int64
	RequestBytes, ResponseBytes   int64
	Dropped                       int64
	Latency, QueueWait, Execution histogram.Histogram
}

func (f *Figures) add(q *Request) {
	f.Requests++
	f.RequestBytes += q.RequestBytes
	f.ResponseBytes += q.ResponseBytes
	f.Latency.Add(q.Latency)
	f.QueueWait.Add(q.QueueWait)
	f.Execution.Add(q.Execution)
}

// Merge adds what other counts.
func (f *Figures) Merge(other *Figures) {
	f.Workspace, f.Endpoint = other.Workspace, other.Endpoint
	f.Requests += other.Requests
	f.RequestBytes += other.RequestBytes
	f.ResponseBytes += other.ResponseBytes
	f.Dropped += other.Dropped
	f.Latency.Merge(&other.Latency)
	f.QueueWait.Merge(&other.QueueWait)
	f.Execution.Merge(&other.Execution)
}

func (f *Figures) reset() {
	f.Requests, f.RequestBytes, f.ResponseBytes, f.Dropped = 0, 0, 0, 0
	f.Latency.Reset()
	f.QueueWait.Reset()
	f.Execution.Reset()
}

// Batch is what was counted between two moments.
type Batch struct {
	Start, End time.Time
	Figures    map[Key]*Figures
	// Requests are the single records, in no order.
	Requests []Request
}

// Merge adds a batch that follows. At most limit single records are kept; the
// oldest are dropped and counted.
func (b *Batch) Merge(next Batch, limit int) {
	b.End = next.End
	for key, f := range next.Figures {
		if own, ok := b.Figures[key]; ok {
			own.Merge(f)
		} else {
			b.Figures[key] = f
		}
	}
	b.Requests = append(b.Requests, next.Requests...)
	b.Limit(limit)
}

// Limit drops and counts the first single records beyond limit.
func (b *Batch) Limit(limit int) {
	excess := len(b.Requests) - limit
	if excess <= 0 {
		return
	}
	for _, q := range b.Requests[:excess] {
		if f, ok := b.Figures[q.Key]; ok {
			f.Dropped++
		}
	}
	b.Requests = append([]Request(nil), b.Requests[excess:]...) // lets go of the rest
}

// Recorder counts requests.
type Recorder struct {
	shards []*shard
	mask   uint32
	full   chan struct{}

	mu    sync.Mutex // one Collect at a time
	since time.Time
}

// New makes a recorder that counts from now on.
func New(now time.Time) *Recorder {
	n := 1 << bits.Len(uint(min(runtime.GOMAXPROCS(0), maxShards)-1))
	r := &Recorder{mask: uint32(n - 1), full: make(chan struct{}, 1), since: now}
	for range n {
		r.shards = append(r.shards, &shard{series: map[Key]*series{}, ring: make([]slot, ringTotal/n), spare: make([]slot, ringTotal/n)})
	}
	return r
}

// Filling receives when a ring is half full, so that it is collected in time.
func (r *Recorder) Filling() <-chan struct{} { return r.full }

// Observe counts a request. It keeps nothing of q.
func (r *Recorder) Observe(q *Request) {
	s := r.shards[rand.Uint32()&r.mask]
	if s.observe(q) {
		select {
		case r.full <- struct{}{}:
		default:
		}
	}
}

// Collect gives what was counted since the last time.
func (r *Recorder) Collect(now time.Time) Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := Batch{Start: r.since, End: now, Figures: map[Key]*Figures{}}
	r.since = now
	for _, s := range r.shards {
		s.collect(&b)
	}
	return b
}

// shard is a part of the figures with a lock of its own.
type shard struct {
	mu     sync.Mutex
	series map[Key]*series
	ring   []slot
	used   int
	// spare takes the ring's place when it is collected; only Collect uses it.
	spare []slot
	_     [64]byte // the next shard's lock is not in the same cache line
}

type series struct {
	Figures
	idle int
}

// observe says whether the ring has just become half full.
func (s *shard) observe(q *Request) (halfFull bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.series[q.Key]
	if !ok {
		f = &series{Figures: Figures{Workspace: strings.Clone(q.Workspace), Endpoint: strings.Clone(q.Endpoint)}}
		s.series[q.Key] = f
	}
	f.add(q)
	switch {
	case !q.Keep:
	case s.used == len(s.ring):
		f.Dropped++
	default:
		s.ring[s.used].fill(q)
		s.used++
		return s.used == len(s.ring)/2
	}
	return false
}

func (s *shard) collect(b *Batch) {
	full := s.take(b)
	for i := range full {
		b.Requests = append(b.Requests, full[i].request())
	}
	clear(full) // strings of endpoints that are gone are let go
}

// take moves the figures to b and gives the slots that are used.
func (s *shard) take(b *Batch) []slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.series {
		if f.Requests == 0 {
			if f.idle++; f.idle > idleCollections {
				delete(s.series, key)
			}
			continue
		}
		f.idle = 0
		sum, ok := b.Figures[key]
		if !ok {
			sum = &Figures{}
			b.Figures[key] = sum
		}
		sum.Merge(&f.Figures)
		f.reset()
	}
	full := s.ring[:s.used]
	s.ring, s.spare, s.used = s.spare, s.ring, 0
	return full
}

// slot is the record of one request with its ids copied: they are parts of the
// request's header, which would otherwise be kept.
type slot struct {
	rest       Request // without the ids
	id, client struct {
		content [maxID]byte
		length  uint8
	}
	trace struct {
		content [traceDigits]byte
		length  uint8
	}
}

func (s *slot) fill(q *Request) {
	s.rest = *q
	s.rest.RequestID, s.rest.ClientRequestID, s.rest.TraceID = "", "", ""
	s.id.length = uint8(copy(s.id.content[:], q.RequestID))
	s.client.length = uint8(copy(s.client.content[:], q.ClientRequestID))
	s.trace.length = uint8(copy(s.trace.content[:], q.TraceID))
}

func (s *slot) request() Request {
	q := s.rest
	q.RequestID = string(s.id.content[:s.id.length])
	q.ClientRequestID = string(s.client.content[:s.client.length])
	q.TraceID = string(s.trace.content[:s.trace.length])
	return q
}
