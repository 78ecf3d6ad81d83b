package record

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func request(uid, version string, code int) Request {
	return Request{
		Key: Key{UID: uid, Version: version, Code: code}, Workspace: "default", Endpoint: "diabetes", Replica: "r1",
		Arrival: time.Unix(1_700_000_000, 0), Latency: 5 * time.Millisecond, QueueWait: time.Millisecond, Execution: 3 * time.Millisecond,
		RequestBytes: 10, ResponseBytes: 20, RequestID: "id-1", ClientRequestID: "client-1", TraceID: strings.Repeat("ab", 16),
	}
}

func TestEveryRequestIsCountedOnce(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	r := New(begin)
	const workers, each = 8, 5000
	total := Batch{Figures: map[Key]*Figures{}}
	stop, collected := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(collected)
		for {
			select {
			case <-stop:
				return
			default:
				total.Merge(r.Collect(begin), 1<<30)
			}
		}
	}()
	var done sync.WaitGroup
	for w := range workers {
		done.Go(func() {
			for i := range each {
				q := request("u", fmt.Sprintf("v%d", i%3), 200+w%2)
				q.Keep = i%2 == 0
				r.Observe(&q)
			}
		})
	}
	done.Wait()
	close(stop)
	<-collected
	total.Merge(r.Collect(begin), 1<<30)

	want, got := map[Key]int64{}, map[Key]int64{}
	var kept int64
	for w := range workers {
		for i := range each {
			want[Key{"u", fmt.Sprintf("v%d", i%3), 200 + w%2}]++
		}
	}
	for key, f := range total.Figures {
		got[key] = f.Requests
		kept += f.Dropped
		if f.Latency.Count() != uint64(f.Requests) || f.RequestBytes != 10*f.Requests || f.ResponseBytes != 20*f.Requests {
			t.Errorf("%v: %d latencies, %d and %d bytes of %d requests", key, f.Latency.Count(), f.RequestBytes, f.ResponseBytes, f.Requests)
		}
	}
	kept += int64(len(total.Requests))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if kept != workers*each/2 {
		t.Errorf("%d single records were kept or dropped, want %d", kept, workers*each/2)
	}
}

func TestDropsAreCounted(t *testing.T) {
	r := New(time.Now())
	const more = 100
	q := request("u", "v1", 200)
	q.Keep = true
	for range 2 * ringTotal {
		r.Observe(&q)
	}
	select {
	case <-r.Filling():
	default:
		t.Error("nobody was told that the rings fill")
	}
	b := r.Collect(time.Now())
	if f := b.Figures[q.Key]; f.Requests != 2*ringTotal || f.Dropped+int64(len(b.Requests)) != 2*ringTotal || len(b.Requests) > ringTotal {
		t.Errorf("of %d requests %d were dropped and %d kept", f.Requests, f.Dropped, len(b.Requests))
	}
	dropped := b.Figures[q.Key].Dropped
	b.Limit(len(b.Requests) - more)
	if got := b.Figures[q.Key].Dropped - dropped; got != more {
		t.Errorf("%d more were counted as dropped, want %d", got, more)
	}
}

func TestRecordKeepsWhatItWasGiven(t *testing.T) {
	r := New(time.Now())
	q := request("u", "v1", 503)
	q.Keep, q.Reason, q.ClientRequestID = true, "TooManyRequests", strings.Repeat("c", maxID)
	r.Observe(&q)
	b := r.Collect(time.Now())
	if diff := cmp.Diff([]Request{q}, b.Requests); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if b = r.Collect(time.Now()); len(b.Requests)+len(b.Figures) != 0 {
		t.Errorf("the second time there are %d records and %d figures", len(b.Requests), len(b.Figures))
	}
}

func TestForgetsWhatIsIdle(t *testing.T) {
	r := New(time.Now())
	q := request("u", "v1", 200)
	r.Observe(&q)
	for range idleCollections + 2 {
		r.Collect(time.Now())
	}
	for _, s := range r.shards {
		if len(s.series) != 0 {
			t.Errorf("%d series are kept", len(s.series))
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	for _, keep := range []bool{false, true} {
		b.Run(fmt.Sprintf("keep=%v", keep), func(b *testing.B) {
			r := New(time.Now())
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
					case <-r.Filling():
					case <-stop:
						return
					}
					r.Collect(time.Now())
				}
			}()
			warm := request("uid-of-an-endpoint-000001", "version-a", 200)
			for range 1000 {
				r.Observe(&warm)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				q := request("uid-of-an-endpoint-000001", "version-a", 200)
				q.Keep = keep
				for i := 0; pb.Next(); i++ {
					q.Latency = time.Duration(i&0xfffff) * 100
					r.Observe(&q)
				}
			})
			close(stop)
			<-done
		})
	}
}
