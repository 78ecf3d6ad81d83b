package computetarget

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

func document(c *computev1.ComputeTarget) output.Document {
	return output.Document{
		Value: c,
		Names: []string{resourcename.Last(c.GetName())},
		Text: func(t *output.Text) {
			t.Facts(
				output.Fact{Name: "Compute target", Value: resourcename.Last(c.GetName())},
				output.Fact{Name: "State", Value: output.Word(c.GetState(), "STATE_")},
				output.Fact{Name: "Driver", Value: output.Word(c.GetDriver(), "DRIVER_")},
				output.Fact{Name: "Purpose", Value: purposeWord(c.GetPurpose())},
				output.Fact{Name: "Nodes", Value: fmt.Sprintf("%d × %s", c.GetNodeCount(), c.GetNodeSize())},
				output.Fact{Name: "vCPU", Value: used(c.GetAllocated().GetVcpu(), c.GetCapacity().GetVcpu())},
				output.Fact{Name: "Memory", Value: usedBytes(c.GetAllocated(), c.GetCapacity())},
				output.Fact{Name: "GPUs", Value: used(float64(c.GetAllocated().GetGpus()), float64(c.GetCapacity().GetGpus()))},
				output.Fact{Name: "Attached", Value: attachedWord(c.GetAttached())},
				output.Fact{Name: "Cluster id", Value: c.GetClusterId()},
				output.Fact{Name: "Description", Value: c.GetDescription()},
				output.Fact{Name: "Tags", Value: output.Pairs(c.GetTags())},
				output.Fact{Name: "Created", Value: output.Time(c.GetCreateTime())},
			)
			for _, cond := range c.GetConditions() {
				if cond.GetStatus() == resourcev1.Condition_STATUS_FALSE {
					t.Linef("%s: %s", output.Clean(cond.GetType()), output.Clean(cond.GetMessage()))
				}
			}
		},
	}
}

// purposeWord gives the purpose as the flag takes it.
func purposeWord(p computev1.ComputeTarget_Purpose) string {
	if p == computev1.ComputeTarget_PURPOSE_DEV_TEST {
		return "DevTest"
	}
	return "FastProd"
}

func attachedWord(attached bool) string {
	if attached {
		return "yes"
	}
	return ""
}

func used(allocated, capacity float64) string {
	return output.Number(allocated) + " of " + output.Number(capacity)
}

func usedBytes(allocated, capacity *computev1.NodeResources) string {
	return output.Bytes(allocated.GetMemoryBytes()) + " of " + output.Bytes(capacity.GetMemoryBytes())
}

func listing(s *session.Session, targets []*computev1.ComputeTarget) output.Document {
	d := output.Document{List: make([]proto.Message, len(targets)), Names: make([]string, len(targets))}
	rows := make([][]string, len(targets))
	for i, c := range targets {
		d.List[i], d.Names[i] = c, resourcename.Last(c.GetName())
		rows[i] = []string{
			d.Names[i], output.Word(c.GetState(), "STATE_"), strconv.Itoa(int(c.GetNodeCount())), c.GetNodeSize(),
			used(c.GetAllocated().GetVcpu(), c.GetCapacity().GetVcpu()), usedBytes(c.GetAllocated(), c.GetCapacity()),
			used(float64(c.GetAllocated().GetGpus()), float64(c.GetCapacity().GetGpus())), purposeWord(c.GetPurpose()),
			output.Age(c.GetCreateTime(), s.Now()),
		}
	}
	d.Text = func(t *output.Text) {
		t.Table([]string{"NAME", "STATE", "NODES", "SIZE", "VCPU", "MEMORY", "GPUS", "PURPOSE", "AGE"}, rows)
	}
	return d
}

func nodeListing(nodes []*computev1.Node) output.Document {
	d := output.Document{List: make([]proto.Message, len(nodes)), Names: make([]string, len(nodes))}
	rows := make([][]string, len(nodes))
	var devices [][]string
	for i, n := range nodes {
		d.List[i], d.Names[i] = n, resourcename.Last(n.GetName())
		ready := "not ready"
		if n.GetReady() {
			ready = "ready"
		}
		rows[i] = []string{
			d.Names[i], ready, n.GetSize(), used(n.GetAllocated().GetVcpu(), n.GetCapacity().GetVcpu()),
			usedBytes(n.GetAllocated(), n.GetCapacity()),
			used(float64(n.GetAllocated().GetGpus()), float64(n.GetCapacity().GetGpus())), output.OrDash(n.GetMessage()),
		}
		devices = append(devices, deviceRows(d.Names[i], n.GetAccelerators())...)
	}
	d.Text = func(t *output.Text) {
		t.Table([]string{"NODE", "STATE", "SIZE", "VCPU", "MEMORY", "GPUS", "NOTE"}, rows)
		if len(devices) > 0 {
			t.Blank()
			t.Table([]string{"NODE", "ACCELERATOR", "MODEL", "MEMORY", "REPLICA"}, devices)
		}
	}
	return d
}

func deviceRows(node string, accelerators []*computev1.Accelerator) [][]string {
	rows := make([][]string, len(accelerators))
	for i, a := range accelerators {
		id, memory := a.GetId(), "-"
		if !a.GetPresent() {
			id = "declared, not there"
		}
		if a.GetMemoryBytes() > 0 {
			memory = output.Bytes(a.GetMemoryBytes())
		}
		rows[i] = []string{node, output.OrDash(id), output.OrDash(a.GetModel()), memory, output.OrDash(a.GetReplica())}
	}
	return rows
}

func sizeListing(sizes []*computev1.NodeSize) output.Document {
	d := output.Document{List: make([]proto.Message, len(sizes)), Names: make([]string, len(sizes))}
	rows := make([][]string, len(sizes))
	for i, size := range sizes {
		d.List[i], d.Names[i] = size, size.GetId()
		r := size.GetResources()
		rows[i] = []string{
			size.GetId(), output.Number(r.GetVcpu()), output.Bytes(r.GetMemoryBytes()),
			strconv.Itoa(int(r.GetGpus())), output.OrDash(size.GetGpuModel()),
		}
	}
	d.Text = func(t *output.Text) { t.Table([]string{"SIZE", "VCPU", "MEMORY", "GPUS", "GPU MODEL"}, rows) }
	return d
}
