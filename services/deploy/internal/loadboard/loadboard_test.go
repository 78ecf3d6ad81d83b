package loadboard_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/deploy/internal/loadboard"
	"github.com/fairlead/fairlead/services/deploy/internal/scaling"
)

var (
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key   = loadboard.Key{Endpoint: "workspaces/default/endpoints/diabetes", Version: "versiona"}
	other = loadboard.Key{Endpoint: "workspaces/default/endpoints/diabetes", Version: "versionb"}
)

func second(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }

func expect(t *testing.T, b *loadboard.Board, want scaling.Load) {
	t.Helper()
	if diff := cmp.Diff(want, b.History(key).Latest()); diff != "" {
		t.Errorf("load (-want +got):\n%s", diff)
	}
}

func TestRoutersAreAddedUp(t *testing.T) {
	b := loadboard.New()
	b.Report("one", []loadboard.Report{{Key: key, Busy: 1, Queued: 0.5, Waiting: 2, Arrivals: 7}, {Key: other, Busy: 9}}, second(0))
	b.Report("two", []loadboard.Report{{Key: key, Busy: 2, Waiting: 1}}, second(0))
	b.Sample([]loadboard.Key{key}, second(0))
	expect(t, b, scaling.Load{Busy: 3, Queued: 0.5, Waiting: 3, Arrived: true})
	select {
	case <-b.Urgent():
	default:
		t.Error("requests wait and it is not urgent")
	}
	if l := b.History(other).Latest(); l != (scaling.Load{}) {
		t.Errorf("a version that is not asked for is kept: %+v", l)
	}
}

func TestASilentRouterIsLeftOutAndNoRouterIsNoLoad(t *testing.T) {
	b := loadboard.New()
	keys := []loadboard.Key{key}
	b.Report("one", []loadboard.Report{{Key: key, Busy: 1}}, second(0))
	b.Report("two", []loadboard.Report{{Key: key, Busy: 2}}, second(4))
	b.Sample(keys, second(4))
	expect(t, b, scaling.Load{Busy: 2})
	b.Left("two")
	b.Sample(keys, second(5))
	expect(t, b, scaling.Load{Busy: 2}) // the last that is known
	s := scaling.Settings{Min: 0, Max: 3, Target: 0.7, Concurrency: 1, Idle: time.Second}
	if d := scaling.Decide(s, scaling.Replicas{Desired: 2}, b.History(key), second(11)); d.Desired != 2 {
		t.Errorf("without routers: %+v", d)
	}
}

func TestRequestsBetweenTwoReportsCount(t *testing.T) {
	b := loadboard.New()
	keys := []loadboard.Key{key}
	for i, arrivals := range []int64{3, 3, 4} {
		b.Report("one", []loadboard.Report{{Key: key, Arrivals: arrivals}}, second(i))
		b.Sample(keys, second(i))
		if got, want := b.History(key).Latest().Arrived, i != 1; got != want {
			t.Errorf("sample %d: arrived is %v", i, got)
		}
	}
}
