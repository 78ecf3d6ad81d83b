package reporting

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"pgregory.net/rapid"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"

	"github.com/fairlead/fairlead/services/router/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink counts reports as the telemetry service does: each sequence of a router once.
type sink struct {
	telemetryv1.UnimplementedRecordServiceServer

	mu       sync.Mutex
	marks    map[string]int64
	requests int64
	records  int64
	dropped  int64
	// failAfter reports the stream breaks, before the last one is answered.
	failAfter int
}

func (s *sink) take(r *telemetryv1.RecordRequest) (broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.GetSequence() > s.marks[r.GetRouter()] {
		s.marks[r.GetRouter()] = r.GetSequence()
		for _, f := range r.GetFigures() {
			s.requests += f.GetRequests()
			s.dropped += f.GetDroppedRecords()
		}
		s.records += int64(len(r.GetRecords()))
	}
	s.failAfter--
	return s.failAfter == 0
}

func (s *sink) Record(stream grpc.BidiStreamingServer[telemetryv1.RecordRequest, telemetryv1.RecordResponse]) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if s.take(r) {
			return errors.New("broken")
		}
		if err := stream.Send(&telemetryv1.RecordResponse{Router: r.GetRouter(), Sequence: r.GetSequence()}); err != nil {
			return err
		}
	}
}

func (s *sink) counted() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// serve lets the sink be reached until stop is called.
func (s *sink) serve(t *testing.T) (conn *grpc.ClientConn, stop func()) {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	telemetryv1.RegisterRecordServiceServer(server, s)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(listener)
	}()
	conn, err := grpc.NewClient("passthrough:///telemetry", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		server.Stop()
		<-ended
		conn.Close()
	})
	t.Cleanup(stop)
	return conn, stop
}

func observe(r *record.Recorder, n int) {
	for range n {
		r.Observe(&record.Request{
			Key: record.Key{UID: "u", Version: "v1", Code: 200}, Workspace: "default", Endpoint: "diabetes",
			Arrival: time.Now(), Latency: time.Millisecond, Keep: true, RequestID: "id",
		})
	}
}

