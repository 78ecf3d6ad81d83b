// Package routetable is what requests are answered by: for each endpoint its
// versions with their shares, settings and replicas, and its keys.
//
// A Table is immutable. Build makes one from what the control plane says; it is
// a pure function of that and of the table before. What lives longer than a
// table (the place in the order of versions, requests in flight, queues) hangs
// in it by pointer and is carried over: for an endpoint by its uid, for a
// version by the endpoint's uid and its name, for a replica by its workload and
// id. Current holds the table in force; reading it takes no lock.
package routetable

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/admission"
	"github.com/fairlead/fairlead/services/router/internal/keyring"
	"github.com/fairlead/fairlead/services/router/internal/split"
	"github.com/fairlead/fairlead/services/router/internal/token"
)

// Table is the state of all endpoints at one moment.
type Table struct {
	endpoints map[ID]*Endpoint
	// Complete is false until everything that exists has been heard of once.
	Complete bool
	// UpdateTime is when it was built.
	UpdateTime time.Time
}

// ID names an endpoint.
type ID struct {
	Workspace, Endpoint string
}

// name is the endpoint's resource name.
func (i ID) name() string {
	return resourcename.Format("workspaces", i.Workspace, "endpoints", i.Endpoint)
}

// Lookup finds an endpoint.
func (t *Table) Lookup(id ID) (*Endpoint, bool) {
	e, ok := t.endpoints[id]
	return e, ok
}

// Endpoints gives all endpoints by workspace and name.
func (t *Table) Endpoints() []*Endpoint {
	return slices.SortedFunc(maps.Values(t.endpoints), func(a, b *Endpoint) int {
		return strings.Compare(a.ID.Workspace+"/"+a.ID.Endpoint, b.ID.Workspace+"/"+b.ID.Endpoint)
	})
}

// Endpoint is an address with the versions behind it.
type Endpoint struct {
	ID  ID
	UID string
	// Open endpoints need no key.
	Open bool
	// Telemetry asks for a record of each request.
	Telemetry bool
	// Keys are those that open it.
	Keys keyring.Ring
	// Tokens say that tokens open it, and no keys.
	Tokens bool
	// TokenKeys are what tokens are verified with; TokenFor is what they must be for.
	TokenKeys token.Keys
	TokenFor  token.Endpoint
	// Versions are sorted by name.
	Versions []*Version

	// turns walks over Versions by their shares.
	turns  *split.Picker
	shares []int32
	// anchor is the index of the version that answers what is no scoring.
	anchor int
}

// Next chooses the version for the next request by the shares. It is nil for an
// endpoint without versions.
func (e *Endpoint) Next() *Version {
	if len(e.Versions) == 0 {
		return nil
	}
	return e.Versions[e.turns.Next()]
}

// Anchor is the version for requests that are no scoring (health, swagger.json,
// OPTIONS), so that these answers stay the same and do not disturb the split:
// the default version, or the one with the largest share while the default has
// no ready replica. It is nil for an endpoint without versions.
func (e *Endpoint) Anchor() *Version {
	if len(e.Versions) == 0 {
		return nil
	}
	return e.Versions[e.anchor]
}

// Version finds a version by name.
func (e *Endpoint) Version(name string) (*Version, bool) {
	i, ok := slices.BinarySearchFunc(e.Versions, name, func(v *Version, name string) int {
		return strings.Compare(v.Name, name)
	})
	if !ok {
		return nil, false
	}
	return e.Versions[i], true
}

// HasCustom tells whether one of the versions is a custom server.
func (e *Endpoint) HasCustom() bool {
	return slices.ContainsFunc(e.Versions, func(v *Version) bool { return v.Custom })
}

// VersionNames lists the versions.
func (e *Endpoint) VersionNames() []string {
	names := make([]string, len(e.Versions))
	for i, v := range e.Versions {
		names[i] = v.Name
	}
	return names
}

// Version is one version of an endpoint.
type Version struct {
	Name string
	// Share is the part of the requests it gets, in hundredths of a percent,
	// with what it gets for versions that have no ready replica.
	Share int32
	// ScoringTimeout runs from arrival to the end of the answer.
	ScoringTimeout time.Duration
	// MaxQueueWait is how long a request may wait for a replica.
	MaxQueueWait time.Duration
	// Holds tells that requests are held until their scoring timeout while there
	// is no replica, because the first one starts when they come.
	Holds bool
	// Custom tells that a server of the user's own answers, on any path.
	Custom bool
	// Replicas are all that have not ended, by key.
	Replicas []admission.Replica
	// Gate admits requests to the replicas.
	Gate *admission.Gate
}

// canTake tells whether requests that it is given get an answer.
func (v *Version) canTake() bool { return v.Holds || v.hasReady() }

func (v *Version) hasReady() bool {
	return slices.ContainsFunc(v.Replicas, func(r admission.Replica) bool { return r.State == balancing.Ready })
}

// Current is the table in force.
type Current struct {
	table atomic.Pointer[Table]

	mu sync.Mutex // one Install at a time
}

// NewCurrent starts with a table that knows nothing yet.
func NewCurrent() *Current {
	c := &Current{}
	c.table.Store(&Table{})
	return c
}

// Load gives the table in force.
func (c *Current) Load() *Table { return c.table.Load() }

// Install puts a table built from the current one in force. The table goes
// first, then the gates learn of it: whoever is sent away by a gate finds the
// new table.
func (c *Current) Install(next *Table) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.table.Swap(next)
	open := map[*admission.Gate]*Version{}
	for _, e := range next.endpoints {
		for _, v := range e.Versions {
			v.Gate.Update(v.Replicas)
			open[v.Gate] = v
		}
	}
	for _, e := range before.endpoints {
		for _, v := range e.Versions {
			now, ok := open[v.Gate]
			switch {
			case !ok:
				v.Gate.Close()
			case v.Share > 0 && now.Share == 0 && !now.canTake():
				// Its traffic went elsewhere; those who wait go along.
				v.Gate.Disperse()
			}
		}
	}
}
