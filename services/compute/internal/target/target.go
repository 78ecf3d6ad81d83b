// Package target decides about compute targets and the clusters behind them:
// what may be created, attached, changed, detached and deleted. Its functions
// take the present state and return the next one with the facts to publish, or
// an *apierr.Error. It is pure; values are immutable and safe for concurrent use.
package target

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/compute/internal/fact"
	"github.com/fairlead/fairlead/services/compute/internal/nodesize"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

// LocalID is the id of the target that every workspace has from the start.
const LocalID = "local"

// DefaultNodes is the node count of a target that gives none.
const DefaultNodes = 3

// Purpose is what a cluster is for.
type Purpose string

// The purposes.
const (
	FastProd Purpose = "FAST_PROD"
	DevTest  Purpose = "DEV_TEST"
)

// State is where a target is in its life. Changes of a local target are
// complete when they are stored, so there are no others yet.
type State string

// Succeeded is the state of a target that takes workloads.
const Succeeded State = "SUCCEEDED"

// Target is a compute target as it is stored.
type Target struct {
	Workspace     string            `json:"workspace"`
	ID            string            `json:"id"`
	UID           string            `json:"uid"`
	Description   string            `json:"description,omitempty"`
	Tags          map[string]string `json:"tags,omitempty"`
	Purpose       Purpose           `json:"purpose"`
	NodeSize      string            `json:"nodeSize"`
	NodeCount     int               `json:"nodeCount"`
	Attached      bool              `json:"attached,omitempty"`
	ClusterID     string            `json:"clusterId"`
	State         State             `json:"state"`
	Generation    int64             `json:"generation"`
	CreateTime    time.Time         `json:"createTime"`
	UpdateTime    time.Time         `json:"updateTime"`
	EventSequence int64             `json:"eventSequence"`
}

// Cluster is what is behind a target. It outlives a detach.
type Cluster struct {
	ID        string `json:"id"`
	NodeSize  string `json:"nodeSize"`
	NodeCount int    `json:"nodeCount"`
	// Target is the full name of the target that it is attached as; empty when it is free.
	Target string `json:"target,omitempty"`
}

// Name gives the full resource name.
func (t Target) Name() string { return Name(t.Workspace, t.ID) }

// Name gives the full resource name of a target.
func Name(workspace, id string) string {
	return resourcename.Format("workspaces", workspace, "computeTargets", id)
}

// Size gives the node size; the catalogue's default if it no longer has it.
func (t Target) Size() nodesize.Size {
	size, err := nodesize.Find("node_size", t.NodeSize)
	if err != nil {
		size, _ = nodesize.Find("node_size", nodesize.Default)
	}
	return size
}

// Capacity gives all nodes together.
func (t Target) Capacity() resource.Amount { return t.Size().Capacity.Times(t.NodeCount) }

// Virtual says whether t is the local target as it is before its first change.
func (t Target) Virtual() bool { return t.ID == LocalID && t.EventSequence == 0 }

// Local gives the local target of a workspace as it is before its first change.
func Local(workspace string, nodes int, size string, since time.Time) Target {
	sum := sha256.Sum256([]byte(Name(workspace, LocalID)))
	return Target{
		Workspace: workspace, ID: LocalID, UID: hex.EncodeToString(sum[:13]),
		Description: "This machine.",
		Purpose:     localPurpose(nodes, size), NodeSize: size, NodeCount: nodes,
		ClusterID: LocalID, State: Succeeded, Generation: 1,
		CreateTime: since, UpdateTime: since,
	}
}

// localPurpose is production wherever the configured nodes allow it.
func localPurpose(nodes int, size string) Purpose {
	found, err := nodesize.Find("node_size", size)
	if err != nil || minimum(FastProd, found, nodes) != "" {
		return DevTest
	}
	return FastProd
}

// Request is what a caller asks for on create.
type Request struct {
	Workspace, ID string
	Description   string
	Tags          map[string]string
	Purpose       Purpose
	NodeSize      string
	NodeCount     int
	Principal     string
}

// Identity holds the names that a new target is given.
type Identity struct{ UID, ClusterID string }