// run lets a reporter work until stop, which waits.
func run(t *testing.T, conn grpc.ClientConnInterface, router, spool string) (r *Reporter, recorder *record.Recorder, stop func()) {
	t.Helper()
	recorder = record.New(time.Now())
	r = New(Deps{
		Logger: slog.New(slog.DiscardHandler), Telemetry: conn, Recorder: recorder, Router: router, SpoolPath: spool, Clock: time.Now,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return r, recorder, stop
}

func TestLastFiguresAreShipped(t *testing.T) {
	s := &sink{marks: map[string]int64{}}
	conn, _ := s.serve(t)
	r, recorder, stop := run(t, conn, "a", filepath.Join(t.TempDir(), "reports"))
	observe(recorder, 100)
	stop()
	if s.counted() != 100 || s.records != 100 || r.Waiting() != 0 {
		t.Errorf("%d requests and %d records arrived, %d reports wait", s.counted(), s.records, r.Waiting())
	}
	total := int64(0)
	r.Totals(func(_ record.Key, f *record.Figures) { total += f.Requests })
	if total != 100 {
		t.Errorf("the total is %d, want 100", total)
	}
}

func TestBrokenStreams(t *testing.T) {
	s := &sink{marks: map[string]int64{}, failAfter: 1}
	conn, _ := s.serve(t)
	_, recorder, stop := run(t, conn, "a", "")
	for round := range 3 {
		observe(recorder, 50)
		s.mu.Lock()
		s.failAfter = 1 + round%2
		s.mu.Unlock()
		for s.counted() < int64(50*(round+1)) { // the reporter collects on its own
			time.Sleep(time.Millisecond)
		}
	}
	stop()
	if s.counted() != 150 {
		t.Errorf("%d requests are counted, want 150", s.counted())
	}
}

func TestNextRouterShipsWhatWasLeft(t *testing.T) {
	s := &sink{marks: map[string]int64{}}
	conn, away := s.serve(t)
	away()
	spool := filepath.Join(t.TempDir(), "router", "reports")
	_, recorder, stop := run(t, conn, "a", spool)
	observe(recorder, 70)
	stop()
	if s.counted() != 0 {
		t.Fatal("a telemetry service that is away got figures")
	}
	conn, _ = s.serve(t)
	_, recorder, stop = run(t, conn, "b", spool)
	observe(recorder, 30)
	stop()
	want := map[string]int64{"a": 1, "b": 1}
	if diff := cmp.Diff(want, s.marks); diff != "" || s.counted() != 100 {
		t.Errorf("%d requests in these reports (-want +got):\n%s", s.counted(), diff)
	}
	if left, err := loadSpool(spool); err != nil || left != nil {
		t.Errorf("the file still has %d reports, %v", len(left), err)
	}
}

func TestDamagedSpoolIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reports")
	if err := saveSpool(path, []*telemetryv1.RecordRequest{{Router: "a", Sequence: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := writeSynced(path, []byte(magic+"and then something else that is long enough")); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSpool(path); err == nil {
		t.Error("a damaged file was read")
	}
}

// TestOutboxCountsOnce lets streams break and answers be lost at any moment, and
// batches pile up: every request is counted once, and no more waits than may.
func TestOutboxCountsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &sink{marks: map[string]int64{}}
		o := newOutbox("a", limits{window: 3, unsent: 10, reportRecords: 40, records: 100})
		added := int64(0)
		var onTheWay []*telemetryv1.RecordRequest // sent on this stream
		begin := time.Unix(1_700_000_000, 0)
		add := func(n int) {
			key := record.Key{UID: "u", Code: 200}
			b := record.Batch{Start: begin, End: begin.Add(time.Second), Figures: map[record.Key]*record.Figures{key: {Requests: int64(n)}}}
			for range n {
				b.Requests = append(b.Requests, record.Request{Key: key, Arrival: begin})
			}
			begin = b.End
			added += int64(n)
			o.add(b)
		}
		t.Repeat(map[string]func(*rapid.T){
			"count": func(t *rapid.T) { add(rapid.IntRange(1, 50).Draw(t, "n")) },
			"pile up": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "batches") {
					add(rapid.IntRange(1, 30).Draw(t, "n"))
				}
			},
			"send": func(t *rapid.T) {
				if r := o.next(); r != nil {
					onTheWay = append(onTheWay, r)
				}
			},
			"arrive": func(t *rapid.T) {
				if len(onTheWay) > 0 {
					r := onTheWay[0]
					onTheWay = onTheWay[1:]
					s.take(r)
					if rapid.Bool().Draw(t, "answered") {
						o.ack(r.GetRouter(), r.GetSequence())
					}
				}
			},
			"break": func(t *rapid.T) {
				onTheWay = nil
				o.interrupt()
				if o.next() != nil {
					t.Fatal("something is sent on a broken stream")
				}
				o.rewind()
			},
			"": func(t *rapid.T) {
				if len(o.unsent) > o.most.unsent || len(o.sent) > o.most.window {
					t.Fatalf("%d batches and %d reports wait", len(o.unsent), len(o.sent))
				}
				records := 0
				for _, b := range o.unsent {
					records += len(b.Requests)
				}
				if records > o.most.records {
					t.Fatalf("%d records wait", records)
				}
			},
		})
		o.finish()
		for o.rewind(); !o.done(); {
			r := o.next()
			s.take(r)
			o.ack(r.GetRouter(), r.GetSequence())
		}
		if s.requests != added || s.records+s.dropped != added {
			t.Fatalf("%d requests, %d records and %d drops arrived of %d", s.requests, s.records, s.dropped, added)
		}
	})
}
