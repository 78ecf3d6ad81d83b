package traffic

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Request is one request, as its client saw it end.
type Request struct {
	Number   int64
	Endpoint string
	// Version is the one that the answer names; empty when there is none.
	Version    string
	Begin, End time.Time
	// Status is 0 when the connection ended before a whole answer.
	Status int
	// Problem is empty for a request that was answered rightly.
	Problem string
}

func (r Request) String() string {
	return fmt.Sprintf("%s +%v request %d to %s, version %q: status %d, %s",
		r.Begin.Format(clock), r.End.Sub(r.Begin).Round(time.Millisecond), r.Number, r.Endpoint, r.Version, r.Status, r.Problem)
}

// clock is how moments are printed, here and in the log of faults.
const clock = "15:04:05.000"

// Excuse is a time in which requests may fail, and which.
type Excuse struct {
	Why      string
	From, To time.Time
	// Endpoint and Version are those of a scorer that was killed; both are empty
	// when it was the router.
	Endpoint, Version string
}

// Covers says whether a request that failed may fail by e. It was under way in
// the time of e, and the router was killed: then its connection ended or none was
// made. Or it went to the version of the scorer that was killed: then the router
// answers 502, or cuts the answer off that had begun.
func (e Excuse) Covers(r Request) bool {
	if r.End.Before(e.From) || r.Begin.After(e.To) {
		return false
	}
	if e.Endpoint == "" {
		return r.Status == 0
	}
	if r.Endpoint != e.Endpoint {
		return false
	}
	return r.Status == http.StatusBadGateway && r.Version == e.Version ||
		r.Status == 0 && (r.Version == e.Version || r.Version == "")
}

// Account is what became of all requests.
type Account struct {
	Sent int
	// Answered counts the right answers by endpoint and version, "shop/blue".
	Answered map[string]int
	Failed   []Request
	// Slowest is the longest time to a right answer.
	Slowest Request
}

// add takes one request that has ended.
func (a *Account) add(r Request) {
	a.Sent++
	if r.Problem != "" {
		a.Failed = append(a.Failed, r)
		return
	}
	if a.Answered == nil {
		a.Answered = map[string]int{}
	}
	a.Answered[r.Endpoint+"/"+r.Version]++
	if r.End.Sub(r.Begin) > a.Slowest.End.Sub(a.Slowest.Begin) {
		a.Slowest = r
	}
}

// Unexcused gives the requests that failed and may not.
func (a *Account) Unexcused(excuses []Excuse) []Request {
	return slices.DeleteFunc(slices.Clone(a.Failed), func(r Request) bool {
		return slices.ContainsFunc(excuses, func(e Excuse) bool { return e.Covers(r) })
	})
}
