// Package placement chooses the node and the accelerators of a replica: filter,
// score, pick. A refusal says what was asked and what each node has free. It is
// pure.
package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

// Device is an accelerator of a node.
type Device struct {
	ID          string // empty while it is only declared
	Model       string
	MemoryBytes int64
	Present     bool
	Replica     string // who has it; empty when it is free
}

// Node is a node with what is taken of it.
type Node struct {
	Name     string // its last segment: "node-0"
	Capacity resource.Amount
	Used     resource.Amount
	NotReady string // why nothing can be placed on it; empty when it is ready
	Devices  []Device
	Workload map[string]int // how many replicas of each workload it has
}

// Ask is what a replica takes.
type Ask struct {
	Workload string
	Replica  string
	Amount   resource.Amount
}

// Choice is where a replica goes.
type Choice struct {
	Node    string
	Devices []string
}

// weights of the scores; each score is between 0 and 1.
const (
	spreadWeight = 2.0
	freeWeight   = 1.0
)

// Place chooses a node for the replica. The refusal is empty when there is one.
func Place(nodes []Node, ask Ask) (choice Choice, refusal string) {
	best, found := -1, -1.0
	for i, n := range nodes {
		if n.NotReady != "" || !ask.Amount.Fits(n.Free()) {
			continue
		}
		if s := spreadWeight*spread(n, ask) + freeWeight*emptiness(n, ask); s > found {
			best, found = i, s
		}
	}
	if best < 0 {
		return Choice{}, explain(nodes, ask)
	}
	return Choice{Node: nodes[best].Name, Devices: nodes[best].freeDevices(ask.Amount.GPUs)}, ""
}

// FitsEmpty says why the replica would fit on no node even if all were empty, or "".
func FitsEmpty(nodes []Node, ask Ask) string {
	empty := make([]Node, len(nodes))
	for i, n := range nodes {
		n.Used, n.Workload = resource.Amount{}, nil
		n.Devices = slices.Clone(n.Devices)
		for d := range n.Devices {
			n.Devices[d].Replica = ""
		}
		empty[i] = n
	}
	_, refusal := Place(empty, ask)
	return refusal
}

// Take gives a copy of nodes with the replica on its node.
func Take(nodes []Node, ask Ask, c Choice) []Node { return book(nodes, ask, c, 1) }

// Release gives a copy of nodes without the replica.
func Release(nodes []Node, ask Ask, c Choice) []Node { return book(nodes, ask, c, -1) }

func book(nodes []Node, ask Ask, c Choice, count int) []Node {
	out := slices.Clone(nodes)
	for i, n := range out {
		if n.Name != c.Node {
			continue
		}
		perWorkload := map[string]int{ask.Workload: n.Workload[ask.Workload] + count}
		for k, v := range n.Workload {
			if k != ask.Workload {
				perWorkload[k] = v
			}
		}
		n.Workload = perWorkload
		if count > 0 {
			n.Used = n.Used.Plus(ask.Amount)
		} else {
			n.Used = n.Used.Minus(ask.Amount)
		}
		out[i] = n
	}
	return lend(out, ask, c, count > 0)
}

// lend marks devices wherever they are listed: targets on one machine list the same ones.
func lend(nodes []Node, ask Ask, c Choice, taken bool) []Node {
	if len(c.Devices) == 0 {
		return nodes
	}
	for i := range nodes {
		nodes[i].Devices = slices.Clone(nodes[i].Devices)
		for d, device := range nodes[i].Devices {
			if !slices.Contains(c.Devices, device.ID) || device.ID == "" {
				continue
			}
			if taken {
				nodes[i].Devices[d].Replica = ask.Replica
			} else if device.Replica == ask.Replica {
				nodes[i].Devices[d].Replica = ""
			}
		}
	}
	return nodes
}

// Free gives what is not taken; only devices that are there and free count.
func (n Node) Free() resource.Amount {
	free := n.Capacity.Minus(n.Used)
	free.GPUs = 0
	for _, d := range n.Devices {
		if d.Present && d.Replica == "" {
			free.GPUs++
		}
	}
	return free
}

func (n Node) freeDevices(count int) []string {
	var out []string
	for _, d := range n.Devices {
		if len(out) < count && d.Present && d.Replica == "" {
			out = append(out, d.ID)
		}
	}
	return out
}

// spread prefers nodes with fewer replicas of the same workload.
func spread(n Node, ask Ask) float64 { return 1 / float64(1+n.Workload[ask.Workload]) }

// emptiness prefers the node that keeps most free in the scarcer respect.
func emptiness(n Node, ask Ask) float64 {
	left := n.Free().Minus(ask.Amount)
	return min(share(left.MilliCPU, n.Capacity.MilliCPU), share(left.MemoryBytes, n.Capacity.MemoryBytes))
}

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// explain says what was asked and what each node has.
func explain(nodes []Node, ask Ask) string {
	const named = 8
	if len(nodes) == 0 {
		return fmt.Sprintf("no room for a replica: asked %s; the compute target has no nodes", ask.Amount)
	}
	sorted := slices.SortedStableFunc(slices.Values(nodes), func(a, b Node) int { return cmp.Compare(len(a.Name), len(b.Name)) })
	var parts []string
	for _, n := range sorted[:min(named, len(sorted))] {
		parts = append(parts, n.describe(ask))
	}
	text := strings.Join(parts, "; ")
	if more := len(sorted) - named; more > 0 {
		text += fmt.Sprintf("; and %d more nodes without room", more)
	}
	return fmt.Sprintf("no room for a replica: asked %s; %s", ask.Amount, text)
}

func (n Node) describe(ask Ask) string {
	if n.NotReady != "" {
		return n.Name + " is not ready (" + n.NotReady + ")"
	}
	free := n.Free()
	text := fmt.Sprintf("%s has %s of %s vCPU and %s of %s free", n.Name,
		resource.CPU(free.MilliCPU), resource.CPU(n.Capacity.MilliCPU),
		strings.TrimSuffix(resource.Memory(free.MemoryBytes), " GB"), resource.Memory(n.Capacity.MemoryBytes))
	if ask.Amount.GPUs == 0 {
		return text
	}
	present := 0
	for _, d := range n.Devices {
		if d.Present {
			present++
		}
	}
	text += fmt.Sprintf(", %d of %d GPUs free", free.GPUs, len(n.Devices))
	if present < len(n.Devices) {
		text += fmt.Sprintf(" (%d only declared, not present)", len(n.Devices)-present)
	}
	return text
}
