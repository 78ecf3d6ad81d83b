package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/services/router/balancing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newGate(replicas ...Replica) *Gate {
	g := NewGate(balancing.LeastInFlight(balancing.Admitting), nil)
	g.Update(replicas)
	return g
}

func ready(key string, capacity int) Replica {
	return Replica{Key: key, Address: key + ":1", State: balancing.Ready, Capacity: capacity}
}

func in(d time.Duration) Patience { return Patience{Until: time.Now().Add(d)} }

// acquired is a place that a test has to have.
func acquired(t *testing.T, g *Gate) *Reservation {
	t.Helper()
	r, err := g.Acquire(t.Context(), Patience{})
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return r
}

// line starts requests that wait, one after the other, and notes who is let through.
type line struct {
	mu   sync.Mutex
	got  []string
	held []*Reservation
}

func (l *line) join(ctx context.Context, g *Gate, name string, wait time.Duration, again bool) {
	go func() {
		acquire := g.Acquire
		if again {
			acquire = g.Reacquire
		}
		r, err := acquire(ctx, in(wait))
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil {
			l.got = append(l.got, fmt.Sprintf("%s: %v", name, err))
			return
		}
		l.got = append(l.got, name)
		l.held = append(l.held, r)
	}()
	synctest.Wait()
}

func (l *line) releaseAll() {
	for {
		l.mu.Lock()
		held := l.held
		l.held = nil
		l.mu.Unlock()
		if len(held) == 0 {
			return
		}
		for _, r := range held {
			r.Release()
			synctest.Wait()
		}
	}
}

func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(ready("a", 1))
		first := acquired(t, g)
		var l line
		for i := range 5 {
			l.join(t.Context(), g, fmt.Sprint(i), time.Minute, false)
		}
		l.join(t.Context(), g, "again", time.Minute, true)
		first.Release()
		synctest.Wait()
		l.releaseAll()
		if diff := cmp.Diff([]string{"again", "0", "1", "2", "3", "4"}, l.got); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		if load := g.Load(); load.Queued != 0 || load.InFlight["a"] != 0 {
			t.Errorf("load = %+v, want none", load)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	tests := []struct {
		name    string
		replica []Replica
		want    error
	}{
		{"busy", []Replica{ready("a", 1)}, ErrOverloaded},
		{"none", nil, ErrNoReplicas},
		{"only a draining one", []Replica{{Key: "a", State: balancing.Draining, Capacity: 9}}, ErrNoReplicas},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(test.replica...)
				for range test.replica {
					g.Acquire(t.Context(), Patience{}) // takes the place if there is one
				}
				start := time.Now()
				if _, err := g.Acquire(t.Context(), in(500*time.Millisecond)); !errors.Is(err, test.want) {
					t.Errorf("Acquire: %v, want %v", err, test.want)
				}
				if waited := time.Since(start); waited != 500*time.Millisecond {
					t.Errorf("waited %v, want 500ms", waited)
				}
				if _, err := g.Acquire(t.Context(), Patience{Until: time.Now()}); !errors.Is(err, test.want) {
					t.Errorf("Acquire without waiting: %v, want %v", err, test.want)
				}
				if g.Load().Queued != 0 {
					t.Error("somebody is still in the queue")
				}
			})
		})
	}
}

func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(ready("a", 1))
		first := acquired(t, g)
		var l line
		ctx, leave := context.WithCancel(t.Context())
		l.join(ctx, g, "leaves", time.Minute, false)
		l.join(t.Context(), g, "stays", time.Minute, false)
		leave()
		synctest.Wait()
		if got := g.Load().Queued; got != 1 {
			t.Errorf("queued = %d, want 1", got)
		}
		first.Release()
		synctest.Wait()
		l.releaseAll()
		if diff := cmp.Diff([]string{"leaves: context canceled", "stays"}, l.got); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(ready("a", 11))
		for range 11 {
			acquired(t, g)
		}
		ctx, leave := context.WithCancel(t.Context())
		var l line
		for range 110 {
			l.join(ctx, g, "", time.Minute, false)
		}
		start := time.Now()
		if _, err := g.Acquire(ctx, in(time.Minute)); !errors.Is(err, ErrOverloaded) || time.Since(start) != 0 {
			t.Errorf("Acquire: %v after %v, want ErrOverloaded at once", err, time.Since(start))
		}
		leave()
		synctest.Wait()
	})
}

func TestReplicasChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var l line
		l.join(t.Context(), g, "first", time.Minute, false)
		l.join(t.Context(), g, "second", time.Minute, false)
		g.Update([]Replica{{Key: "a", Capacity: 1}})
		synctest.Wait()
		g.Update([]Replica{ready("a", 1)})
		synctest.Wait()
		if diff := cmp.Diff([]string{"first"}, l.got); diff != "" {
			t.Fatalf("after a became ready (-want +got):\n%s", diff)
		}
		// a goes and comes back while it works: its place is still taken.
		g.Update(nil)
		g.Update([]Replica{ready("a", 1)})
		synctest.Wait()
		if got := g.Load().InFlight["a"]; got != 1 || len(l.got) != 1 {
			t.Fatalf("in flight = %d, let through %v; want 1 and nobody new", got, l.got)
		}
		g.Update([]Replica{ready("a", 1), ready("b", 1)})
		synctest.Wait()
		if len(l.got) != 2 || l.held[1].Replica() != "b" || l.held[1].Address() != "b:1" {
			t.Fatalf("let through %v, want second on b", l.got)
		}
		g.Update(nil)
		l.releaseAll()
		if len(g.known) != 0 {
			t.Errorf("%d replicas are remembered that are gone", len(g.known))
		}
	})
}

func TestVersionGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var l line
		l.join(t.Context(), g, "a", time.Minute, false)
		g.Disperse()
		synctest.Wait()
		l.join(t.Context(), g, "b", time.Minute, false)
		g.Close()
		synctest.Wait()
		l.join(t.Context(), g, "c", time.Minute, false)
		want := []string{"a: " + ErrMoved.Error(), "b: " + ErrClosed.Error(), "c: " + ErrClosed.Error()}
		if diff := cmp.Diff(want, l.got); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
	})
}

func TestUnreachableReplicaIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(ready("a", 4), ready("b", 4))
		dead := acquired(t, g)
		if dead.Replica() != "a" {
			t.Fatalf("first pick = %s, want a", dead.Replica())
		}
		dead.ReleaseUnreachable()
		for range 4 {
			if r := acquired(t, g); r.Replica() != "b" {
				t.Fatal("the replica that could not be reached was picked")
			}
		}
		g.Update([]Replica{ready("a", 4)})
		if _, err := g.Acquire(t.Context(), Patience{Until: time.Now()}); !errors.Is(err, ErrNoReplicas) {
			t.Errorf("Acquire with only the unreachable one: %v, want ErrNoReplicas", err)
		}
		g.Update([]Replica{ready("a", 4), ready("b", 4)})
		start := time.Now()
		r, err := g.Acquire(t.Context(), in(time.Minute))
		if err != nil || r.Replica() != "a" || time.Since(start) != suspicion {
			t.Fatalf("Acquire: %v after %v, want a after %v", err, time.Since(start), suspicion)
		}
		// A new start of the replica clears it at once.
		r.ReleaseUnreachable()
		g.Update([]Replica{{Key: "a", Capacity: 4}, ready("b", 4)})
		g.Update([]Replica{ready("a", 4), ready("b", 4)})
		acquired(t, g)
	})
}

func TestReleaseTwice(t *testing.T) {
	g := newGate(ready("a", 2))
	r := acquired(t, g)
	acquired(t, g)
	r.Release()
	r.Release()
	if got := g.Load().InFlight["a"]; got != 1 {
		t.Errorf("in flight = %d, want 1", got)
	}
}

// Many goroutines, replicas that come and go: nobody is lost, no replica has
// too much.
func TestUnderLoad(t *testing.T) {
	g := newGate(ready("a", 2), ready("b", 3))
	capacity := map[string]int32{"a": 2, "b": 3, "c": 1}
	busy := map[string]*atomic.Int32{"a": {}, "b": {}, "c": {}}
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for i := range 200 {
				ctx, leave := context.WithCancel(t.Context())
				if i%17 == 0 {
					time.AfterFunc(50*time.Microsecond, leave)
				}
				r, err := g.Acquire(ctx, in(10*time.Second))
				switch {
				case err == nil:
					if n := busy[r.Replica()].Add(1); n > capacity[r.Replica()] {
						t.Errorf("%s has %d requests", r.Replica(), n)
					}
					busy[r.Replica()].Add(-1)
					r.Release()
				case !errors.Is(err, context.Canceled):
					t.Errorf("Acquire: %v", err)
				}
				leave()
			}
		})
	}
	done := make(chan struct{})
	var updater sync.WaitGroup
	updater.Go(func() {
		sets := [][]Replica{{ready("a", 2)}, {ready("b", 3), ready("c", 1)}, {}, {ready("a", 2), ready("b", 3), ready("c", 1)}}
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				g.Update(sets[i%len(sets)])
			}
		}
	})
	workers.Wait()
	close(done)
	updater.Wait()
	g.Update([]Replica{ready("a", 2), ready("b", 3)})
	load := g.Load()
	if load.Queued != 0 || slices.ContainsFunc([]string{"a", "b"}, func(k string) bool { return load.InFlight[k] != 0 }) {
		t.Errorf("load in the end = %+v, want none", load)
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	g := newGate(ready("a", 8), ready("b", 8), ready("c", 8))
	b.ReportAllocs()
	for b.Loop() {
		r, _ := g.Acquire(b.Context(), Patience{})
		r.Release()
	}
}

// A replica that answers eight times as fast gets the requests that come one by
// one, and the slow one is tried again when it was forgotten.
func TestFasterReplicaIsPreferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(balancing.ExpectedCompletion(balancing.Admitting), nil)
		g.Update([]Replica{ready("slow", 2), ready("fast", 2)})
		got := map[string]int{}
		score := func() {
			r, err := g.Acquire(t.Context(), Patience{Until: time.Now().Add(time.Second)})
			if err != nil {
				t.Fatal(err)
			}
			got[r.Replica()]++
			time.Sleep(map[string]time.Duration{"slow": 80 * time.Millisecond, "fast": 10 * time.Millisecond}[r.Replica()])
			r.ReleaseAnswered()
		}
		for range 100 {
			score()
		}
		if diff := cmp.Diff(map[string]int{"slow": 2, "fast": 98}, got); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		time.Sleep(10 * time.Minute)
		clear(got)
		score()
		score()
		if diff := cmp.Diff(map[string]int{"slow": 1, "fast": 1}, got); diff != "" {
			t.Errorf("after a pause (-want +got):\n%s", diff)
		}
	})
}
