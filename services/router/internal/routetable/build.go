package routetable

import (
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/admission"
	"github.com/fairlead/fairlead/services/router/internal/keyring"
	"github.com/fairlead/fairlead/services/router/internal/split"
	"github.com/fairlead/fairlead/services/router/internal/token"
)

// whole is all traffic, in hundredths of a percent.
const whole = 10_000

// Route is what the deploy service says of an endpoint.
type Route struct {
	ID   ID
	UID  string
	Open bool
	// Tokens open it, and no keys.
	Tokens bool
	// Telemetry: see Endpoint.
	Telemetry bool
	Default   string
	Versions  []RouteVersion
}

// RouteVersion is what the deploy service says of a version.
type RouteVersion struct {
	Name string
	// Share in hundredths of a percent.
	Share int32
	// Workload whose replicas serve it.
	Workload string
	// ScoringTimeout, MaxQueueWait: see Version.
	ScoringTimeout, MaxQueueWait time.Duration
	// Holds: see Version.
	Holds bool
	// Custom: see Version.
	Custom bool
	// MaxConcurrent is for replicas that do not say their own.
	MaxConcurrent int
}

// Replica is what the compute service says of a replica.
type Replica struct {
	ID, Address string
	State       balancing.State
	// MaxConcurrent is how many requests it takes at the same time; 0 when it
	// does not say.
	MaxConcurrent int
}

// Inputs are all that a table is built from.
type Inputs struct {
	Routes []Route
	// Replicas by workload.
	Replicas map[string][]Replica
	// Digests of the keys by endpoint.
	Digests map[ID][][]byte
	// TokenKeys are the public keys that tokens are verified with, by id.
	TokenKeys map[string][]byte
	// Generations are the lowest of tokens that are not revoked, by endpoint uid.
	Generations map[string]int64
	// Complete: see Table.
	Complete bool
}

// Builder builds tables. It belongs to one goroutine.
type Builder struct {
	sequences *split.Cache
	wake      func()
}

// NewBuilder makes a builder. wake is called, as admission.NewGate says, when
// requests wait for a version without replicas; it may be nil.
func NewBuilder(wake func()) *Builder { return &Builder{sequences: split.NewCache(), wake: wake} }

// Build makes the table that follows before.
func (b *Builder) Build(in Inputs, before *Table, now time.Time) *Table {
	defer b.sequences.Sweep()
	old := make(map[string]*Endpoint, len(before.endpoints))
	for _, e := range before.endpoints {
		old[e.UID] = e
	}
	t := &Table{endpoints: make(map[ID]*Endpoint, len(in.Routes)), Complete: in.Complete, UpdateTime: now}
	tokenKeys := token.NewKeys(in.TokenKeys)
	for _, route := range in.Routes {
		e := &Endpoint{ID: route.ID, UID: route.UID, Open: route.Open, Telemetry: route.Telemetry, Keys: keyring.New(in.Digests[route.ID])}
		e.Tokens, e.TokenKeys = route.Tokens, tokenKeys
		e.TokenFor = token.Endpoint{Name: route.ID.name(), UID: route.UID, Generation: in.Generations[route.UID]}
		b.addVersions(e, route, in.Replicas, old[route.UID])
		t.endpoints[route.ID] = e
	}
	return t
}

func (b *Builder) addVersions(e *Endpoint, route Route, replicas map[string][]Replica, old *Endpoint) {
	for _, rv := range route.Versions {
		v := &Version{
			Name: rv.Name, Share: min(max(rv.Share, 0), whole),
			ScoringTimeout: rv.ScoringTimeout, MaxQueueWait: rv.MaxQueueWait, Holds: rv.Holds, Custom: rv.Custom,
			Replicas: candidates(rv, replicas[rv.Workload]),
		}
		if old != nil {
			if was, ok := old.Version(v.Name); ok {
				v.Gate = was.Gate
			}
		}
		if v.Gate == nil {
			v.Gate = admission.NewGate(balancing.ExpectedCompletion(balancing.Admitting), b.wake)
		}
		e.Versions = append(e.Versions, v)
	}
	slices.SortFunc(e.Versions, func(a, b *Version) int { return strings.Compare(a.Name, b.Name) })
	fallback := slices.IndexFunc(e.Versions, func(v *Version) bool { return v.Name == route.Default })
	giveOut(e.Versions, fallback)
	e.anchor = anchor(e.Versions, fallback)
	b.setTurns(e, old)
}

// setTurns goes on in the order of the old table while versions and shares are
// the same, and starts a new one otherwise.
func (b *Builder) setTurns(e *Endpoint, old *Endpoint) {
	if len(e.Versions) == 0 {
		return
	}
	for _, v := range e.Versions {
		e.shares = append(e.shares, v.Share)
	}
	if old != nil && slices.Equal(old.shares, e.shares) && slices.Equal(old.VersionNames(), e.VersionNames()) {
		e.turns = old.turns
		// Asked for again, so that it stays cached for others.
		b.sequences.Sequence(e.shares)
		return
	}
	e.turns = split.NewPicker(b.sequences.Sequence(e.shares))
}

// giveOut makes the shares effective: what no version claims goes to the
// default, and so does the share of a version without a ready replica as long
// as the default has one. When nobody has a share the default has all.
func giveOut(versions []*Version, fallback int) {
	if len(versions) == 0 {
		return
	}
	if fallback < 0 {
		fallback = 0
		for i, v := range versions {
			if v.Share > versions[fallback].Share {
				fallback = i
			}
		}
	}
	claimed := int32(0)
	canTake := versions[fallback].canTake()
	for i, v := range versions {
		if i == fallback {
			continue
		}
		if canTake && !v.canTake() {
			versions[fallback].Share += v.Share
			v.Share = 0
		}
		claimed += v.Share
	}
	versions[fallback].Share = max(versions[fallback].Share, whole-claimed)
}

func anchor(versions []*Version, fallback int) int {
	if fallback >= 0 && versions[fallback].hasReady() {
		return fallback
	}
	best := max(fallback, 0)
	for i, v := range versions {
		if v.hasReady() && (!versions[best].hasReady() || v.Share > versions[best].Share) {
			best = i
		}
	}
	return best
}

// candidates are the replicas as the gate wants them, by key.
func candidates(v RouteVersion, replicas []Replica) []admission.Replica {
	out := make([]admission.Replica, 0, len(replicas))
	for _, r := range replicas {
		c := admission.Replica{Key: v.Workload + "/" + r.ID, Address: r.Address, State: r.State, Capacity: r.MaxConcurrent}
		if c.Capacity <= 0 {
			c.Capacity = max(v.MaxConcurrent, 1)
		}
		if c.Address == "" && c.State == balancing.Ready {
			c.State = balancing.Unready
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b admission.Replica) int { return strings.Compare(a.Key, b.Key) })
	return out
}
