// Package requestlog keeps records of single requests in Parquet files, which
// other programs can read, too.
//
// A file is written whole and never changes; its name carries the number of the
// log segment that it was made of, so that it is made again, not twice, after a
// crash. Files may be read by many goroutines; adding and removing them is for
// one at a time.
package requestlog

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Request is the record of one request.
type Request struct {
	// Arrival is in nanoseconds since 1970.
	Arrival         int64  `parquet:"arrival_unix_nanos,delta"`
	Endpoint        string `parquet:"endpoint,dict"`
	EndpointUID     string `parquet:"endpoint_uid,dict"`
	Version         string `parquet:"version,dict"`
	Replica         string `parquet:"replica,dict"`
	Code            int32  `parquet:"code"`
	Latency         int64  `parquet:"latency_nanos"`
	QueueWait       int64  `parquet:"queue_wait_nanos"`
	Execution       int64  `parquet:"execution_nanos"`
	RequestBytes    int64  `parquet:"request_bytes"`
	ResponseBytes   int64  `parquet:"response_bytes"`
	RequestID       string `parquet:"request_id"`
	ClientRequestID string `parquet:"client_request_id"`
	TraceID         string `parquet:"trace_id"`
	Reason          string `parquet:"reason,dict"`
}

// Place is where a request is in the order of all requests.
type Place struct {
	Arrival   int64
	RequestID string
}

// Place gives the request's place.
func (r *Request) Place() Place { return Place{Arrival: r.Arrival, RequestID: r.RequestID} }

func compare(a, b Place) int {
	return cmp.Or(cmp.Compare(a.Arrival, b.Arrival), strings.Compare(a.RequestID, b.RequestID))
}

// Filter says which requests are wanted. What is empty does not restrict, except
// that To is always needed.
type Filter struct {
	Endpoint, UID string
	Versions      []string
	CodeClass     int
	MinLatency    time.Duration
	// RequestID is that of the answer, or the client's.
	RequestID string
	From, To  time.Time
	// Before gives only what is older than this place.
	Before *Place
	// Limit is how many are wanted, the newest.
	Limit int
}

// Wants says whether a request is wanted.
func (f *Filter) Wants(r *Request) bool {
	return (f.From.IsZero() || r.Arrival >= f.From.UnixNano()) && r.Arrival < f.To.UnixNano() &&
		(f.Endpoint == "" || f.Endpoint == r.Endpoint) &&
		(f.UID == "" || f.UID == r.EndpointUID) &&
		(len(f.Versions) == 0 || slices.Contains(f.Versions, r.Version)) &&
		(f.CodeClass == 0 || f.CodeClass == int(r.Code)/100) &&
		r.Latency >= int64(f.MinLatency) &&
		(f.RequestID == "" || f.RequestID == r.RequestID || f.RequestID == r.ClientRequestID) &&
		(f.Before == nil || compare(r.Place(), *f.Before) < 0)
}

// newest keeps the newest requests up to a limit.
type newest struct {
	limit int
	found []Request
}

// add takes one; found is cut when it is twice as long as needed.
func (n *newest) add(r *Request) {
	n.found = append(n.found, *r)
	if len(n.found) >= 2*n.limit+1024 {
		n.cut()
	}
}

func (n *newest) cut() {
	slices.SortFunc(n.found, func(a, b Request) int { return -compare(a.Place(), b.Place()) })
	if len(n.found) > n.limit {
		n.found = n.found[:n.limit]
	}
}

// olderThanAll says whether everything up to a moment is older than enough that was found.
func (n *newest) olderThanAll(end int64) bool {
	n.cut()
	return len(n.found) == n.limit && n.found[len(n.found)-1].Arrival > end
}
