package reporting

import (
	"slices"
	"sync"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"

	"github.com/fairlead/fairlead/services/router/internal/record"
)

// limits bound what an outbox holds.
type limits struct {
	// window is how many reports may be sent without an answer.
	window int
	// unsent reports wait before neighbours are put together.
	unsent int
	// reportRecords single records are in a report; more would make it too large.
	reportRecords int
	// records wait in all reports that were not sent.
	records int
}

func usualLimits() limits {
	return limits{window: 8, unsent: 120, reportRecords: 20_000, records: 50_000}
}

// outbox holds reports until they are answered. Those that were sent are fixed;
// those that were not may still be put together. It may be used by many
// goroutines.
type outbox struct {
	router string
	most   limits

	mu       sync.Mutex
	sequence int64
	sent     []*telemetryv1.RecordRequest // or to be sent again; in order
	resent   int                          // so many of sent are on the current stream
	unsent   []record.Batch
	broken   bool // the current stream
	finished bool // nothing is added any more
}

func newOutbox(router string, most limits) *outbox { return &outbox{router: router, most: most} }

// restore puts reports of an earlier router before all others.
func (o *outbox) restore(reports []*telemetryv1.RecordRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(slices.Clone(reports), o.sent...)
}

func (o *outbox) add(b record.Batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b.Limit(o.most.reportRecords)
	o.unsent = append(o.unsent, b)
	if len(o.unsent) > o.most.unsent {
		o.coarsen()
	}
	waiting := 0
	for i := len(o.unsent) - 1; i >= 0; i-- { // the newest records are kept
		waiting += len(o.unsent[i].Requests)
		if waiting > o.most.records {
			o.unsent[i].Limit(max(0, o.most.records-(waiting-len(o.unsent[i].Requests))))
			waiting = o.most.records
		}
	}
}

// coarsen puts neighbours together two by two: the older a report, the more
// often that happens to it.
func (o *outbox) coarsen() {
	half := o.unsent[:0]
	for i := 0; i < len(o.unsent); i += 2 {
		b := o.unsent[i]
		if i+1 < len(o.unsent) {
			b.Merge(o.unsent[i+1], o.most.reportRecords)
		}
		half = append(half, b)
	}
	clear(o.unsent[len(half):])
	o.unsent = half
}

// rewind has everything without an answer sent again, on a new stream.
func (o *outbox) rewind() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resent, o.broken = 0, false
}

func (o *outbox) interrupt() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.broken = true
}

func (o *outbox) interrupted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.broken
}

// next gives the report to send now; nil when there is none or the window is full.
func (o *outbox) next() *telemetryv1.RecordRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken {
		return nil
	}
	if o.resent == len(o.sent) {
		if len(o.unsent) == 0 || len(o.sent) >= o.most.window {
			return nil
		}
		o.fix()
	}
	o.resent++
	return o.sent[o.resent-1]
}

// fix makes a report of the oldest batch.
func (o *outbox) fix() {
	o.sequence++
	o.sent = append(o.sent, reportOf(o.router, o.sequence, o.unsent[0]))
	o.unsent = slices.Delete(o.unsent, 0, 1)
}

// ack drops a report that is on the telemetry service's disk.
func (o *outbox) ack(router string, sequence int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, report := range o.sent[:o.resent] {
		if report.GetRouter() == router && report.GetSequence() == sequence {
			o.sent = slices.Delete(o.sent, i, i+1)
			o.resent--
			return
		}
	}
}

func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished = true
}

// done says whether all is shipped and nothing comes any more.
func (o *outbox) done() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.finished && len(o.sent)+len(o.unsent) == 0
}

func (o *outbox) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sent) + len(o.unsent)
}

// left gives what has not been shipped, fixed.
func (o *outbox) left() []*telemetryv1.RecordRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.unsent) > 0 {
		o.fix()
	}
	return o.sent
}
