package lifecycle_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/platform/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal notes what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// part is ready as soon as it runs, unless it is slow.
type part struct {
	name    string
	journal *journal
	ready   chan struct{}
	slow    bool
	fail    chan error
}

func newPart(name string, j *journal) *part {
	return &part{name: name, journal: j, ready: make(chan struct{}), fail: make(chan error, 1)}
}

func (p *part) Ready() <-chan struct{} { return p.ready }

func (p *part) Run(ctx context.Context) error {
	p.journal.add("start " + p.name)
	if !p.slow {
		close(p.ready)
	}
	defer p.journal.add("stop " + p.name)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-p.fail:
		return err
	}
}

func members(parts ...*part) []lifecycle.Member {
	var out []lifecycle.Member
	for _, p := range parts {
		out = append(out, lifecycle.Member{Name: p.name, Component: p})
	}
	return out
}

func TestStartsInOrderAndStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		a, b, c := newPart("a", j), newPart("b", j), newPart("c", j)
		b.slow = true
		g := lifecycle.NewGroup(members(a, b, c)...)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		synctest.Wait()
		if diff := cmp.Diff([]string{"start a", "start b"}, j.lines); diff != "" {
			t.Fatalf("c must wait for b (-want +got):\n%s", diff)
		}
		close(b.ready)
		<-g.Ready()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
		want := []string{"start a", "start b", "start c", "stop c", "stop b", "stop a"}
		if diff := cmp.Diff(want, j.lines); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestFirstFailureStopsAll(t *testing.T) {
	j := &journal{}
	a, b := newPart("a", j), newPart("b", j)
	g := lifecycle.NewGroup(members(a, b)...)
	boom := errors.New("boom")
	b.fail <- boom
	err := g.Run(t.Context())
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "b: ") {
		t.Errorf("Run = %v", err)
	}
}

func TestAnEndWithoutCauseIsAFailure(t *testing.T) {
	j := &journal{}
	a := newPart("a", j)
	a.fail <- nil
	if err := lifecycle.NewGroup(members(a)...).Run(t.Context()); err == nil {
		t.Error("a component that ends by itself must fail the group")
	}
}

func TestNeverReadyMemberDoesNotHoldTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		a := newPart("a", j)
		a.slow = true
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		g := lifecycle.NewGroup(members(a)...)
		go func() { ended <- g.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}
