// Package plan works out what leads an endpoint from how it is to how it is
// wanted, in an order that takes traffic from nothing that works.
//
// New versions are made and changed ones have answered before traffic moves, and
// a version goes only when it has no traffic of its own any more. While
// percentiles change, those that shrink go first, so that they never add up to
// more than 100; what is free meanwhile goes to the default. The functions are
// pure; what they are given is not changed.
package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Verb is what a step does.
type Verb string

// The verbs.
const (
	CreateEndpoint Verb = "create-endpoint" // with its default version
	CreateVersion  Verb = "create-version"  // without traffic
	UpdateVersion  Verb = "update-version"
	UpdateEndpoint Verb = "update-endpoint"
	MoveTraffic    Verb = "move-traffic" // a version's percentile and roles
	DeleteVersion  Verb = "delete-version"
)

// Wanted is an endpoint as it is wanted.
type Wanted struct {
	ID string
	// Endpoint is what the server would make of it.
	Endpoint *deployv1.Endpoint
	// Planned is a new endpoint with its defaults, to show; nil where that is not known.
	Planned  *deployv1.Endpoint
	Versions []Version
}

// Version is a version as it is wanted.
type Version struct {
	ID string
	// Version is what the server would make of it.
	Version *deployv1.EndpointVersion
	// Percentile, Default and Control are as they are written.
	Percentile       float64
	Default, Control bool
}

// Step is one change.
type Step struct {
	Verb    Verb   `json:"verb"`
	Version string `json:"version,omitempty"`
	// Differences are what it changes.
	Differences []Difference `json:"differences,omitempty"`
	// Endpoint is what a new endpoint has itself.
	Endpoint []Difference `json:"endpoint,omitempty"`

	// Mask are the fields that an update changes, and Message has their values.
	Mask    []string                  `json:"-"`
	Message *deployv1.EndpointVersion `json:"-"`
}

// Plan is all that there is to do for one endpoint.
type Plan struct {
	Endpoint string `json:"endpoint"`
	Steps    []Step `json:"steps"`
	// Kept are versions that are not wanted and stay, because nothing says that
	// they are to go.
	Kept []string `json:"kept,omitempty"`
}

// Changes tells whether there is anything to do.
func (p Plan) Changes() bool { return len(p.Steps) > 0 }

// Make works out the plan; current is nil when there is no such endpoint. With
// prune, versions that are not wanted go. A problem is text for people.
func Make(current *deployv1.Endpoint, wanted Wanted, prune bool) (Plan, []string) {
	m := maker{wanted: wanted, plan: Plan{Endpoint: wanted.ID}, now: map[string]*deployv1.EndpointVersion{}}
	for _, v := range current.GetVersions() {
		m.now[resourcename.Last(v.GetName())] = v
	}
	m.leave(current, prune)
	m.traffic(current)
	if len(m.problems) > 0 {
		return m.plan, m.problems
	}
	m.make(current)
	m.change(current)
	m.move()
	for _, id := range m.gone {
		m.plan.Steps = append(m.plan.Steps, Step{Verb: DeleteVersion, Version: id})
	}
	return m.plan, nil
}

type maker struct {
	wanted   Wanted
	plan     Plan
	problems []string
	now      map[string]*deployv1.EndpointVersion // by id, as it is before the traffic moves
	gone     []string                             // versions to delete
	shares   map[string]share
}

// share is what a version is to have of the traffic and roles.
type share struct {
	percentile         float64
	byDefault, control bool
}

// leave decides what becomes of versions that are not wanted.
func (m *maker) leave(current *deployv1.Endpoint, prune bool) {
	for _, v := range current.GetVersions() {
		id := resourcename.Last(v.GetName())
		if slices.ContainsFunc(m.wanted.Versions, func(w Version) bool { return w.ID == id }) {
			continue
		}
		if prune {
			m.gone = append(m.gone, id)
		} else {
			m.plan.Kept = append(m.plan.Kept, id)
		}
	}
}

// traffic decides who gets what, and checks it.
func (m *maker) traffic(current *deployv1.Endpoint) {
	byDefault, control := m.byDefault(current), m.control(current)
	m.shares = map[string]share{}
	sum, parts := 0.0, []string(nil)
	add := func(id string, percentile float64) {
		m.shares[id] = share{percentile: percentile, byDefault: id == byDefault, control: id == control}
		sum += percentile
		parts = append(parts, fmt.Sprintf("%s %g", id, percentile))
	}
	for _, v := range m.wanted.Versions {
		add(v.ID, v.Percentile)
	}
	for _, id := range m.plan.Kept {
		add(id, m.now[id].GetTrafficPercentile())
	}
	for _, id := range m.gone {
		m.shares[id] = share{}
	}
	if sum > 100+1e-9 {
		m.problems = append(m.problems, fmt.Sprintf("the percentiles add up to %g (%s); they must not add up to more than 100", sum, strings.Join(parts, ", ")))
	}
}

