package admission

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/services/router/balancing"
)

// ask asks for a place in the background; the answer comes through the channel.
func ask(ctx context.Context, g *Gate, p Patience) <-chan error {
	answer := make(chan error, 1)
	go func() {
		r, err := g.Acquire(ctx, p)
		if err == nil {
			time.AfterFunc(200*time.Millisecond, r.Release)
		}
		answer <- err
	}()
	synctest.Wait()
	return answer
}

func held() Patience {
	return Patience{Until: time.Now().Add(500 * time.Millisecond), Held: time.Now().Add(time.Minute)}
}

func TestRequestsAreHeldWhileTheFirstReplicaStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wakes := 0
		g := NewGate(balancing.LeastInFlight(balancing.Admitting), func() { wakes++ })
		var answers []<-chan error
		for range minQueue + 20 {
			answers = append(answers, ask(t.Context(), g, held()))
		}
		time.Sleep(5 * time.Second)
		g.Update([]Replica{ready("a", 1)})
		// One that comes before those have been served waits with them.
		answers = append(answers, ask(t.Context(), g, held()))
		for i, answer := range answers {
			if err := <-answer; err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
		}
		if wakes != 1 {
			t.Errorf("woken %d times", wakes)
		}
		// Once all have been served, the usual wait counts again.
		synctest.Wait()
		time.Sleep(time.Second)
		place := acquired(t, g)
		late := ask(t.Context(), g, held())
		time.Sleep(time.Second)
		if err := <-late; !errors.Is(err, ErrOverloaded) {
			t.Errorf("behind a busy replica: %v", err)
		}
		place.Release()
	})
}

func TestAHeldRequestThatLeavesEndsTheHolding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wakes := 0
		g := NewGate(balancing.LeastInFlight(balancing.Admitting), func() { wakes++ })
		for i := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			answer := ask(ctx, g, held())
			cancel()
			if err := <-answer; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if wakes != i+1 {
				t.Errorf("woken %d times after %d requests", wakes, i+1)
			}
		}
		if err := <-ask(t.Context(), g, Patience{Until: held().Until, Held: time.Now().Add(2 * time.Second)}); !errors.Is(err, ErrNoReplicas) {
			t.Errorf("at the end of the wait: %v", err)
		}
	})
}

func TestMeasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(ready("a", 1))
		place := acquired(t, g)
		waiting := ask(t.Context(), g, Patience{Until: time.Now().Add(time.Minute)})
		time.Sleep(250 * time.Millisecond)
		if u := g.Measure(time.Now()); u != (Usage{Busy: 1, Queued: 1, Waiting: 1, Arrivals: 2}) {
			t.Errorf("busy and one waiting: %+v", u)
		}
		time.Sleep(500 * time.Millisecond)
		place.Release() // the other one is let in and takes 200 ms
		time.Sleep(500 * time.Millisecond)
		if err := <-waiting; err != nil {
			t.Fatal(err)
		}
		if u := g.Measure(time.Now()); u != (Usage{Busy: 0.7, Queued: 0.5, Arrivals: 2}) {
			t.Errorf("over a second: %+v", u)
		}
		time.Sleep(time.Second)
		if u := g.Measure(time.Now()); u != (Usage{Arrivals: 2}) || !u.Idle() {
			t.Errorf("idle: %+v", u)
		}
	})
}
