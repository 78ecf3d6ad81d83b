package target_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/compute/internal/target"
)

func now() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

func request(change func(*target.Request)) target.Request {
	r := target.Request{Workspace: "default", ID: "myaks"}
	if change != nil {
		change(&r)
	}
	return r
}

func create(t *testing.T, change func(*target.Request)) (target.Target, target.Cluster) {
	t.Helper()
	got, cluster, _, err := target.Create(request(change), target.Identity{UID: "u1", ClusterID: "c1"}, now())
	if err != nil {
		t.Fatal(err)
	}
	return got, cluster
}

func TestCreate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*target.Request)
		want   []string // parts of the error; none: it is fine
		vcpu   float64
	}{
		{name: "defaults are 3 × Standard_D3_v2 for production", vcpu: 12},
		{name: "twelve in three is the least", change: func(r *target.Request) { r.NodeCount = 3; r.NodeSize = "standard_d3_v2" }, vcpu: 12},
		{name: "two nodes are too few for production, however big", change: func(r *target.Request) { r.NodeCount = 2; r.NodeSize = "Standard_D5_v2" },
			want: []string{"at least 12 vCPU and 3 nodes", "2 × Standard_D5_v2 is 32 vCPU (2 × 16) on 2 nodes", "3 nodes or more would do", "DevTest"}},
		{name: "eleven vCPU are too few", change: func(r *target.Request) { r.NodeCount = 5; r.NodeSize = "Standard_D2_v2" },
			want: []string{"5 × Standard_D2_v2 is 10 vCPU (5 × 2) on 5 nodes", "6 nodes or more"}},
		{name: "dev-test has no minimum", change: func(r *target.Request) {
			r.NodeCount, r.NodeSize, r.Purpose = 1, "Standard_D1_v2", target.DevTest
		}, vcpu: 1},
		{name: "every violation at once", change: func(r *target.Request) { r.ID = "1-"; r.NodeSize = "Standard_X1"; r.NodeCount = -1 },
			want: []string{"compute_target_id", "compute_target.node_size no node size is called", "compute_target.node_count must be 1 or more"}},
		{name: "names end with a letter or digit", change: func(r *target.Request) { r.ID = "abc-" }, want: []string{"compute_target_id"}},
		{name: "names have at most 24 characters", change: func(r *target.Request) { r.ID = strings.Repeat("a", 25) }, want: []string{"compute_target_id"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, cluster, facts, err := target.Create(request(tt.change), target.Identity{UID: "u", ClusterID: "c"}, now())
			if len(tt.want) > 0 {
				if apierr.KindOf(err) != apierr.InvalidArgument {
					t.Fatalf("err = %v", err)
				}
				for _, part := range tt.want {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q does not say %q", err, part)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Capacity().VCPU() != tt.vcpu || got.State != target.Succeeded || cluster.Target != got.Name() || got.Attached {
				t.Errorf("got %+v, %+v", got, cluster)
			}
			if len(facts) != 1 || facts[0].Verb != "created" || facts[0].Sequence != 1 || got.EventSequence != 1 {
				t.Errorf("facts %+v", facts)
			}
		})
	}
}

func TestScale(t *testing.T) {
	five := func(r *target.Request) { r.NodeCount = 5 }
	count := func(n int) target.Change { return target.Change{NodeCount: &n} }
	prod, _ := create(t, five)
	dev, _ := create(t, func(r *target.Request) { r.NodeCount = 2; r.Purpose = target.DevTest })
	tests := []struct {
		name   string
		from   target.Target
		change target.Change
		nodes  int
		want   string
	}{
		{"up", prod, count(6), 6, ""},
		{"down to the minimum", prod, count(3), 3, ""},
		{"not below the minimum", prod, count(2), 0, "2 × Standard_D3_v2 is 8 vCPU"},
		{"dev-test down to one", dev, count(1), 1, ""},
		{"never to none", dev, count(0), 0, "must be 1 or more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, facts, err := target.Update(tt.from, tt.change, now().Add(time.Hour))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("err = %v", err)
				}
				return
			}
			if err != nil || got.NodeCount != tt.nodes || got.Generation != 2 || len(facts) != 1 || facts[0].Verb != "scaled" {
				t.Errorf("got %+v, %+v, %v", got, facts, err)
			}
		})
	}
	if got, facts, err := target.Update(prod, count(5), now().Add(time.Hour)); err != nil || len(facts) != 0 || cmp.Diff(prod, got) != "" {
		t.Errorf("no change must change nothing: %+v, %v, %v", got, facts, err)
	}
}