// Create makes a target and its cluster.
func Create(r Request, identity Identity, now time.Time) (Target, Cluster, []fact.Fact, error) {
	var bad apierr.Violations
	checkID(&bad, r.ID)
	checkTags(&bad, "compute_target.tags", r.Tags)
	if r.NodeSize == "" {
		r.NodeSize = nodesize.Default
	}
	if r.NodeCount == 0 {
		r.NodeCount = DefaultNodes
	}
	if r.NodeCount < 0 {
		bad.Add("compute_target.node_count", "must be 1 or more, not %d", r.NodeCount)
	}
	if r.Purpose == "" {
		r.Purpose = FastProd
	}
	size, err := nodesize.Find("compute_target.node_size", r.NodeSize)
	if err != nil {
		bad = append(bad, violationsOf(err)...)
	} else if text := minimum(r.Purpose, size, r.NodeCount); text != "" && r.NodeCount > 0 {
		bad.Add("compute_target.node_count", "%s", text)
	}
	if err := bad.Err(); err != nil {
		return Target{}, Cluster{}, nil, err
	}
	t := Target{
		Workspace: r.Workspace, ID: r.ID, UID: identity.UID, Description: r.Description, Tags: maps.Clone(r.Tags),
		Purpose: r.Purpose, NodeSize: size.ID, NodeCount: r.NodeCount, ClusterID: identity.ClusterID,
		State: Succeeded, Generation: 1, CreateTime: now, UpdateTime: now,
	}
	c := Cluster{ID: t.ClusterID, NodeSize: t.NodeSize, NodeCount: t.NodeCount, Target: t.Name()}
	t, f := t.happened("created", r.Principal, "created with "+t.nodes())
	return t, c, f, nil
}

// Attach makes a target of a cluster that exists. Only ID, purpose,
// description and tags of the request count.
func Attach(r Request, c Cluster, identity Identity, now time.Time) (Target, Cluster, []fact.Fact, error) {
	var bad apierr.Violations
	checkID(&bad, r.ID)
	checkTags(&bad, "tags", r.Tags)
	if r.Purpose == "" {
		r.Purpose = FastProd
	}
	size, err := nodesize.Find("cluster_id", c.NodeSize)
	if err != nil {
		bad = append(bad, violationsOf(err)...)
	} else if text := minimum(r.Purpose, size, c.NodeCount); text != "" {
		bad.Add("cluster_id", "%s", text)
	}
	if err := bad.Err(); err != nil {
		return Target{}, Cluster{}, nil, err
	}
	if c.Target != "" {
		return Target{}, Cluster{}, nil, apierr.New(apierr.FailedPrecondition, "CLUSTER_ATTACHED",
			"cluster %s is attached as %s, and a cluster can be attached once only: detach that target first", c.ID, c.Target).
			With("compute_target", c.Target)
	}
	t := Target{
		Workspace: r.Workspace, ID: r.ID, UID: identity.UID, Description: r.Description, Tags: maps.Clone(r.Tags),
		Purpose: r.Purpose, NodeSize: c.NodeSize, NodeCount: c.NodeCount, Attached: true, ClusterID: c.ID,
		State: Succeeded, Generation: 1, CreateTime: now, UpdateTime: now,
	}
	c.Target = t.Name()
	t, f := t.happened("attached", r.Principal, "cluster "+c.ID+" attached with "+t.nodes())
	return t, c, f, nil
}

var idPattern = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{1,22}[a-zA-Z0-9]$`)

func checkID(bad *apierr.Violations, id string) {
	if !idPattern.MatchString(id) {
		bad.Add("compute_target_id", "must start with a letter, hold only letters, digits and dashes, end with a letter or digit, and be 3 to 24 characters long")
	}
}

func checkTags(bad *apierr.Violations, field string, tags map[string]string) {
	const most = 64
	if len(tags) > most {
		bad.Add(field, "may hold at most %d tags, not %d", most, len(tags))
	}
	if _, ok := tags[""]; ok {
		bad.Add(field, "may not hold an empty key")
	}
}

func violationsOf(err error) []apierr.Violation {
	return apierr.FromStatus(err).Violations
}
