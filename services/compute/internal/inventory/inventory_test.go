package inventory_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/compute/internal/inventory"
	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
	"github.com/fairlead/fairlead/services/compute/internal/target"
)

func TestDevicesFillDeclaredPlaces(t *testing.T) {
	gpus := target.Target{Workspace: "default", ID: "gpus", NodeSize: "Standard_NC6", NodeCount: 2}
	present := placement.Device{ID: "GPU-1", Model: "NVIDIA H100 80GB HBM3", Present: true}
	elsewhere := inventory.Occupant{Target: "workspaces/default/computeTargets/other", Workload: "w", Replica: replica.Replica{ID: "r", Node: "node-0", Devices: []string{"GPU-1"}, Demand: resource.Of(1, 1, 1)}}
	got := inventory.Nodes(gpus, []placement.Device{present}, []inventory.Occupant{elsewhere})
	taken := present
	taken.Replica = "r"
	if diff := cmp.Diff([]placement.Device{taken}, got[0].Devices); diff != "" {
		t.Errorf("node-0 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]placement.Device{{Model: "NVIDIA Tesla K80"}}, got[1].Devices); diff != "" {
		t.Errorf("node-1 (-want +got):\n%s", diff)
	}
	if got[0].Used != (resource.Amount{}) {
		t.Errorf("another target's replica takes no declared room: %s", got[0].Used)
	}
}

func TestOccupantsTakeRoom(t *testing.T) {
	local := target.Local("default", 3, "Standard_D3_v2", time.Time{})
	o := inventory.Occupant{Target: local.Name(), Workload: "w", Replica: replica.Replica{ID: "r", Node: "node-1", Demand: resource.Of(1.5, 1<<30, 0)}}
	gone := o
	gone.Replica.Node = "node-7"
	got := inventory.Nodes(local, nil, []inventory.Occupant{o, gone})
	if len(got) != 3 || got[1].Used.String() != "1.5 vCPU, 1 GB" || got[1].Workload["w"] != 1 {
		t.Errorf("got %+v", got)
	}
	if sum := inventory.Allocated(got); sum != o.Replica.Demand {
		t.Errorf("allocated %s", sum)
	}
}
