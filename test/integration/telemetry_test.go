package integration

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// outcomes counts requests by version and status code, as "v1 200".
type outcomes map[string]int64

// scored sends n requests of known outcomes, a few at a time, and counts them.
func scored(t *testing.T, i *harness.Installation, key string, n int, into outcomes) {
	t.Helper()
	ctx := testContext(t)
	var mu sync.Mutex
	var done sync.WaitGroup
	work := make(chan int)
	for range 8 {
		done.Go(func() {
			for k := range work {
				with, body := key, wish(`{"n": %d}`, k)
				switch k % 10 {
				case 8:
					with = "wrong-wrong-wrong-wrong"
				case 9:
					body = wish(`{"raise": "no"}`)
				}
				answer, err := i.Score(ctx, "shop", with, body, nil)
				if err != nil {
					t.Error(err)
					continue
				}
				mu.Lock()
				into[strings.TrimSpace(fmt.Sprintf("%s %d", answer.Version(), answer.Status))]++
				mu.Unlock()
			}
		})
	}
	for k := range n {
		work <- k
	}
	close(work)
	done.Wait()
}

// figures asks the telemetry service for the same.
func figures(ctx context.Context, i *harness.Installation, since time.Time) (outcomes, error) {
	sum, err := telemetryv1.NewTelemetryServiceClient(i.Conn()).GetSummary(ctx, &telemetryv1.GetSummaryRequest{
		Name: endpointName("shop"), StartTime: timestamppb.New(since),
	})
	got := outcomes{}
	for _, v := range sum.GetVersions() {
		for _, c := range v.GetCodes() {
			got[strings.TrimSpace(fmt.Sprintf("%s %d", v.GetVersion(), c.GetCode()))] += c.GetRequests()
		}
	}
	return got, err
}

func eventuallyFigures(t *testing.T, i *harness.Installation, since time.Time, want outcomes) {
	t.Helper()
	ctx := testContext(t)
	harness.Eventually(t, 20*time.Second, "the figures are the clients' own", func() error {
		got, err := figures(ctx, i, since)
		if err == nil && !cmp.Equal(want, got) {
			err = fmt.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
		}
		return err
	})
}

// TestFiguresAreExact counts requests as their clients do, while the telemetry
// service is killed, is away, and comes back, and while the router is stopped.
func TestFiguresAreExact(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		since := time.Now().Add(-time.Minute)
		registerModel(t, i)
		key := deploy(t, i, "shop", script, map[string]any{"appInsightsEnabled": true, "maxQueueWaitMs": 10_000})
		eventuallyScores(t, i, "shop", key)
		want, err := figures(testContext(t), i, since)
		if err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, 10*time.Second, "the first requests are counted", func() error {
			got, err := figures(testContext(t), i, since)
			if err == nil && (len(got) == 0 || !cmp.Equal(want, got)) {
				want = got
				err = fmt.Errorf("there are %v", got)
			}
			return err
		})

		scored(t, i, key, 300, want)
		if i.Assembly == harness.AllInOne {
			i.Kill("up", syscall.SIGTERM)
			i.Restart("up")
			eventuallyFigures(t, i, since, want)
			scored(t, i, key, 200, want)
		} else {
			i.Kill("telemetry", syscall.SIGKILL)
			scored(t, i, key, 300, want)
			// The router ends while nobody takes its figures; the next one has them.
			i.Kill("router", syscall.SIGTERM)
			i.Restart("router")
			scored(t, i, key, 100, want)
			i.Restart("telemetry")
			scored(t, i, key, 100, want)
			i.Kill("telemetry", syscall.SIGKILL)
			i.Restart("telemetry")
		}
		eventuallyFigures(t, i, since, want)
		checkRecords(t, i, since, want)
	})
}

// checkRecords wants a record of every request, and that each is found by its id.
func checkRecords(t *testing.T, i *harness.Installation, since time.Time, want outcomes) {
	t.Helper()
	ctx := testContext(t)
	client := telemetryv1.NewTelemetryServiceClient(i.Conn())
	got, ids := outcomes{}, map[string]bool{}
	req := &telemetryv1.ListRequestsRequest{Parent: endpointName("shop"), StartTime: timestamppb.New(since), EndTime: timestamppb.Now(), PageSize: 97}
	last := time.Now().Add(time.Hour)
	for {
		page, err := client.ListRequests(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.GetRequests() {
			got[strings.TrimSpace(fmt.Sprintf("%s %d", r.GetVersion(), r.GetCode()))]++
			ids[r.GetRequestId()] = true
			if at := r.GetArrivalTime().AsTime(); at.After(last) {
				t.Errorf("a request of %v comes after one of %v", at, last)
			} else {
				last = at
			}
		}
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	var total int64
	for _, n := range want {
		total += n
	}
	if len(ids) != int(total) {
		t.Errorf("there are %d different ids of %d requests", len(ids), total)
	}
}

// TestFollowsRequests reads figures and single requests as users do.
func TestFollowsRequests(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		key := deploy(t, i, "shop", script, map[string]any{"appInsightsEnabled": true})
		eventuallyScores(t, i, "shop", key)
		ctx, cancel := context.WithCancel(testContext(t))
		defer cancel()
		stream, err := telemetryv1.NewTelemetryServiceClient(i.Conn()).TailRequests(ctx, &telemetryv1.TailRequestsRequest{Name: endpointName("shop"), CodeClass: 5})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Header(); err != nil {
			t.Fatal(err)
		}
		answer, err := i.Score(ctx, "shop", key, wish(`{"raise": "no"}`), http.Header{"X-Ms-Client-Request-Id": {"mine"}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := r.GetRequest(); int(got.GetCode()) != answer.Status || got.GetClientRequestId() != "mine" || got.GetRequestId() != "mine" || got.GetTraceId() == "" {
			t.Errorf("the stream gives %v for %v", got, answer)
		}
		if text := i.Run("telemetry", "summary", "-n", "shop"); !strings.Contains(text, fmt.Sprintf("%d:1", answer.Status)) {
			t.Errorf("the summary has no request of %d:\n%s", answer.Status, text)
		}
		lines := strings.Split(strings.TrimSpace(i.Run("telemetry", "requests", "-n", "shop", "--request-id", "mine", "-o", "name")), "\n")
		if !slices.Equal(lines, []string{"mine"}) {
			t.Errorf("the request is found as %q", lines)
		}
		if text := i.Run("telemetry", "series", "-n", "shop", "--by", "code"); !strings.Contains(text, fmt.Sprint(answer.Status)) {
			t.Errorf("the series has no column of %d:\n%s", answer.Status, text)
		}
		rest, err := i.REST(ctx, http.MethodGet, "/v1/"+endpointName("shop")+":summary", nil)
		if err != nil || rest.Status != http.StatusOK || !strings.Contains(string(rest.Body), `"requests"`) {
			t.Errorf("by REST: %v, %v", rest, err)
		}
	})
}
