package board_test

import (
	"testing"

	"github.com/fairlead/fairlead/services/compute/internal/board"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func entry(id string, states ...replica.State) board.Entry {
	e := board.Entry{Workload: workload.Workload{Workspace: "w", Target: "t", ID: id}}
	for _, s := range states {
		e.Replicas = append(e.Replicas, replica.Replica{ID: string(s), State: s, Node: "node-0"})
	}
	return e
}

func TestWatchersGetTheNewestOfEach(t *testing.T) {
	b := board.New()
	b.Show([]board.Entry{entry("a", replica.Starting), entry("b")})
	<-b.Filled()
	w := b.Watch()
	defer w.Close()
	if changed, gone := w.Take(); len(changed) != 2 || len(gone) != 0 {
		t.Fatalf("at first: %v, %v", changed, gone)
	}
	b.Show([]board.Entry{entry("a", replica.Starting), entry("b")})
	select {
	case <-w.Ready():
		t.Error("nothing has changed")
	default:
	}
	b.Show([]board.Entry{entry("a", replica.Unresponsive), entry("b")})
	b.Show([]board.Entry{entry("a", replica.Ready)})
	<-w.Ready()
	changed, gone := w.Take()
	if len(changed) != 1 || changed[0].Replicas[0].State != replica.Ready || len(gone) != 1 || gone[0] != entry("b").Workload.Name() {
		t.Errorf("then: %v, %v", changed, gone)
	}
	if o := b.Occupants(); len(o) != 1 || o[0].Target != "workspaces/w/computeTargets/t" {
		t.Errorf("occupants: %+v", o)
	}
	if _, ok := b.Get(entry("b").Workload.Name()); ok {
		t.Error("b is gone")
	}
}
