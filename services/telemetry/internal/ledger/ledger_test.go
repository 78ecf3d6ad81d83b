package ledger

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/figure"
	"github.com/fairlead/fairlead/services/telemetry/internal/requestlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const endpoint = "workspaces/default/endpoints/diabetes"

// clock is a time that the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func config(folder string) Config {
	return Config{
		Folder: folder, KeepFigures: 30 * 24 * time.Hour, KeepRequests: 7 * 24 * time.Hour,
		MaxBytes: 1 << 30, SealAfter: 5 * time.Minute, SealBytes: 1 << 20,
	}
}

func open(t interface{ Fatal(...any) }, cfg Config, c *clock) *Ledger {
	l, err := Open(cfg, slog.New(slog.DiscardHandler), c.now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// report has n requests of each of two codes, with a record of each.
func report(router string, sequence int64, at time.Time, n int) *telemetryv1.RecordRequest {
	r := &telemetryv1.RecordRequest{
		Router: router, Sequence: sequence, StartTime: timestamppb.New(at), EndTime: timestamppb.New(at.Add(time.Second)),
	}
	for i, code := range []int32{200, 502} {
		h := &telemetryv1.Histogram{Offset: -400, Counts: []uint64{uint64(n)}, SumNanos: int64(n) * 13e6, MaxNanos: 13e6}
		r.Figures = append(r.Figures, &telemetryv1.Figures{
			Endpoint: endpoint, EndpointUid: "u1", Version: "v1", Code: code, Requests: int64(n),
			Latency: h, QueueWait: &telemetryv1.Histogram{ZeroCount: uint64(n)}, Execution: h,
		})
		for k := range n {
			r.Records = append(r.Records, &telemetryv1.RecordedRequest{
				Figures: int32(i), ArrivalUnixNanos: at.Add(time.Duration(k) * time.Millisecond).UnixNano(), LatencyNanos: 13e6,
				RequestId: fmt.Sprintf("%s-%d-%d-%d", router, sequence, code, k),
			})
		}
	}
	return r
}

// counts are the requests by code, and the histogram's count.
func counts(t interface{ Fatal(...any) }, l *Ledger) map[int]int64 {
	got := map[int]int64{}
	err := l.Scan(figure.Filter{Endpoint: endpoint, To: l.now().Add(time.Hour)}, func(e figure.Entry) {
		if e.Latency.Count() != uint64(e.Requests) {
			t.Fatal("a histogram does not count what the counter does")
		}
		got[e.Key.Code] += e.Requests
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func ids(l *Ledger) map[string]int {
	got := map[string]int{}
	for _, r := range l.Requests(requestlog.Filter{Endpoint: endpoint, To: l.now().Add(time.Hour), Limit: 1 << 20}) {
		got[r.RequestID]++
	}
	return got
}

// TestExactlyOnce sends reports of several routers, again and again, through
// restarts, sealing and coarsening: each counts once.
func TestExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		folder := memoryFolder(t)
		c := newClock()
		cfg := config(folder)
		cfg.SealBytes = int64(rapid.IntRange(500, 20_000).Draw(t, "seal"))
		l := open(t, cfg, c)
		defer func() { l.Close() }()
		sent := map[string][]*telemetryv1.RecordRequest{}
		want, wantIDs := map[int]int64{}, map[string]int{}
		t.Repeat(map[string]func(*rapid.T){
			"report": func(t *rapid.T) {
				router := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "router")
				n := rapid.IntRange(1, 5).Draw(t, "n")
				r := report(router, int64(len(sent[router])+1), c.at, n)
				sent[router] = append(sent[router], r)
				if fresh, err := l.Append(r); err != nil || len(fresh) != 2*n {
					t.Fatalf("a new report: %d records, %v", len(fresh), err)
				}
				want[200], want[502] = want[200]+int64(n), want[502]+int64(n)
				for _, record := range r.GetRecords() {
					wantIDs[record.GetRequestId()]++
				}
			},
			"again": func(t *rapid.T) {
				for _, reports := range sent {
					r := rapid.SampledFrom(reports).Draw(t, "report")
					if fresh, err := l.Append(r); err != nil || len(fresh) != 0 {
						t.Fatalf("a report that was there: %d records, %v", len(fresh), err)
					}
				}
			},
			"restart": func(t *rapid.T) {
				l.Close()
				l = open(t, cfg, c)
			},
			"later": func(t *rapid.T) {
				c.at = c.at.Add(time.Duration(rapid.IntRange(1, 3*3600).Draw(t, "seconds")) * time.Second)
				if err := l.Maintain(); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if diff := cmp.Diff(want, counts(t, l)); diff != "" {
					t.Fatalf("counts (-want +got):\n%s", diff)
				}
			},
		})
		if diff := cmp.Diff(wantIDs, ids(l)); diff != "" {
			t.Fatalf("records (-want +got):\n%s", diff)
		}
	})
}

// TestTornLog cuts the log at every byte: what was whole is there, and the
// reports that follow can be sent again.
func TestTornLog(t *testing.T) {
	c := newClock()
	whole := memoryFolder(t)
	l := open(t, config(whole), c)
	var ends []int64
	for sequence := range int64(3) {
		if _, err := l.Append(report("a", sequence+1, c.at, 1)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, l.wal.size)
	}
	l.Close()
	name := walName(l.wal.id)
	content, err := os.ReadFile(filepath.Join(whole, name))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(content) + 1 {
		folder := memoryFolder(t)
		if err := os.WriteFile(filepath.Join(folder, name), content[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, config(folder), c)
		for sequence := range int64(3) {
			fresh, err := l.Append(report("a", sequence+1, c.at, 1))
			if err != nil {
				t.Fatal(err)
			}
			if was := int64(cut) >= ends[sequence]; was == (len(fresh) > 0) {
				t.Fatalf("cut at %d: report %d, whole up to %d, gave %d records", cut, sequence+1, ends[sequence], len(fresh))
			}
		}
		if diff := cmp.Diff(map[int]int64{200: 3, 502: 3}, counts(t, l)); diff != "" {
			t.Fatalf("cut at %d (-want +got):\n%s", cut, diff)
		}
		l.Close()
	}
}

// TestCrashWhileFilesAreReplaced puts back each file that sealing and coarsening
// remove last.
func TestCrashWhileFilesAreReplaced(t *testing.T) {
	c := newClock()
	folder := memoryFolder(t)
	l := open(t, config(folder), c)
	replacements := 0
	sequence, sent := int64(0), int64(0)
	for _, wait := range []time.Duration{10 * time.Minute, 10 * time.Minute, 2 * time.Hour, 31 * time.Hour, 11 * 24 * time.Hour} {
		sequence, sent = sequence+1, sent+2
		if _, err := l.Append(report("a", sequence, c.at, 2)); err != nil {
			t.Fatal(err)
		}
		before := contents(t, folder)
		c.at = c.at.Add(wait)
		if err := l.Maintain(); err != nil {
			t.Fatal(err)
		}
		after := contents(t, folder)
		for name, content := range before {
			if _, ok := after[name]; ok {
				continue
			}
			replacements++
			copied := memoryFolder(t)
			after[name] = content
			for name, content := range after {
				if err := os.WriteFile(filepath.Join(copied, name), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			delete(after, name)
			again := open(t, config(copied), c)
			if diff := cmp.Diff(map[int]int64{200: sent, 502: sent}, counts(t, again)); diff != "" {
				t.Errorf("with %s left behind (-want +got):\n%s", name, diff)
			}
			again.Close()
		}
	}
	l.Close()
	if replacements < 8 {
		t.Errorf("only %d files were replaced", replacements)
	}
}

func contents(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, name := range names(t, folder) {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = content
	}
	return out
}

// memoryFolder is a temporary folder, in memory where there is one: these tests
// write often, and what a disk does with it is not their subject.
func memoryFolder(t interface {
	Cleanup(func())
	Fatal(...any)
}) string {
	folder, err := os.MkdirTemp("/dev/shm", "ledger")
	if err != nil {
		folder, err = os.MkdirTemp("", "ledger")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestCrashBetweenRecordsAndSegment(t *testing.T) {
	c := newClock()
	folder := t.TempDir()
	l := open(t, config(folder), c)
	if _, err := l.Append(report("a", 1, c.at, 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := requestlog.Write(folder, l.wal.id, l.requests); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, config(folder), c)
	defer l.Close()
	for id, n := range ids(l) {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
}

func TestRetention(t *testing.T) {
	c := newClock()
	cfg := config(t.TempDir())
	l := open(t, cfg, c)
	defer func() { l.Close() }()
	if _, err := l.Append(report("a", 1, c.at, 1)); err != nil {
		t.Fatal(err)
	}
	step := func(d time.Duration) {
		t.Helper()
		c.at = c.at.Add(d)
		if err := l.Maintain(); err != nil {
			t.Fatal(err)
		}
	}
	step(6 * 24 * time.Hour)
	if len(ids(l)) != 2 || len(counts(t, l)) != 2 {
		t.Errorf("after 6 days there are %v and %v", ids(l), counts(t, l))
	}
	step(2 * 24 * time.Hour)
	if len(ids(l)) != 0 || len(counts(t, l)) != 2 {
		t.Errorf("after 8 days there are %v and %v", ids(l), counts(t, l))
	}
	step(23 * 24 * time.Hour)
	if len(counts(t, l)) != 0 {
		t.Errorf("after 31 days there are %v", counts(t, l))
	}
	for sequence := range int64(20) {
		if _, err := l.Append(report("a", sequence+2, c.at, 50)); err != nil {
			t.Fatal(err)
		}
		step(10 * time.Minute)
	}
	l.cfg.MaxBytes = 5000
	step(0)
	var total int64
	for _, s := range l.segments {
		total += s.size
	}
	if total > l.cfg.MaxBytes || total == 0 || len(l.records) != 0 {
		t.Errorf("%d bytes in %d segments and %d files are left of 5000 bytes", total, len(l.segments), len(l.records))
	}
}

func FuzzUnframe(f *testing.F) {
	good, _ := frame(report("a", 1, newClock().at, 1))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; ; {
			record, after, err := unframe(rest)
			if err == io.EOF && len(rest) != 0 {
				t.Fatal("the end came before the end")
			}
			if err != nil {
				return
			}
			if len(record)+frameHead+len(after) != len(rest) {
				t.Fatal("bytes were lost")
			}
			rest = after
		}
	})
}
