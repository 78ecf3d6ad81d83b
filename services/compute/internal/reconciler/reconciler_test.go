package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/memory"
	"github.com/fairlead/fairlead/services/compute/internal/board"
	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/reconciler"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
	"github.com/fairlead/fairlead/services/compute/internal/state"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// machine is a driver whose processes do what the test says.
type machine struct {
	ready, changes chan struct{}

	mu        sync.Mutex
	processes map[string]driver.Process
	kept      driver.Keep // by the last sweep
}

func newMachine() *machine {
	m := &machine{ready: make(chan struct{}), changes: make(chan struct{}, 1), processes: map[string]driver.Process{}}
	close(m.ready)
	return m
}

func (m *machine) Ready() <-chan struct{}           { return m.ready }
func (m *machine) Changes() <-chan struct{}         { return m.changes }
func (m *machine) Accelerators() []placement.Device { return nil }

func (m *machine) Adjust(id string, settings workload.Settings) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.processes[id]; ok {
		p.Spec.Liveness, p.Spec.DrainTimeout = settings.Liveness, settings.DrainTimeout
		m.processes[id] = p
	}
}

func (m *machine) Sweep(keep driver.Keep) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = keep
}

func (m *machine) Start(l driver.Launch) {
	m.set(l.Replica, func(p *driver.Process) {
		*p = driver.Process{Launch: l, Observation: replica.Observation{Phase: replica.Launched, Process: l.Process, StartTime: time.Now()}}
	})
}

func (m *machine) Stop(id string, _ bool) {
	m.set(id, func(p *driver.Process) { p.Stopping, p.Phase = true, replica.Ended })
}

func (m *machine) Forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.processes, id)
}

func (m *machine) Processes() []driver.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []driver.Process
	for _, p := range m.processes {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b driver.Process) int { return strings.Compare(a.Replica, b.Replica) })
	return out
}

func (m *machine) set(id string, change func(*driver.Process)) {
	m.mu.Lock()
	p := m.processes[id]
	change(&p)
	m.processes[id] = p
	m.mu.Unlock()
	select {
	case m.changes <- struct{}{}:
	default:
	}
}

// each changes all processes.
func (m *machine) each(change func(*driver.Process)) {
	for _, p := range m.Processes() {
		m.set(p.Replica, change)
	}
}

func answer(p *driver.Process) {
	p.Phase, p.Address, p.ReadySince = replica.Answering, "127.0.0.1:1", time.Now()
}

// bench is a reconciler on a machine, within a bubble of time.
type bench struct {
	t       *testing.T
	store   *flaky
	machine *machine
	state   *state.State
	board   *board.Board
	stop    func()
}

// flaky is a store whose writes can be made to fail.
type flaky struct {
	*memory.Store
	mu   sync.Mutex
	down bool
}

func (f *flaky) Apply(ctx context.Context, b store.Batch) (store.Revision, error) {
	f.mu.Lock()
	down := f.down
	f.mu.Unlock()
	if down {
		return 0, fmt.Errorf("%w: it was switched off", store.ErrUnavailable)
	}
	return f.Store.Apply(ctx, b)
}

func (f *flaky) switchOff(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, store: &flaky{Store: memory.New()}, machine: newMachine()}
	b.start()
	return b
}

func (b *bench) start() {
	log := slog.New(slog.DiscardHandler)
	b.state = state.New(state.Config{LocalNodes: 3, LocalNodeSize: "Standard_D3_v2"}, b.store, log)
	b.board = board.New()
	loop := reconciler.New(reconciler.Deps{Logger: log, State: b.state, Driver: b.machine, Board: b.board, Clock: time.Now, Holder: "me"})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- b.state.Run(ctx) }()
	go func() { ended <- loop.Run(ctx) }()
	b.stop = func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				b.t.Errorf("Run = %v", err)
			}
		}
	}
	synctest.Wait()
}

func (b *bench) apply(replicas int) {
	b.t.Helper()
	spec := workload.Spec{Replicas: replicas, EntryScript: "s.py", Request: resource.Of(1, 1<<30, 0), Source: []workload.File{{Path: "s.py", SHA256: strings.Repeat("a", 64)}}}
	old, err := b.state.Workload(b.t.Context(), "default", "local", "w")
	next, facts, applyErr := workload.Create(workload.Identity{Workspace: "default", Target: "local", ID: "w", UID: "uid"}, spec, time.Now().UTC())
	if err == nil {
		next, facts, applyErr = workload.Apply(old.Value, spec, time.Now().UTC())
	}
	if applyErr != nil {
		b.t.Fatal(applyErr)
	}
	if err := b.state.Commit(b.t.Context(), time.Now(), facts, store.Batch{Ops: []store.Op{state.PutWorkload(next, old.Revision)}}); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) stored() workload.Workload {
	b.t.Helper()
	w, err := b.state.Workload(b.t.Context(), "default", "local", "w")
	if err != nil {
		b.t.Fatal(err)
	}
	return w.Value
}

