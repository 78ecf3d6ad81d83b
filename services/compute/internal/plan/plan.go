// Package plan decides what to do next about the replicas of one workload. It
// is pure: the same input gives the same decision, and deciding again after the
// decision was carried out changes nothing.
//
// A new revision is rolled out without taking from what serves: its replicas
// are started beside the old ones, up to a quarter (at least one) above the
// larger of both counts; an old one is drained when a new one is ready in its
// place. Where there is no room for more, one ready replica of several is
// drained first, and the only one never. A revision none of whose replicas was
// ever ready is given up when one of them could not start its script twice, or
// ended five times, in a row, or at once when no try can help; the stable
// revision then goes on.
package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

const (
	scriptTries = 2
	otherTries  = 5
	surgeShare  = 4 // one in so many
)

// Input is what a decision is made from.
type Input struct {
	Workload workload.Workload
	Replicas []replica.Replica
	// Nodes are those of the workload's target, with what all replicas take.
	Nodes []placement.Node
	// NewID names a new replica.
	NewID func() string
	Now   time.Time
}

// Verb is what to do with a replica.
type Verb int

// The verbs.
const (
	Start Verb = iota // start a process for it
	Drain             // let it finish, then end it
	Kill              // end it at once
)

// Action is one thing to do.
type Action struct {
	Verb     Verb
	Replica  replica.Replica
	Revision workload.Revision // of a start
}

// Decision is what to do, and what is then so.
type Decision struct {
	Replicas []replica.Replica
	Nodes    []placement.Node
	Actions  []Action
	View     workload.View
	// Wake is when to decide again though nothing else happens; zero for never.
	Wake time.Time
}

// planner is a decision in the making.
type planner struct {
	in        Input
	out       Decision
	current   string // template of the newest revision
	templates map[string]workload.Revision
	wanted    int // replicas of the newest revision
	failed    bool
}

// Decide decides.
func Decide(in Input) Decision {
	p := &planner{in: in, current: in.Workload.Spec.Template(), templates: map[string]workload.Revision{}, wanted: in.Workload.Spec.Replicas}
	for _, r := range slices.Backward(in.Workload.Revisions()) {
		p.templates[r.Spec.Template()] = r
	}
	p.out.Nodes = in.Nodes
	for _, r := range in.Replicas {
		if r.State == replica.Gone {
			continue
		}
		if r.Template == p.current {
			r.Generation = in.Workload.Generation
		}
		p.out.Replicas = append(p.out.Replicas, r)
	}
	if in.Workload.State == workload.Deleting {
		p.endAll("the workload is being deleted")
		return p.finish()
	}
	p.judgeStart()
	p.dropUseless()
	p.shrinkCurrent()
	p.shrinkOld()
	// What was ended for one replica may let another start at once.
	for before := -1; before != p.starts(); {
		before = p.starts()
		p.grow()
		p.place()
	}
	p.restart()
	return p.finish()
}

// judgeStart gives the newest revision up when it cannot start.
func (p *planner) judgeStart() {
	w := p.in.Workload
	p.failed = w.Failure != nil
	if p.failed || w.Proven || slices.ContainsFunc(p.currents(), func(r replica.Replica) bool { return r.WasReady }) {
		if p.failed {
			p.wanted = 0
		}
		return
	}
	for _, r := range p.currents() {
		if r.StartFailures < scriptTries && r.Failures < otherTries && !r.Hopeless {
			continue
		}
		cause := r.Cause
		if r.StartFailures < scriptTries && !r.Hopeless && cause.Reason != replica.CrashLoop { // which counts itself
			cause.Message = fmt.Sprintf("given up after %d starts: %s", r.Failures, cause.Message)
		}
		p.out.View.Failure = &cause
		p.failed, p.wanted = true, 0
		return
	}
}

// currents gives the live replicas of the newest revision that may stay where they are.
func (p *planner) currents() []replica.Replica {
	return slices.DeleteFunc(slices.Clone(p.out.Replicas), func(r replica.Replica) bool { return !r.Live() || !p.isCurrent(r) })
}

// olds gives the other live replicas.
func (p *planner) olds() []replica.Replica {
	return slices.DeleteFunc(slices.Clone(p.out.Replicas), func(r replica.Replica) bool { return !r.Live() || p.isCurrent(r) })
}

// isCurrent says whether r runs the newest revision on a node that exists.
func (p *planner) isCurrent(r replica.Replica) bool {
	return r.Template == p.current && (r.State == replica.Pending || p.hasNode(r.Node))
}

func (p *planner) hasNode(name string) bool {
	return slices.ContainsFunc(p.in.Nodes, func(n placement.Node) bool { return n.Name == name })
}

// oldCount is how many replicas of older revisions there may be at most.
func (p *planner) oldCount() int {
	if s := p.in.Workload.Stable; s != nil {
		return s.Spec.Replicas
	}
	return ready(p.olds())
}

// oldWanted is how many of them are still needed.
func (p *planner) oldWanted() int {
	if p.failed {
		return p.oldCount()
	}
	// What serves may be more than the stable revision wants: replicas of the
	// newest on a node that is going count as old.
	return min(max(p.wanted-ready(p.currents()), 0), max(p.oldCount(), ready(p.olds())))
}

