// Package loadreport says how busy a scorer is, to whoever sends it requests.
//
// A report follows the ORCA convention of load balancers. It comes as the header endpoint-load-metrics of an answer whose request has
// the header endpoint-load-metrics-format (text or json), as the trailer endpoint-load-metrics-bin of every answer by gRPC, and as the
// answer to GET /-/load. What a process uses is looked at when a report is asked for, once a second at most; nothing runs between.
//
// A Reporter may be used from any goroutine.
package loadreport

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/exchange"
)

const (
	headerFormat  = "Endpoint-Load-Metrics-Format"
	headerReport  = "Endpoint-Load-Metrics"
	trailerReport = "Endpoint-Load-Metrics-Bin"
	path          = "/-/load"
	// sampleEvery is the least time between two looks at what is used.
	sampleEvery = time.Second
)

// Report is a scorer's load at a time.
type Report struct {
	// CPUUtilization is the processor time that the scorer and its workers used, and MemUtilization the memory that they hold, as a share of
	// what they may; CPU counts since the look before.
	CPUUtilization float64 `json:"cpu_utilization"`
	MemUtilization float64 `json:"mem_utilization"`
	// ApplicationUtilization is the requests inside, as a share of those that can be answered at a time; 0 where that is not known.
	ApplicationUtilization float64 `json:"application_utilization"`
	// RPS and EPS are the requests that ended, and those of them with status 500 and above, in a second, since the look before.
	RPS float64 `json:"rps_fractional"`
	EPS float64 `json:"eps"`
	// NamedMetrics are in_flight, the requests inside, and queued, those of them that wait for a worker.
	NamedMetrics map[string]float64 `json:"named_metrics"`
}

// Requests are those inside a scorer now.
type Requests struct {
	InFlight, Queued int
	// Capacity is how many can be answered at a time; 0 where that is not known.
	Capacity int
}

// Usage is what the scorer and its workers use and may use.
type Usage struct {
	CPUTime                  time.Duration // since they started
	Processors               float64
	MemoryBytes, MemoryLimit int64
}

func (u Usage) memoryShare() float64 {
	if u.MemoryLimit <= 0 {
		return 0
	}
	return float64(u.MemoryBytes) / float64(u.MemoryLimit)
}

// Deps is what a Reporter asks.
type Deps struct {
	Requests func() Requests
	Usage    func() Usage
	Now      func() time.Time
}

// Reporter makes reports. Use New.
type Reporter struct {
	deps Deps

	mu            sync.Mutex
	ended, failed int64 // requests
	last          look
	report        Report // what of it comes from looks
}

// look is what was seen at a time.
type look struct {
	at            time.Time
	cpu           time.Duration
	ended, failed int64
}

// New makes a reporter; its first figures are those since now.
func New(deps Deps) *Reporter {
	usage := deps.Usage()
	return &Reporter{
		deps: deps, last: look{at: deps.Now(), cpu: usage.CPUTime}, report: Report{MemUtilization: usage.memoryShare()},
	}
}

// Report gives the load now.
func (r *Reporter) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.deps.Now(); now.Sub(r.last.at) >= sampleEvery {
		r.look(now)
	}
	out, requests := r.report, r.deps.Requests()
	if requests.Capacity > 0 {
		out.ApplicationUtilization = float64(requests.InFlight) / float64(requests.Capacity)
	}
	out.NamedMetrics = map[string]float64{"in_flight": float64(requests.InFlight), "queued": float64(requests.Queued)}
	return out
}

// look compares what is used with the look before. The caller holds the lock.
func (r *Reporter) look(now time.Time) {
	usage, span := r.deps.Usage(), now.Sub(r.last.at).Seconds()
	r.report = Report{
		RPS: float64(r.ended-r.last.ended) / span,
		EPS: float64(r.failed-r.last.failed) / span,

		MemUtilization: usage.memoryShare(),
	}
	if usage.Processors > 0 {
		// A worker that has ended takes its time with it.
		r.report.CPUUtilization = max(0, (usage.CPUTime-r.last.cpu).Seconds()/span/usage.Processors)
	}
	r.last = look{at: now, cpu: usage.CPUTime, ended: r.ended, failed: r.failed}
}

// Wrap counts the requests that handler answers, puts reports on the answers that are to have one, and answers GET /-/load.
func (r *Reporter) Wrap(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == path && req.Method == http.MethodGet:
			exchange.WriteJSON(w, http.StatusOK, r.Report())
		case req.URL.Path == "/" || strings.HasPrefix(req.URL.Path, "/-/"): // probes are no load
			handler.ServeHTTP(w, req)
		default:
			r.serve(handler, w, req)
		}
	})
}

func (r *Reporter) serve(handler http.Handler, w http.ResponseWriter, req *http.Request) {
	answer := &answer{ResponseWriter: w}
	if format := req.Header.Get(headerFormat); format != "" {
		answer.head = func() {
			if text, ok := r.Report().encode(format); ok {
				w.Header()[headerReport] = []string{text}
			}
		}
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended++
		if answer.status >= http.StatusInternalServerError {
			r.failed++
		}
	}()
	handler.ServeHTTP(answer, req)
	if req.ProtoMajor == 2 && strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc") {
		w.Header()[http.TrailerPrefix+trailerReport] = []string{base64.RawStdEncoding.EncodeToString(r.Report().marshal())}
	}
}

// answer sees the status of an answer before it is sent.
type answer struct {
	http.ResponseWriter
	head   func() // nil for nothing
	status int
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		a.status = status
		if a.head != nil {
			a.head()
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// Flush sends what there is; gRPC asks for it by this name.
func (a *answer) Flush() {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(a.ResponseWriter).Flush() // a writer that can't has nothing to send
}

// Unwrap is how http.ResponseController finds what the connection can do.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