func (b *bench) verbs() []string {
	var out []string
	for _, e := range b.store.Events() {
		out = append(out, e.Resource+"."+e.Verb)
	}
	return out
}

func (b *bench) expect(what string, state workload.State, events ...string) {
	b.t.Helper()
	if got := b.stored(); got.State != state {
		b.t.Fatalf("%s: %s (%s)", what, got.State, got.Cause.Message)
	}
	if got := b.verbs(); !slices.Equal(got, events) {
		b.t.Fatalf("%s: events %v", what, got)
	}
}

func TestLifeOfAWorkload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer func() { b.stop() }()
		b.apply(2)
		if n := len(b.machine.Processes()); n != 2 {
			t.Fatalf("%d processes", n)
		}
		b.machine.each(answer)
		synctest.Wait()
		b.expect("ready", workload.Healthy, "workload.applied", "replica.readied", "replica.readied", "workload.state-changed")

		one := b.machine.Processes()[0].Replica
		b.machine.set(one, func(p *driver.Process) { p.Phase, p.Cause.Message = replica.Ended, "killed" })
		synctest.Wait()
		if p := b.machine.Processes()[0]; p.Phase != replica.Ended {
			t.Error("it must wait before it starts again")
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if p := b.machine.Processes()[0]; p.Launch.Process != 1 || p.Phase != replica.Launched {
			t.Errorf("restarted: %+v", p)
		}
		b.apply(0)
		if n := len(b.machine.Processes()); n != 0 {
			t.Errorf("%d processes are left", n)
		}
	})
}

func TestARestartOfTheReconcilerIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer func() { b.stop() }()
		b.apply(1)
		b.machine.each(answer)
		synctest.Wait()
		before, stored := b.verbs(), b.stored()
		b.stop()
		b.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		if after := b.verbs(); !slices.Equal(before, after) {
			t.Errorf("events %v", after[len(before):])
		}
		if b.stored().EventSequence != stored.EventSequence || len(b.machine.Processes()) != 1 {
			t.Errorf("stored %+v", b.stored())
		}
	})
}

func TestReplicasAreLookedAfterWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer func() { b.stop() }()
		b.apply(1)
		b.machine.each(answer)
		synctest.Wait()
		b.store.switchOff(true)
		b.machine.each(func(p *driver.Process) { p.Phase = replica.Ended })
		time.Sleep(30 * time.Second) // the lease is lost meanwhile
		synctest.Wait()
		p := b.machine.Processes()[0]
		if p.Launch.Process != 1 || p.Phase != replica.Launched {
			t.Fatalf("it must be restarted: %+v", p)
		}
		b.machine.each(answer)
		synctest.Wait()
		if e, ok := b.board.Get("workspaces/default/computeTargets/local/workloads/w"); !ok || e.Replicas[0].State != replica.Ready {
			t.Errorf("the board shows %+v", e)
		}
		b.store.switchOff(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		b.expect("afterwards", workload.Healthy, "workload.applied", "replica.readied", "workload.state-changed", "replica.readied")
	})
}

func TestUnknownProcessesAreEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer func() { b.stop() }()
		b.machine.Start(driver.Launch{Replica: "stray", WorkloadUID: "gone"})
		synctest.Wait()
		if left := b.machine.Processes(); len(left) != 0 {
			t.Errorf("left: %+v", left)
		}
	})
}

func TestDeletionEndsWithTheLastReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer func() { b.stop() }()
		b.apply(1)
		b.machine.each(answer)
		synctest.Wait()
		old, err := b.state.Workload(t.Context(), "default", "local", "w")
		if err != nil {
			t.Fatal(err)
		}
		next, facts := workload.Delete(old.Value, time.Now())
		if err := b.state.Commit(t.Context(), time.Now(), facts, store.Batch{Ops: []store.Op{state.PutWorkload(next, old.Revision)}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := b.store.Get(t.Context(), "workloads/default/local/w"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("stored: %v", err)
		}
		if got := b.verbs(); got[len(got)-1] != "workload.deleted" || len(b.machine.Processes()) != 0 {
			t.Errorf("events %v", got)
		}
	})
}
