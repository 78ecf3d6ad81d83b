package scaling_test

import (
	"math"
	"testing"
	"time"

	"github.com/fairlead/fairlead/services/deploy/internal/scaling"
)

// scaler is asked once a second for the wanted number of replicas.
type scaler interface {
	want(desired, ready int, l scaling.Load, now time.Time) int
}

// ours is this package.
type ours struct {
	s       scaling.Settings
	h       scaling.History
	changed time.Time
}

func (o *ours) want(desired, ready int, l scaling.Load, now time.Time) int {
	o.h = o.h.Add(l, now)
	d := scaling.Decide(o.s, scaling.Replicas{Desired: desired, Ready: ready, Changed: o.changed, Began: start}, o.h, now)
	if d.Desired != desired {
		o.changed = now
	}
	return d.Desired
}

// knative is the published rule of Knative's autoscaler: the average
// concurrency over a stable minute, or over a panic window of 6 s from when that
// asks for twice what is ready until a minute after; never fewer in panic.
type knative struct {
	s     scaling.Settings
	loads []float64
	panic time.Time
	most  int
}

func (k *knative) want(desired, ready int, l scaling.Load, now time.Time) int {
	k.loads = append(k.loads, l.Busy+l.Queued)
	average := func(seconds int) float64 {
		last, sum := k.loads[max(0, len(k.loads)-seconds):], 0.0
		for _, load := range last {
			sum += load
		}
		return sum / float64(len(last))
	}
	per := k.s.Target * float64(k.s.Concurrency)
	stable, urgent := int(math.Ceil(average(60)/per)), int(math.Ceil(average(6)/per))
	if float64(urgent) >= 2*float64(max(ready, 1)) {
		k.panic = now
	}
	want := stable
	if !k.panic.IsZero() && now.Sub(k.panic) < time.Minute {
		k.most = max(k.most, urgent, stable)
		want = k.most
	} else {
		k.panic, k.most = time.Time{}, 0
	}
	return min(max(want, k.s.Min), k.s.Max)
}

// outcome is what callers and payers notice.
type outcome struct {
	waited  float64 // request-seconds spent in the queue
	paid    float64 // replica-seconds
	changes int
}

// simulate runs a queue in steps of 10 ms before replicas that start in a given
// time and serve each request in another. Arrivals are given per second.
func simulate(arrivals []float64, serve, warm time.Duration, first int, with scaler) outcome {
	const step = 10 * time.Millisecond
	var (
		out             outcome
		queue, due      float64
		starting        []time.Time // when each becomes ready
		ready, desired  = first, first
		working         []time.Time // when each request ends
		busySum, queued float64
	)
	steps := int(time.Second / step)
	for i := range len(arrivals) * steps {
		now := start.Add(time.Duration(i) * step)
		due += arrivals[i/steps] * step.Seconds()
		for ; due >= 1; due-- {
			queue++
		}
		for len(starting) > 0 && !now.Before(starting[0]) {
			starting, ready = starting[1:], ready+1
		}
		for len(working) > 0 && !now.Before(working[0]) {
			working = working[1:]
		}
		for queue > 0 && len(working) < ready {
			queue--
			working = append(working, now.Add(serve))
		}
		out.waited += queue * step.Seconds()
		out.paid += float64(ready+len(starting)) * step.Seconds()
		busySum, queued = busySum+float64(len(working)), queued+queue
		if (i+1)%steps != 0 {
			continue
		}
		l := scaling.Load{Busy: busySum / float64(steps), Queued: queued / float64(steps), Waiting: int(queue), Arrived: arrivals[i/steps] > 0}
		busySum, queued = 0, 0
		want := with.want(desired, ready, l, now)
		if want != desired {
			out.changes++
		}
		for range want - desired {
			starting = append(starting, now.Add(warm))
		}
		for range desired - want {
			if len(starting) > 0 {
				starting = starting[:len(starting)-1]
			} else {
				ready--
			}
		}
		desired = want
	}
	return out
}

// pulse is so many requests a second in a stretch of an otherwise quiet time.
func pulse(seconds, from, to int, quiet, loud float64) []float64 {
	out := make([]float64, seconds)
	for i := range out {
		if out[i] = quiet; i >= from && i < to {
			out[i] = loud
		}
	}
	return out
}

// Bursts wait less here than by Knative's rule, for at most a little more.
func TestBurstsAgainstKnative(t *testing.T) {
	wave := make([]float64, 900)
	for i := range wave {
		wave[i] = 30 + 25*math.Sin(float64(i)/40)
	}
	tests := []struct {
		name     string
		arrivals []float64
		extra    float64 // replica-seconds above Knative's that are accepted, as a factor
	}{
		{"one burst", pulse(300, 30, 60, 2, 50), 1.15},
		{"a small step, below the panic threshold", pulse(300, 60, 300, 20, 35), 1.1},
		{"short bursts", append(pulse(120, 30, 33, 1, 80), pulse(240, 10, 13, 1, 80)...), 1.1},
		{"a slow wave", wave, 1.25},
		{"a plateau", pulse(600, 30, 400, 5, 45), 1.1},
	}
	s := scaling.Settings{Min: 1, Max: 40, Target: 0.7, Concurrency: 1, Refresh: time.Second, Idle: time.Minute}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first := max(1, int(math.Ceil(tt.arrivals[0]*0.2/0.7)))
			us := simulate(tt.arrivals, 200*time.Millisecond, 2*time.Second, first, &ours{s: s})
			them := simulate(tt.arrivals, 200*time.Millisecond, 2*time.Second, first, &knative{s: s})
			t.Logf("ours %+v, Knative's rule %+v", us, them)
			if us.waited > them.waited*1.02 {
				t.Errorf("requests wait %.0f s, by Knative's rule %.0f s", us.waited, them.waited)
			}
			if us.paid > them.paid*tt.extra {
				t.Errorf("%.0f replica-seconds, by Knative's rule %.0f", us.paid, them.paid)
			}
		})
	}
}

// The count that a steady load settles at is the formula's.
func TestSettlesAtTheFormula(t *testing.T) {
	for _, rate := range []float64{1, 7, 20, 50} {
		s := scaling.Settings{Min: 0, Max: 100, Target: 0.7, Concurrency: 1, Refresh: time.Second, Idle: time.Minute}
		o := &ours{s: s}
		simulate(pulse(300, 0, 300, rate, rate), 200*time.Millisecond, 2*time.Second, 0, o)
		want := int(math.Ceil(rate*0.2/0.7 - 1e-9))
		got := scaling.Decide(s, scaling.Replicas{Desired: want, Changed: start}, o.h, start.Add(300*time.Second))
		if got.Desired != want {
			t.Errorf("%g requests/s: %+v, the formula says %d", rate, got, want)
		}
	}
}
