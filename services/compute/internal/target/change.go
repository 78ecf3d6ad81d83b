package target

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/compute/internal/fact"
	"github.com/fairlead/fairlead/services/compute/internal/nodesize"
)

const (
	minimumVCPU  = 12
	minimumNodes = 3
)

// minimum says what is missing for the purpose and what would do, or "".
func minimum(p Purpose, size nodesize.Size, nodes int) string {
	if p != FastProd {
		return ""
	}
	have := float64(nodes) * size.Capacity.VCPU()
	if have >= minimumVCPU && nodes >= minimumNodes {
		return ""
	}
	enough := max(minimumNodes, int((minimumVCPU+size.Capacity.VCPU()-1)/size.Capacity.VCPU()))
	return fmt.Sprintf("is too small for the purpose FastProd, which needs at least %d vCPU and %d nodes: %d × %s is %g vCPU (%d × %g) on %s; "+
		"%d nodes or more would do, and DevTest has no minimum", minimumVCPU, minimumNodes,
		nodes, size.ID, have, nodes, size.Capacity.VCPU(), plural(nodes, "node"), enough)
}

// Change is what a caller asks to change; nil means as it is.
type Change struct {
	NodeCount   *int
	Description *string
	Tags        *map[string]string
	Principal   string
}

// Update changes node count, description or tags. The result has the
// generation it had when nothing differs, and no facts.
func Update(t Target, c Change, now time.Time) (Target, []fact.Fact, error) {
	var bad apierr.Violations
	next := t
	if c.Description != nil {
		next.Description = *c.Description
	}
	if c.Tags != nil {
		checkTags(&bad, "compute_target.tags", *c.Tags)
		next.Tags = maps.Clone(*c.Tags)
	}
	if c.NodeCount != nil {
		next.NodeCount = *c.NodeCount
		switch text := minimum(t.Purpose, t.Size(), next.NodeCount); {
		case next.NodeCount < 1:
			bad.Add("compute_target.node_count", "must be 1 or more, not %d", next.NodeCount)
		case text != "" && next.NodeCount < t.NodeCount:
			bad.Add("compute_target.node_count", "%s", text)
		}
	}
	if err := bad.Err(); err != nil {
		return Target{}, nil, err
	}
	scaled := next.NodeCount != t.NodeCount
	if !scaled && next.Description == t.Description && maps.Equal(next.Tags, t.Tags) {
		return t, nil, nil
	}
	next.Generation++
	next.UpdateTime = now
	if scaled {
		next, f := next.happened("scaled", c.Principal, fmt.Sprintf("scaled from %d to %s", t.NodeCount, next.nodes()))
		return next, f, nil
	}
	next, f := next.happened("updated", c.Principal, "description or tags changed")
	return next, f, nil
}

// Detach ends the association and frees the cluster. workloads are those that run on the target.
func Detach(t Target, c Cluster, workloads []string, principal string) (Cluster, []fact.Fact, error) {
	if t.ID == LocalID {
		return Cluster{}, nil, localStays("detached")
	}
	if err := checkIdle(t, workloads, "detached"); err != nil {
		return Cluster{}, nil, err
	}
	c.NodeCount, c.Target = t.NodeCount, ""
	_, f := t.happened("detached", principal, "detached; cluster "+c.ID+" stays and can be attached again")
	return c, f, nil
}

// Delete ends the target and its cluster. workloads are those that run on the target.
func Delete(t Target, workloads []string, principal string) ([]fact.Fact, error) {
	if t.ID == LocalID {
		return nil, localStays("deleted")
	}
	if t.Attached {
		return nil, apierr.New(apierr.FailedPrecondition, "TARGET_ATTACHED",
			"compute target %s was attached, not created: detach it, its cluster %s then stays", t.Name(), t.ClusterID)
	}
	if err := checkIdle(t, workloads, "deleted"); err != nil {
		return nil, err
	}
	_, f := t.happened("deleted", principal, "deleted with its cluster "+t.ClusterID)
	return f, nil
}

func localStays(verb string) error {
	return apierr.New(apierr.FailedPrecondition, "LOCAL_TARGET",
		"the compute target %q is this machine and cannot be %s; it can be scaled", LocalID, verb)
}

func checkIdle(t Target, workloads []string, verb string) error {
	if len(workloads) == 0 {
		return nil
	}
	const named = 5
	list := strings.Join(workloads[:min(named, len(workloads))], ", ")
	if more := len(workloads) - named; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return apierr.New(apierr.FailedPrecondition, "TARGET_IN_USE",
		"compute target %s cannot be %s while %s on it: %s; delete what runs there first", t.Name(), verb,
		map[bool]string{true: "a workload runs", false: "workloads run"}[len(workloads) == 1], list)
}

// happened counts an event of t and describes it.
func (t Target) happened(verb, principal, message string) (Target, []fact.Fact) {
	t.EventSequence++
	return t, []fact.Fact{{
		Resource: "computetarget", Verb: verb, Subject: t.Name(), UID: t.UID, Generation: t.Generation,
		Sequence: t.EventSequence, State: string(t.State), Message: message, Principal: principal,
		Details: map[string]any{"nodeCount": t.NodeCount, "nodeSize": t.NodeSize, "purpose": string(t.Purpose), "clusterId": t.ClusterID},
	}}
}

func (t Target) nodes() string {
	return fmt.Sprintf("%s of %s (%s together)", plural(t.NodeCount, "node"), t.NodeSize, t.Capacity())
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