// shrinkCurrent ends replicas above the wanted count, those that serve least first.
func (p *planner) shrinkCurrent() {
	currents := p.currents()
	slices.SortStableFunc(currents, func(a, b replica.Replica) int {
		if d := usefulness(a) - usefulness(b); d != 0 {
			return d
		}
		if c := b.CreateTime.Compare(a.CreateTime); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	reason := "fewer replicas are wanted"
	if p.failed {
		reason = "its spec cannot start"
	}
	for _, r := range currents[:max(0, len(currents)-p.wanted)] {
		p.end(r, reason)
	}
}

// shrinkOld ends old replicas that are no longer needed, those that serve least first.
func (p *planner) shrinkOld() {
	olds := p.olds()
	slices.SortStableFunc(olds, func(a, b replica.Replica) int {
		if d := usefulness(a) - usefulness(b); d != 0 {
			return d
		}
		if _, known := p.templates[a.Template]; !known && a.Template != b.Template {
			return -1
		}
		return a.CreateTime.Compare(b.CreateTime)
	})
	for _, r := range olds[:max(0, len(olds)-p.oldWanted())] {
		p.end(r, "a newer spec has taken over")
	}
}

// dropUseless ends old replicas that neither serve nor may be started again.
func (p *planner) dropUseless() {
	for _, r := range p.olds() {
		_, known := p.templates[r.Template]
		lost := r.State != replica.Pending && !p.hasNode(r.Node)
		if r.State != replica.Ready && (!known || lost) {
			p.end(r, "a newer spec has taken over")
		}
	}
}

// grow adds replicas that are wanted and missing.
func (p *planner) grow() {
	// Old replicas that made room for new ones must not come back, so they are added only where nothing serves.
	nothingServes := len(p.olds()) == 0 && ready(p.currents()) == 0
	if s := p.in.Workload.Stable; s != nil && (p.failed || nothingServes) {
		for range max(0, p.oldWanted()-len(p.olds())) {
			p.add(*s)
		}
	}
	surge := max(1, (p.wanted+surgeShare-1)/surgeShare)
	allowed := max(p.wanted, p.oldCount()) + surge - len(p.olds())
	for range max(0, min(p.wanted, allowed)-len(p.currents())) {
		p.add(p.in.Workload.Revision)
	}
}

func (p *planner) add(revision workload.Revision) {
	p.out.Replicas = append(p.out.Replicas, replica.Replica{
		ID: p.in.NewID(), Template: revision.Spec.Template(), Generation: revision.Generation,
		Demand: revision.Spec.Request, MaxConcurrent: revision.Spec.MaxConcurrent,
		State: replica.Pending, CreateTime: p.in.Now,
	})
}

// restart starts processes whose pause is over.
func (p *planner) restart() {
	for _, r := range p.out.Replicas {
		revision, known := p.templates[r.Template]
		if known && r.Due(p.in.Now) {
			r = r.Started(p.in.Now)
			p.set(r)
			p.out.Actions = append(p.out.Actions, Action{Verb: Start, Replica: r, Revision: revision})
		}
	}
}

func (p *planner) starts() int {
	n := 0
	for _, a := range p.out.Actions {
		if a.Verb == Start {
			n++
		}
	}
	return n
}

func (p *planner) endAll(reason string) {
	for _, r := range p.out.Replicas {
		if r.Live() {
			p.end(r, reason)
		}
	}
}

// end drains what runs and drops what does not.
func (p *planner) end(r replica.Replica, reason string) {
	switch r.State {
	case replica.Pending:
		p.remove(r.ID)
		return
	case replica.BackingOff:
		p.out.Actions = append(p.out.Actions, Action{Verb: Kill, Replica: r})
		p.release(r)
		p.remove(r.ID)
		return
	default: // it has a process
	}
	verb := Kill
	if r.State == replica.Ready {
		verb = Drain
	}
	cause := replica.Cause{Message: reason}
	if !p.hasNode(r.Node) {
		cause = replica.Cause{Reason: replica.NodeGone, Message: "its node " + r.Node + " is no longer part of the compute target; " + reason}
	}
	r = r.Drained(cause)
	p.set(r)
	p.out.Actions = append(p.out.Actions, Action{Verb: verb, Replica: r})
}

func (p *planner) set(r replica.Replica) {
	for i := range p.out.Replicas {
		if p.out.Replicas[i].ID == r.ID {
			p.out.Replicas[i] = r
		}
	}
}

func (p *planner) remove(id string) {
	p.out.Replicas = slices.DeleteFunc(p.out.Replicas, func(r replica.Replica) bool { return r.ID == id })
}

func (p *planner) finish() Decision {
	for _, r := range p.out.Replicas {
		if at := r.NextChange(); !at.IsZero() && (p.out.Wake.IsZero() || at.Before(p.out.Wake)) {
			p.out.Wake = at
		}
	}
	p.out.View.Replicas = p.out.Replicas
	return p.out
}

func ready(replicas []replica.Replica) int {
	n := 0
	for _, r := range replicas {
		if r.State == replica.Ready {
			n++
		}
	}
	return n
}

// usefulness orders replicas by how much is lost with them.
func usefulness(r replica.Replica) int {
	switch r.State {
	case replica.Pending:
		return 0
	case replica.BackingOff:
		return 1
	case replica.Unresponsive:
		return 2
	case replica.Starting:
		return 3
	default:
		return 4
	}
}
