package placement_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

const gb = int64(1) << 30

func node(name string, cpu float64, used float64, devices ...placement.Device) placement.Node {
	return placement.Node{Name: name, Capacity: resource.Of(cpu, 14*gb, len(devices)), Used: resource.Of(used, 0, 0), Devices: devices}
}

func ask(cpu float64, memoryGB int64, gpus int) placement.Ask {
	return placement.Ask{Workload: "w", Replica: "r", Amount: resource.Of(cpu, memoryGB*gb, gpus)}
}

func TestPlace(t *testing.T) {
	there := placement.Device{ID: "GPU-1", Present: true}
	declared := placement.Device{Model: "NVIDIA Tesla K80"}
	tests := []struct {
		name    string
		nodes   []placement.Node
		ask     placement.Ask
		want    placement.Choice
		refusal []string
	}{
		{name: "the emptiest", nodes: []placement.Node{node("node-0", 4, 2), node("node-1", 4, 1)}, ask: ask(1, 1, 0), want: placement.Choice{Node: "node-1"}},
		{name: "the first of equals", nodes: []placement.Node{node("node-0", 4, 0), node("node-1", 4, 0)}, ask: ask(1, 1, 0), want: placement.Choice{Node: "node-0"}},
		{name: "away from its siblings", nodes: []placement.Node{
			{Name: "node-0", Capacity: resource.Of(4, 14*gb, 0), Workload: map[string]int{"w": 1}}, node("node-1", 4, 2),
		}, ask: ask(1, 1, 0), want: placement.Choice{Node: "node-1"}},
		{name: "exactly what is left", nodes: []placement.Node{node("node-0", 4, 3.9)}, ask: ask(0.1, 14, 0), want: placement.Choice{Node: "node-0"}},
		{name: "too much", nodes: []placement.Node{node("node-0", 4, 0.1), node("node-1", 4, 0)}, ask: ask(8, 2, 0),
			refusal: []string{"asked 8 vCPU, 2 GB", "node-0 has 3.9 of 4 vCPU and 14 of 14 GB free", "node-1 has 4 of 4 vCPU"}},
		{name: "a GPU that is there", nodes: []placement.Node{node("node-0", 6, 0), node("node-1", 6, 0, there)}, ask: ask(1, 1, 1),
			want: placement.Choice{Node: "node-1", Devices: []string{"GPU-1"}}},
		{name: "a GPU on paper", nodes: []placement.Node{node("node-0", 6, 0, declared)}, ask: ask(1, 1, 1),
			refusal: []string{"asked 1 vCPU, 1 GB, 1 GPU", "0 of 1 GPUs free (1 only declared, not present)"}},
		{name: "a node that is not ready", nodes: []placement.Node{{Name: "node-0", Capacity: resource.Of(4, gb, 0), NotReady: "powered off"}}, ask: ask(1, 1, 0),
			refusal: []string{"node-0 is not ready (powered off)"}},
		{name: "no nodes", ask: ask(1, 1, 0), refusal: []string{"has no nodes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, refusal := placement.Place(tt.nodes, tt.ask)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (refusal != "") != (len(tt.refusal) > 0) {
				t.Fatalf("refusal %q", refusal)
			}
			for _, part := range tt.refusal {
				if !strings.Contains(refusal, part) {
					t.Errorf("%q does not say %q", refusal, part)
				}
			}
		})
	}
}

func TestADeviceIsLentOnceOnAllTargets(t *testing.T) {
	gpu := placement.Device{ID: "GPU-1", Present: true}
	nodes := []placement.Node{node("a", 6, 0, gpu), node("b", 6, 0, gpu)}
	first := ask(1, 1, 1)
	choice, _ := placement.Place(nodes, first)
	taken := placement.Take(nodes, first, choice)
	if c, refusal := placement.Place(taken, placement.Ask{Workload: "x", Replica: "s", Amount: first.Amount}); refusal == "" {
		t.Fatalf("lent twice: %+v", c)
	}
	if refusal := placement.FitsEmpty(taken, first); refusal != "" {
		t.Errorf("it fits when all is free: %s", refusal)
	}
	if diff := cmp.Diff(nodes[0].Free(), placement.Release(taken, first, choice)[0].Free()); diff != "" {
		t.Errorf("after release (-want +got):\n%s", diff)
	}
}

func TestNeverMoreThanThereIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []placement.Node
		for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			nodes = append(nodes, node(string(rune('a'+i)), 4, 0))
		}
		for range rapid.IntRange(0, 40).Draw(t, "asks") {
			a := ask(float64(rapid.IntRange(0, 50).Draw(t, "tenths"))/10, rapid.Int64Range(0, 6).Draw(t, "gb"), 0)
			choice, refusal := placement.Place(nodes, a)
			if refusal != "" {
				continue
			}
			nodes = placement.Take(nodes, a, choice)
		}
		for _, n := range nodes {
			if !n.Used.Fits(n.Capacity) {
				t.Fatalf("%s has %s of %s taken", n.Name, n.Used, n.Capacity)
			}
		}
	})
}
