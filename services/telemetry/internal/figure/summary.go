package figure

import (
	"maps"
	"slices"
	"time"
)

// firstFailure is the first status code that is a failure.
const firstFailure = 400

// Version sums up the requests of one version.
type Version struct {
	Name string
	// Codes count requests by status code.
	Codes map[int]int64
	Figures
}

// SuccessRate is the part of the requests with a code below 400; 0 without any.
func (v *Version) SuccessRate() float64 {
	if v.Requests == 0 {
		return 0
	}
	return 1 - v.FailureRate()
}

// FailureRate is the part of the requests with a code of 400 or more; 0 without any.
func (v *Version) FailureRate() float64 {
	if v.Requests == 0 {
		return 0
	}
	failed := int64(0)
	for code, n := range v.Codes {
		if code >= firstFailure {
			failed += n
		}
	}
	return float64(failed) / float64(v.Requests)
}

func (v *Version) add(code int, f *Figures) {
	if v.Codes == nil {
		v.Codes = map[int]int64{}
	}
	v.Codes[code] += f.Requests
	v.Merge(f)
}

// Difference is a version's figure less the baseline's.
type Difference struct {
	FailureRate   float64
	P50, P95, P99 time.Duration
}

// Compare gives the difference; ok is false where one of the two has no requests.
func Compare(v, baseline *Version) (d Difference, ok bool) {
	if v.Requests == 0 || baseline.Requests == 0 {
		return Difference{}, false
	}
	quantile := func(q float64) time.Duration { return v.Latency.Quantile(q) - baseline.Latency.Quantile(q) }
	return Difference{
		FailureRate: v.FailureRate() - baseline.FailureRate(),
		P50:         quantile(0.5), P95: quantile(0.95), P99: quantile(0.99),
	}, true
}

// Summary adds up entries by endpoint and version. The zero value is empty.
type Summary struct {
	endpoints map[string]*endpoint // by uid
}

type endpoint struct {
	versions map[string]*Version
	newest   time.Time
}

// Add adds an entry.
func (s *Summary) Add(e Entry) {
	if s.endpoints == nil {
		s.endpoints = map[string]*endpoint{}
	}
	of := s.endpoints[e.Key.UID]
	if of == nil {
		of = &endpoint{versions: map[string]*Version{}}
		s.endpoints[e.Key.UID] = of
	}
	if e.Start.After(of.newest) {
		of.newest = e.Start
	}
	v := of.versions[e.Key.Version]
	if v == nil {
		v = &Version{Name: e.Key.Version}
		of.versions[e.Key.Version] = v
	}
	v.add(e.Key.Code, e.Figures)
}

// Newest gives the uid of the endpoint with the newest requests, and the others.
func (s *Summary) Newest() (uid string, others []string) {
	uids := slices.Sorted(maps.Keys(s.endpoints))
	for _, u := range uids {
		if uid == "" || s.endpoints[u].newest.After(s.endpoints[uid].newest) {
			uid = u
		}
	}
	return uid, slices.DeleteFunc(uids, func(u string) bool { return u == uid })
}

// Versions gives the sums of one endpoint by version, and of all its versions.
func (s *Summary) Versions(uid string) (versions []*Version, total *Version) {
	total = &Version{Codes: map[int]int64{}}
	of := s.endpoints[uid]
	if of == nil {
		return nil, total
	}
	for _, name := range slices.Sorted(maps.Keys(of.versions)) {
		v := of.versions[name]
		versions = append(versions, v)
		total.Merge(&v.Figures)
		for code, n := range v.Codes {
			total.Codes[code] += n
		}
	}
	return versions, total
}
