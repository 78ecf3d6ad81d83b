package scaling_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/services/deploy/internal/scaling"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func settings() scaling.Settings {
	return scaling.Settings{Min: 1, Max: 10, Target: 0.7, Concurrency: 1, Refresh: time.Second, Idle: time.Minute}
}

// steady is a history of one load, a sample a second, that ends at start.
func steady(l scaling.Load, seconds int) scaling.History {
	var h scaling.History
	for i := range seconds + 1 {
		h = h.Add(l, start.Add(time.Duration(i-seconds)*time.Second))
	}
	return h
}

func busy(n float64) scaling.Load { return scaling.Load{Busy: n, Arrived: n > 0} }

func TestDecide(t *testing.T) {
	long := start.Add(-time.Hour)
	tests := []struct {
		name     string
		settings func(*scaling.Settings)
		replicas int
		history  scaling.History
		want     int
		words    string
	}{
		{
			"more", nil, 3, steady(scaling.Load{Busy: 3, Queued: 0.3, Arrived: true}, 3), 5,
			"3 → 5: 3.0 busy + 0.3 queued over 3 replicas is 1.1 per replica against 0.7",
		},
		{
			"above the maximum", nil, 3, steady(scaling.Load{Busy: 11.2, Queued: 4, Arrived: true}, 3), 10,
			"3 → 10: 11.2 busy + 4.0 queued over 3 replicas is 5.1 per replica against 0.7; 22 would be needed, the maximum is 10",
		},
		{
			"at the maximum", nil, 10, steady(busy(15), 3), 10,
			"10 replicas: 15.0 busy + 0.0 queued over 10 replicas is 1.5 per replica against 0.7; 22 would be needed, the maximum is 10",
		},
		{"concurrency counts", func(s *scaling.Settings) { s.Concurrency = 4 }, 1, steady(busy(7), 3), 3, "1 → 3: 7.0 busy + 0.0 queued over 1 replica is 7.0 per replica against 2.8"},
		{"a whole number of replicas is enough", nil, 10, steady(busy(7.02), 3), 10, "10 replicas: 7.0 busy"},
		{"fewer after a minute", nil, 5, steady(busy(1.4), 61), 2, "5 → 2: 1.4 busy + 0.0 queued was the most in the last 1m0s, which 2 replicas can take at 0.7 per replica"},
		{"not before", nil, 5, steady(busy(1.4), 59), 5, "5 replicas: 1.4 busy"},
		{"not below the minimum", func(s *scaling.Settings) { s.Min = 3 }, 5, steady(busy(0), 61), 3, "5 → 3"},
		{"one replica is the least with a minimum of 1", nil, 2, steady(busy(0), 61), 1, "2 → 1"},
		{"nothing known", nil, 4, scaling.History{}, 4, "no router tells the load"},
		{"known too long ago", nil, 4, scaling.History{}.Add(busy(9), start.Add(-10*time.Second)), 4, "no router tells the load"},
		{"a higher minimum", func(s *scaling.Settings) { s.Min = 6 }, 4, scaling.History{}, 6, "4 → 6: the minimum is 6"},
		{"a lower maximum", func(s *scaling.Settings) { s.Max = 2 }, 4, scaling.History{}, 2, "4 → 2: the maximum is 2"},
		{"to zero", func(s *scaling.Settings) { s.Min = 0 }, 4, steady(busy(0), 61), 0, "4 → 0: no request for 1m0s"},
		{"to zero soon, where so configured", func(s *scaling.Settings) { s.Min, s.Idle = 0, 5*time.Second }, 1, steady(busy(0), 5), 0, "1 → 0: no request for 5s"},
		{"not to zero yet", func(s *scaling.Settings) { s.Min = 0 }, 1, steady(busy(0), 59), 1, "1 replica"},
		{"stays at zero", func(s *scaling.Settings) { s.Min = 0 }, 0, steady(busy(0), 61), 0, "0 replicas: no request waits"},
		{
			"from zero", func(s *scaling.Settings) { s.Min = 0 }, 0, scaling.History{}.Add(scaling.Load{Waiting: 3, Arrived: true}, start), 1,
			"0 → 1: 3 requests wait and there is no replica",
		},
		{
			"from zero to many", func(s *scaling.Settings) { s.Min = 0 }, 0, scaling.History{}.Add(scaling.Load{Queued: 3.5, Waiting: 7, Arrived: true}, start), 5,
			"0 → 5: 7 requests wait and there is no replica",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := settings()
			if tt.settings != nil {
				tt.settings(&s)
			}
			got := scaling.Decide(s, scaling.Replicas{Desired: tt.replicas, Ready: tt.replicas, Changed: long, Began: long}, tt.history, start)
			if got.Desired != tt.want || !strings.Contains(got.Explanation, tt.words) {
				t.Errorf("got %d: %s\nwant %d: %s", got.Desired, got.Explanation, tt.want, tt.words)
			}
		})
	}
}

