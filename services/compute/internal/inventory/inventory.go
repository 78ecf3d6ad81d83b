// Package inventory tells which nodes a compute target has and what is taken of
// them. It is pure.
package inventory

import (
	"fmt"
	"slices"

	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
	"github.com/fairlead/fairlead/services/compute/internal/target"
)

// Occupant is a replica that takes room on a machine.
type Occupant struct {
	Target   string // full name
	Workload string // full name
	Replica  replica.Replica
}

// Nodes gives the nodes of a target on one machine with these devices. Devices
// fill the declared places in order; places beyond them are declared only. All
// occupants of the machine count for devices, those of the target for the rest.
func Nodes(t target.Target, devices []placement.Device, occupants []Occupant) []placement.Node {
	size := t.Size()
	owners := map[string]string{}
	for _, o := range occupants {
		for _, id := range o.Replica.Devices {
			owners[id] = o.Replica.ID
		}
	}
	rest := slices.Clone(devices)
	nodes := make([]placement.Node, t.NodeCount)
	for i := range nodes {
		nodes[i] = placement.Node{Name: NodeName(i), Capacity: size.Capacity, Workload: map[string]int{}}
		for range size.Capacity.GPUs {
			device := placement.Device{Model: size.GPUModel}
			if len(rest) > 0 {
				device, rest = rest[0], rest[1:]
				device.Replica = owners[device.ID]
			}
			nodes[i].Devices = append(nodes[i].Devices, device)
		}
	}
	for _, o := range occupants {
		if o.Target != t.Name() || o.Replica.Node == "" {
			continue
		}
		for i := range nodes {
			if nodes[i].Name == o.Replica.Node {
				nodes[i].Used = nodes[i].Used.Plus(o.Replica.Demand)
				nodes[i].Workload[o.Workload]++
			}
		}
	}
	return nodes
}

// Allocated gives what is taken of all nodes.
func Allocated(nodes []placement.Node) resource.Amount {
	var sum resource.Amount
	for _, n := range nodes {
		sum = sum.Plus(n.Used)
	}
	return sum
}

// NodeName gives the name of the i-th node.
func NodeName(i int) string { return fmt.Sprintf("node-%d", i) }