func TestDetachKeepsTheClusterForOneOtherTarget(t *testing.T) {
	first, cluster := create(t, nil)
	if _, _, _, err := target.Attach(request(nil), cluster, target.Identity{UID: "u2"}, now()); err == nil || !strings.Contains(err.Error(), "is attached as workspaces/default/computeTargets/myaks") {
		t.Fatalf("attaching twice: %v", err)
	}
	free, facts, err := target.Detach(first, cluster, nil, "admin")
	if err != nil || free.Target != "" || facts[0].Verb != "detached" || facts[0].Sequence != 2 {
		t.Fatalf("detach: %+v, %+v, %v", free, facts, err)
	}
	again, taken, _, err := target.Attach(request(func(r *target.Request) { r.ID = "other" }), free, target.Identity{UID: "u2"}, now())
	if err != nil || !again.Attached || again.ClusterID != cluster.ID || taken.Target != again.Name() {
		t.Fatalf("attach: %+v, %+v, %v", again, taken, err)
	}
	if _, err := target.Delete(again, nil, ""); err == nil || !strings.Contains(err.Error(), "detach it") {
		t.Errorf("an attached one must not be deleted: %v", err)
	}
}

func TestAttachObeysTheMinimum(t *testing.T) {
	small := target.Cluster{ID: "c", NodeSize: "Standard_D3_v2", NodeCount: 1}
	if _, _, _, err := target.Attach(request(nil), small, target.Identity{}, now()); apierr.KindOf(err) != apierr.InvalidArgument {
		t.Errorf("err = %v", err)
	}
	dev := request(func(r *target.Request) { r.Purpose = target.DevTest })
	if _, _, _, err := target.Attach(dev, small, target.Identity{}, now()); err != nil {
		t.Error(err)
	}
}

func TestBusyTargetStays(t *testing.T) {
	got, cluster := create(t, nil)
	busy := []string{"workloads/a", "workloads/b"}
	if _, err := target.Delete(got, busy, ""); err == nil || !strings.Contains(err.Error(), "workloads/a, workloads/b") {
		t.Errorf("delete: %v", err)
	}
	if _, _, err := target.Detach(got, cluster, busy[:1], ""); err == nil || !strings.Contains(err.Error(), "workloads/a") {
		t.Errorf("detach: %v", err)
	}
	if facts, err := target.Delete(got, nil, ""); err != nil || facts[0].Verb != "deleted" {
		t.Errorf("idle delete: %v, %v", facts, err)
	}
}

func TestLocal(t *testing.T) {
	local := target.Local("default", 3, "Standard_D3_v2", now())
	if !local.Virtual() || local.Purpose != target.FastProd || local.Capacity().String() != "12 vCPU, 42 GB" {
		t.Errorf("local: %+v", local)
	}
	if small := target.Local("default", 1, "Standard_D3_v2", now()); small.Purpose != target.DevTest {
		t.Errorf("a small local target is for development: %+v", small)
	}
	four := 4
	scaled, _, err := target.Update(local, target.Change{NodeCount: &four}, now())
	if err != nil || scaled.Virtual() || scaled.NodeCount != 4 || scaled.UID != local.UID {
		t.Errorf("scaled: %+v, %v", scaled, err)
	}
	if _, err := target.Delete(local, nil, ""); err == nil || !strings.Contains(err.Error(), "cannot be deleted") {
		t.Errorf("delete: %v", err)
	}
	if _, _, err := target.Detach(local, target.Cluster{}, nil, ""); err == nil || !strings.Contains(err.Error(), "cannot be detached") {
		t.Errorf("detach: %v", err)
	}
}