func TestChangesAreAPeriodApartExceptFromZero(t *testing.T) {
	s := settings()
	s.Refresh, s.Min = 10*time.Second, 0
	r := scaling.Replicas{Desired: 1, Changed: start.Add(-9 * time.Second)}
	if got := scaling.Decide(s, r, steady(busy(5), 5), start); got.Desired != 1 {
		t.Errorf("within the period: %+v", got)
	}
	r.Changed = start.Add(-10 * time.Second)
	if got := scaling.Decide(s, r, steady(busy(5), 5), start); got.Desired != 8 {
		t.Errorf("after the period: %+v", got)
	}
	r = scaling.Replicas{Desired: 0, Changed: start}
	if got := scaling.Decide(s, r, steady(scaling.Load{Waiting: 1}, 0), start); got.Desired != 1 {
		t.Errorf("from zero: %+v", got)
	}
}

func TestAClockThatWasSetBackHoldsNothingUp(t *testing.T) {
	s := settings()
	s.Min = 0
	ahead := start.Add(time.Hour)
	r := scaling.Replicas{Desired: 1, Changed: ahead, Began: ahead}
	if got := scaling.Decide(s, r, steady(busy(5), 5), start); got.Desired != 8 {
		t.Errorf("up: %+v", got)
	}
	if got := scaling.Decide(s, r, steady(busy(0), 61), start); got.Desired != 0 {
		t.Errorf("to zero: %+v", got)
	}
}

func TestANewRevisionRestartsTheIdleTime(t *testing.T) {
	s := settings()
	s.Min = 0
	r := scaling.Replicas{Desired: 1, Changed: start.Add(-time.Hour), Began: start.Add(-30 * time.Second)}
	if got := scaling.Decide(s, r, steady(busy(0), 61), start); got.Desired != 1 {
		t.Errorf("%+v", got)
	}
}

func TestUnwatchedTimeBeginsAnew(t *testing.T) {
	h := steady(busy(0), 61).Add(busy(0), start.Add(20*time.Second))
	got := scaling.Decide(settings(), scaling.Replicas{Desired: 5}, h, start.Add(20*time.Second))
	if got.Desired != 5 {
		t.Errorf("a minute with a hole counts as a minute: %+v", got)
	}
}

// Whatever the load, the bounds hold, a decision taken again changes nothing,
// and replicas are only given up after a minute in which fewer were enough.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scaling.Settings{
			Min: rapid.IntRange(0, 3).Draw(t, "min"), Target: rapid.Float64Range(0.1, 1).Draw(t, "target"),
			Concurrency: rapid.IntRange(1, 4).Draw(t, "concurrency"), Refresh: time.Second,
			Idle: time.Duration(rapid.IntRange(1, 120).Draw(t, "idle")) * time.Second,
		}
		s.Max = max(1, s.Min+rapid.IntRange(0, 8).Draw(t, "more"))
		r := scaling.Replicas{Desired: max(s.Min, 1), Changed: start, Began: start}
		var h scaling.History
		var recent []float64 // the loads of the last minute
		now := start
		for range rapid.IntRange(1, 200).Draw(t, "seconds") {
			now = now.Add(time.Second)
			l := scaling.Load{Busy: rapid.Float64Range(0, 5).Draw(t, "busy"), Queued: rapid.SampledFrom([]float64{0, 0, 0, 2, 9}).Draw(t, "queued")}
			if rapid.Bool().Draw(t, "quiet") {
				l = scaling.Load{}
			}
			l.Arrived = l.Busy > 0
			h = h.Add(l, now)
			recent = append(recent, l.Busy+l.Queued)
			d := scaling.Decide(s, r, h, now)
			if d.Desired < s.Min || d.Desired > s.Max || d.Explanation == "" {
				t.Fatalf("%+v with %+v", d, s)
			}
			if d.Desired < r.Desired && d.Desired > 0 && len(recent) <= 60 {
				t.Fatalf("fewer after %d s: %+v", len(recent), d)
			}
			if d.Desired == 0 && r.Desired > 0 {
				for _, load := range recent[max(0, len(recent)-int(s.Idle.Seconds())):] {
					if load > 0 {
						t.Fatalf("to zero within %s of a request", s.Idle)
					}
				}
			}
			if d.Desired != r.Desired {
				r.Desired, r.Changed = d.Desired, now
			}
			if again := scaling.Decide(s, r, h, now); again.Desired != r.Desired {
				t.Fatalf("decided again: %+v after %+v", again, d)
			}
		}
	})
}
