package plan

import (
	"slices"

	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
)

// place finds nodes for pending replicas and starts them there.
func (p *planner) place() {
	p.out.View.NoRoom, p.out.View.NeverFits = "", false
	for _, r := range slices.Clone(p.out.Replicas) {
		if r.State != replica.Pending || p.settle(r) {
			continue
		}
		_, refusal := placement.Place(p.out.Nodes, p.ask(r))
		r.Cause = replica.Cause{Reason: "NoRoom", Message: refusal}
		switch {
		case p.fitsAfter(r, p.draining()):
			r.Cause = replica.Cause{Reason: "WaitingForRoom", Message: "waits for room that replicas which are ending still take"}
		case p.isCurrent(r) && p.makeRoom(r):
			if p.settle(r) {
				continue
			}
			r.Cause = replica.Cause{Reason: "WaitingForRoom", Message: "waits for a replica of the older spec to end: there is no room for both"}
		case p.isCurrent(r) && p.starting() && p.fitsAfter(r, append(p.draining(), p.olds()...)):
			r.Cause = replica.Cause{Reason: "WaitingForRoom", Message: "waits for its turn: there is no room for old and new replicas together"}
		case p.isCurrent(r):
			p.out.View.NoRoom = refusal
			p.out.View.NeverFits = placement.FitsEmpty(p.out.Nodes, p.ask(r)) != ""
		}
		p.set(r)
	}
}

// settle starts r on a node if one has room.
func (p *planner) settle(r replica.Replica) bool {
	choice, refusal := placement.Place(p.out.Nodes, p.ask(r))
	if refusal != "" {
		return false
	}
	p.out.Nodes = placement.Take(p.out.Nodes, p.ask(r), choice)
	r.Node, r.Devices, r.Cause = choice.Node, choice.Devices, replica.Cause{}
	r = r.Started(p.in.Now)
	p.set(r)
	p.out.Actions = append(p.out.Actions, Action{Verb: Start, Replica: r, Revision: p.templates[r.Template]})
	return true
}

// makeRoom ends one old replica when r then fits and enough go on serving.
func (p *planner) makeRoom(r replica.Replica) bool {
	olds := p.olds()
	slices.SortStableFunc(olds, func(a, b replica.Replica) int { return usefulness(a) - usefulness(b) })
	starting := p.starting()
	serving := ready(p.currents()) + ready(olds)
	least := max(1, min(p.wanted, p.oldCount())-1)
	for _, old := range olds {
		if old.State == replica.Pending || !p.fitsAfter(r, append(p.draining(), old)) {
			continue
		}
		left := serving
		if old.State == replica.Ready {
			left--
		}
		if left < least || (starting && old.State == replica.Ready) {
			continue
		}
		p.end(old, "there is no room for it beside its successor")
		return true
	}
	return false
}

// fitsAfter says whether r would find a node once the given replicas are gone.
func (p *planner) fitsAfter(r replica.Replica, gone []replica.Replica) bool {
	if len(gone) == 0 {
		return false
	}
	nodes := p.out.Nodes
	for _, g := range gone {
		nodes = placement.Release(nodes, p.ask(g), placement.Choice{Node: g.Node, Devices: g.Devices})
	}
	_, refusal := placement.Place(nodes, p.ask(r))
	return refusal == ""
}

// starting says whether a replica of the newest revision is on its way.
func (p *planner) starting() bool {
	return slices.ContainsFunc(p.currents(), func(c replica.Replica) bool { return c.State == replica.Starting })
}

func (p *planner) draining() []replica.Replica {
	return slices.DeleteFunc(slices.Clone(p.out.Replicas), func(r replica.Replica) bool { return r.State != replica.Draining })
}

func (p *planner) release(r replica.Replica) {
	p.out.Nodes = placement.Release(p.out.Nodes, p.ask(r), placement.Choice{Node: r.Node, Devices: r.Devices})
}

func (p *planner) ask(r replica.Replica) placement.Ask {
	return placement.Ask{Workload: p.in.Workload.Name(), Replica: r.ID, Amount: r.Demand}
}
