package reconciler

import (
	"testing"
	"time"
)

func TestSights(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := newSights()
	for _, step := range []struct {
		what              string
		stored, now, want time.Time
	}{
		{"stored before", now.Add(-time.Minute), now, now.Add(-time.Minute)},
		{"the clock was set back", now.Add(2 * time.Hour), now, now},
		{"and runs on", now.Add(2 * time.Hour), now.Add(time.Minute), now},
	} {
		if got := s.since("workload", step.stored, step.now); !got.Equal(step.want) {
			t.Errorf("%s: since %v, want %v", step.what, got, step.want)
		}
	}
	s.forget("workload")
	later := now.Add(time.Hour)
	if got := s.since("workload", later.Add(time.Hour), later); !got.Equal(later) {
		t.Errorf("another one of its name: since %v, want %v", got, later)
	}
}
