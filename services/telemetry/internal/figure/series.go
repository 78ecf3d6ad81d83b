package figure

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// GroupBy says what series are of.
type GroupBy int

// The groups.
const (
	ByNothing GroupBy = iota
	ByVersion
	ByCode
)

// Group is what one series is of; empty for what was not asked for.
type Group struct {
	Version string
	Code    int
}

// Point is the requests of one step.
type Point struct {
	Start time.Time
	Version
}

// Series collects entries over time, by endpoint and group.
type Series struct {
	step    time.Duration
	groupBy GroupBy
	points  map[string]map[Group]map[time.Time]*Version // by uid
	newest  map[string]time.Time
}

// NewSeries collects in steps.
func NewSeries(step time.Duration, by GroupBy) *Series {
	return &Series{step: step, groupBy: by, points: map[string]map[Group]map[time.Time]*Version{}, newest: map[string]time.Time{}}
}

// Add adds an entry; one longer than the step counts where it begins.
func (s *Series) Add(e Entry) {
	var g Group
	switch s.groupBy {
	case ByVersion:
		g.Version = e.Key.Version
	case ByCode:
		g.Code = e.Key.Code
	case ByNothing:
	}
	groups := s.points[e.Key.UID]
	if groups == nil {
		groups = map[Group]map[time.Time]*Version{}
		s.points[e.Key.UID] = groups
	}
	if groups[g] == nil {
		groups[g] = map[time.Time]*Version{}
	}
	if e.Start.After(s.newest[e.Key.UID]) {
		s.newest[e.Key.UID] = e.Start
	}
	at := e.Start.UTC().Truncate(s.step)
	if groups[g][at] == nil {
		groups[g][at] = &Version{}
	}
	groups[g][at].add(e.Key.Code, e.Figures)
}

// Newest gives the uid of the endpoint with the newest requests.
func (s *Series) Newest() (uid string) {
	for _, u := range slices.Sorted(maps.Keys(s.newest)) {
		if uid == "" || s.newest[u].After(s.newest[uid]) {
			uid = u
		}
	}
	return uid
}

// Groups gives the groups of one endpoint that have points, in order.
func (s *Series) Groups(uid string) []Group {
	return slices.SortedFunc(maps.Keys(s.points[uid]), func(a, b Group) int {
		return cmp.Or(strings.Compare(a.Version, b.Version), cmp.Compare(a.Code, b.Code))
	})
}

// Points gives the steps with requests of one group, oldest first.
func (s *Series) Points(uid string, g Group) []Point {
	var out []Point
	for at, v := range s.points[uid][g] {
		out = append(out, Point{Start: at, Version: *v})
	}
	slices.SortFunc(out, func(a, b Point) int { return a.Start.Compare(b.Start) })
	return out
}
