package worker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQueueServesInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10, func(int) int64 { return 0 })
		var served []int
		for i := range 5 {
			go func() {
				w, err := q.acquire(t.Context(), false)
				if err != nil {
					t.Error(err)
					return
				}
				served = append(served, i)
				q.release(w)
			}()
			synctest.Wait()
		}
		q.add(1)
		synctest.Wait()
		if want := []int{0, 1, 2, 3, 4}; !slices.Equal(served, want) {
			t.Errorf("served %v, want %v", served, want)
		}
	})
}

func TestQueueRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2, func(int) int64 { return 0 })
		errs := make(chan error, 2)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { _, err := q.acquire(short, false); errs <- err }()
		go func() { _, err := q.acquire(t.Context(), false); errs <- err }()
		synctest.Wait()
		if _, err := q.acquire(t.Context(), false); !errors.Is(err, ErrQueueFull) {
			t.Errorf("a third got %v, want ErrQueueFull", err)
		}
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the one that left got %v", err)
		}
		q.close()
		if err := <-errs; !errors.Is(err, ErrStopped) {
			t.Errorf("the one that waits got %v, want ErrStopped", err)
		}
		if _, err := q.acquire(t.Context(), false); !errors.Is(err, ErrStopped) {
			t.Errorf("a late one got %v, want ErrStopped", err)
		}
	})
}

func TestQueueForgetsRemovedWorkers(t *testing.T) {
	q := newQueue(1, func(int) int64 { return 0 })
	q.add(1)
	q.add(2)
	q.remove(2)
	if w, err := q.acquire(t.Context(), false); w != 1 || err != nil {
		t.Fatalf("got %d %v, want 1", w, err)
	}
	q.remove(1)
	q.release(1)
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if w, err := q.acquire(expired, false); err == nil {
		t.Errorf("got %d, which has been removed", w)
	}
}

// TestQueueLendsEachWorkerOnce: whatever comes in whatever order, a worker has one borrower, and none gets lost.
func TestQueueLendsEachWorkerOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue(3, func(int) int64 { return 0 })
		known, lent := map[int]bool{}, map[int]bool{}
		next := 0
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // acquire never blocks
		t.Repeat(map[string]func(*rapid.T){
			"add": func(*rapid.T) {
				next++
				known[next] = true
				q.add(next)
			},
			"acquire": func(t *rapid.T) {
				w, err := q.acquire(ctx, false)
				if free := len(known) - len(lent); (err == nil) != (free > 0) {
					t.Fatalf("%d free, got %d %v", free, w, err)
				}
				if err == nil {
					if lent[w] || !known[w] {
						t.Fatalf("worker %d lent twice or unknown", w)
					}
					lent[w] = true
				}
			},
			"release": func(t *rapid.T) {
				w := rapid.IntRange(0, next+1).Draw(t, "worker")
				delete(lent, w)
				q.release(w)
			},
			"remove": func(t *rapid.T) {
				w := rapid.IntRange(0, next+1).Draw(t, "worker")
				delete(lent, w)
				delete(known, w)
				q.remove(w)
			},
			"": func(t *rapid.T) {
				if n, waiting := q.counts(); n != len(lent) || waiting != 0 {
					t.Fatalf("%d lent, %d waiting; want %d and 0", n, waiting, len(lent))
				}
			},
		})
	})
}

// Who can be served elsewhere does not wait for a worker that is replaced, nor behind one that may have to be.
func TestQueueSendsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3, func(int) int64 { return 0 })
		if _, err := q.acquire(t.Context(), true); !errors.Is(err, ErrNoWorker) {
			t.Errorf("without a worker: %v", err)
		}
		q.add(1)
		if w, err := q.acquire(t.Context(), true); w != 1 || err != nil {
			t.Fatalf("got %d %v", w, err)
		}
		results := make(chan error, 2)
		wait := func(elsewhere bool) {
			go func() {
				_, err := q.acquire(t.Context(), elsewhere)
				results <- err
			}()
			synctest.Wait()
		}
		wait(true) // behind one that runs
		wait(false)
		q.doubt(1)
		if err := <-results; !errors.Is(err, ErrNoWorker) {
			t.Errorf("behind one in doubt: %v", err)
		}
		synctest.Wait()
		if len(results) > 0 {
			t.Error("who has nowhere else to go did not wait")
		}
		if _, err := q.acquire(t.Context(), true); !errors.Is(err, ErrNoWorker) {
			t.Errorf("with one in doubt: %v", err)
		}
		q.release(1)
		if err := <-results; err != nil {
			t.Errorf("after it came back: %v", err)
		}
		wait(true) // it is lent anew, and not in doubt
		if len(results) > 0 {
			t.Error("who comes while it runs does not wait")
		}
		q.remove(1)
		if err := <-results; !errors.Is(err, ErrNoWorker) {
			t.Errorf("behind one that ended: %v", err)
		}
	})
}
