package tail

import (
	"context"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWatchersGetWhatTheyWant(t *testing.T) {
	h := NewHub[int]()
	h.Publish([]int{1}) // nobody watches
	even := h.Watch(func(n *int) bool { return *n%2 == 0 })
	all := h.Watch(func(*int) bool { return true })
	h.Publish([]int{1, 2, 3})
	h.Publish([]int{4})
	for watcher, want := range map[*Watcher[int]][]int{even: {2, 4}, all: {1, 2, 3, 4}} {
		got, missed, err := watcher.Next(t.Context())
		if err != nil || missed != 0 || !slices.Equal(got, want) {
			t.Errorf("got %v, missed %d, %v; want %v", got, missed, err, want)
		}
	}
	all.Close()
	h.Publish([]int{6})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, _, err := all.Next(ctx); err == nil {
		t.Errorf("a closed watcher gets %v", got)
	}
}

func TestSlowWatchersMiss(t *testing.T) {
	h := NewHub[int]()
	w := h.Watch(func(*int) bool { return true })
	defer w.Close()
	h.Publish(make([]int, room+7))
	got, missed, err := w.Next(t.Context())
	if err != nil || len(got) != room || missed != 7 {
		t.Errorf("got %d, missed %d, %v", len(got), missed, err)
	}
}
