package admission

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/services/router/balancing"
)

// model is the plain truth that the gate is held against: who waits in which
// order, who is in, how much each replica has.
type model struct {
	t        *rapid.T
	gate     *Gate
	listed   map[string]Replica
	inFlight map[string]int
	waiting  []*caller
	inside   []*caller
	serial   int
}

type caller struct {
	name    string
	leave   context.CancelFunc
	outcome chan outcome
	held    *Reservation
	until   time.Time
}

// Any order of arrivals, releases, departures, changes of replicas and passing
// of time leaves the gate as the model says.
func TestGateIsAsTheModel(t *testing.T) {
	synctest.Test(t, func(outer *testing.T) {
		// Hidden in an interface, since the deadline cannot be asked for in a bubble.
		rapid.Check(struct{ rapid.TB }{outer}, func(t *rapid.T) {
			m := &model{t: t, gate: NewGate(balancing.LeastInFlight(balancing.Admitting), nil), listed: map[string]Replica{}, inFlight: map[string]int{}}
			t.Repeat(map[string]func(*rapid.T){
				"arrive":  m.arrive,
				"release": m.release,
				"leave":   m.leave,
				"replica": m.change,
				"time":    m.pass,
				"":        m.check,
			})
			for _, c := range slices.Concat(m.waiting, m.inside) {
				c.leave()
			}
			synctest.Wait()
		})
	})
}

func (m *model) arrive(t *rapid.T) {
	ctx, leave := context.WithCancel(context.Background())
	wait := time.Duration(rapid.IntRange(1, 5).Draw(t, "wait")) * time.Second
	m.serial++
	c := &caller{name: fmt.Sprint(m.serial), leave: leave, outcome: make(chan outcome, 1), until: time.Now().Add(wait)}
	go func() {
		r, err := m.gate.Acquire(ctx, Patience{Until: c.until})
		c.outcome <- outcome{r, err}
	}()
	synctest.Wait()
	m.waiting = append(m.waiting, c)
	m.settle()
}

func (m *model) release(t *rapid.T) {
	if len(m.inside) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.inside)-1).Draw(t, "who")
	c := m.inside[i]
	m.inside = slices.Delete(m.inside, i, i+1)
	m.inFlight[c.held.Replica()]--
	c.held.Release()
	c.leave()
	m.settle()
}

func (m *model) leave(t *rapid.T) {
	if len(m.waiting) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.waiting)-1).Draw(t, "who")
	c := m.waiting[i]
	m.waiting = slices.Delete(m.waiting, i, i+1)
	c.leave()
	synctest.Wait()
	if o := <-c.outcome; o.err != context.Canceled {
		m.t.Fatalf("%s left and got %v", c.name, o.err)
	}
	m.settle()
}

func (m *model) change(t *rapid.T) {
	key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
	if state := rapid.IntRange(-1, 2).Draw(t, "state"); state < 0 {
		delete(m.listed, key)
	} else {
		m.listed[key] = Replica{Key: key, State: balancing.State(state), Capacity: rapid.IntRange(1, 3).Draw(t, "capacity")}
	}
	var replicas []Replica
	for _, key := range []string{"a", "b", "c"} {
		if r, ok := m.listed[key]; ok {
			replicas = append(replicas, r)
		}
	}
	m.gate.Update(replicas)
	m.settle()
}

func (m *model) pass(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * time.Millisecond)
	synctest.Wait()
	m.waiting = slices.DeleteFunc(m.waiting, func(c *caller) bool {
		if c.until.After(time.Now()) {
			return false
		}
		if o := <-c.outcome; o.reservation != nil {
			m.t.Fatalf("%s waited too long and got in", c.name)
		}
		return true
	})
	m.settle()
}

// settle moves those from waiting to inside that the gate must have let in by
// now: the longest waiting ones, as many as there are places.
func (m *model) settle() {
	synctest.Wait()
	for m.places() > 0 && len(m.waiting) > 0 {
		c := m.waiting[0]
		m.waiting = m.waiting[1:]
		select {
		case o := <-c.outcome:
			if o.err != nil {
				m.t.Fatalf("%s got %v, and a place is free", c.name, o.err)
			}
			c.held = o.reservation
			m.inFlight[o.reservation.Replica()]++
			m.inside = append(m.inside, c)
		default:
			m.t.Fatalf("%s waits, and a place is free", c.name)
		}
	}
}

func (m *model) places() int {
	places := 0
	for key, r := range m.listed {
		if r.State == balancing.Ready {
			places += max(0, r.Capacity-m.inFlight[key])
		}
	}
	return places
}

func (m *model) check(t *rapid.T) {
	load := m.gate.Load()
	if load.Queued != len(m.waiting) {
		t.Fatalf("queued = %d, want %d", load.Queued, len(m.waiting))
	}
	for key := range m.listed {
		if load.InFlight[key] != m.inFlight[key] {
			t.Fatalf("%s has %d in flight, want %d", key, load.InFlight[key], m.inFlight[key])
		}
	}
	for _, c := range m.waiting {
		if len(c.outcome) > 0 {
			t.Fatalf("%s got in out of turn", c.name)
		}
	}
}