// byDefault gives the default: as it is written, else as it is, else the first.
func (m *maker) byDefault(current *deployv1.Endpoint) string {
	for _, v := range m.wanted.Versions {
		if v.Default {
			return v.ID
		}
	}
	if id := current.GetDefaultVersion(); id != "" && !slices.Contains(m.gone, id) {
		return id
	}
	return m.wanted.Versions[0].ID
}

// control gives the control: as it is written, else one that is not described.
func (m *maker) control(current *deployv1.Endpoint) string {
	for _, v := range m.wanted.Versions {
		if v.Control {
			return v.ID
		}
	}
	if slices.Contains(m.plan.Kept, current.GetControlVersion()) {
		return current.GetControlVersion()
	}
	return ""
}

// make plans what is not there yet.
func (m *maker) make(current *deployv1.Endpoint) {
	order := slices.Clone(m.wanted.Versions)
	if current == nil { // the default is the first
		slices.SortStableFunc(order, func(a, b Version) int {
			switch {
			case m.shares[a.ID].byDefault:
				return -1
			case m.shares[b.ID].byDefault:
				return 1
			}
			return 0
		})
	}
	for i, v := range order {
		if m.now[v.ID] != nil {
			continue
		}
		step := Step{Verb: CreateVersion, Version: v.ID, Message: specOf(v.Version), Differences: differences(&deployv1.EndpointVersion{}, specOf(v.Version))}
		made := &deployv1.EndpointVersion{Type: deployv1.EndpointVersion_TYPE_TREATMENT}
		if current == nil && i == 0 {
			step.Verb, step.Endpoint = CreateEndpoint, newEndpoint(cmp.Or(m.wanted.Planned, m.wanted.Endpoint))
			made.IsDefault = true
		}
		m.now[v.ID] = made
		m.plan.Steps = append(m.plan.Steps, step)
	}
}

// change plans changes of what is there, but for its traffic.
func (m *maker) change(current *deployv1.Endpoint) {
	if current == nil {
		return
	}
	there := map[string]*deployv1.EndpointVersion{}
	for _, v := range current.GetVersions() {
		there[resourcename.Last(v.GetName())] = v
	}
	for _, v := range m.wanted.Versions {
		now := there[v.ID]
		if now == nil {
			continue
		}
		before, after := specOf(now), specOf(v.Version)
		if mask := deployment.ChangedFields(before, after); len(mask) > 0 {
			m.plan.Steps = append(m.plan.Steps, Step{
				Verb: UpdateVersion, Version: v.ID, Mask: mask, Message: deployment.Changed(after, mask), Differences: differences(before, after),
			})
		}
	}
	if found := endpointDifferences(current, m.wanted.Endpoint); len(found) > 0 {
		m.plan.Steps = append(m.plan.Steps, Step{Verb: UpdateEndpoint, Differences: found})
	}
}

// move plans the traffic: what shrinks first, then the default, then the rest.
func (m *maker) move() {
	var ids []string
	for _, v := range m.wanted.Versions {
		ids = append(ids, v.ID)
	}
	ids = slices.Concat(ids, m.plan.Kept, m.gone)
	for _, id := range ids {
		if now, want := m.now[id], m.shares[id]; want.percentile < now.GetTrafficPercentile() {
			m.step(id, now, &deployv1.EndpointVersion{TrafficPercentile: want.percentile, IsDefault: now.GetIsDefault(), Type: now.GetType()})
		}
	}
	slices.SortStableFunc(ids, func(a, b string) int {
		switch {
		case m.shares[a].byDefault && !m.shares[b].byDefault:
			return -1
		case m.shares[b].byDefault && !m.shares[a].byDefault:
			return 1
		}
		return 0
	})
	control := slices.ContainsFunc(ids, func(id string) bool { return m.shares[id].control })
	for _, id := range ids {
		if slices.Contains(m.gone, id) {
			continue
		}
		now, want := m.now[id], m.shares[id]
		next := &deployv1.EndpointVersion{TrafficPercentile: want.percentile, IsDefault: now.GetIsDefault() || want.byDefault, Type: now.GetType()}
		switch {
		case want.control:
			next.Type = deployv1.EndpointVersion_TYPE_CONTROL
		case !control: // else the one that becomes control takes the role
			next.Type = deployv1.EndpointVersion_TYPE_TREATMENT
		}
		m.step(id, now, next)
	}
}

// step plans one move and notes it as made.
func (m *maker) step(id string, now, next *deployv1.EndpointVersion) {
	before := &deployv1.EndpointVersion{TrafficPercentile: now.GetTrafficPercentile(), IsDefault: now.GetIsDefault(), Type: now.GetType()}
	mask := deployment.ChangedFields(before, next)
	if len(mask) == 0 {
		return
	}
	m.plan.Steps = append(m.plan.Steps, Step{
		Verb: MoveTraffic, Version: id, Mask: mask, Message: deployment.Changed(next, mask), Differences: differences(before, next),
	})
	m.now[id] = next
}
