package eventstream

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/events"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/services/gateway/internal/stopping"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quietLog has no events; following it lasts until its context ends.
type quietLog struct{}

func (quietLog) Read(ctx context.Context, _ events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		<-ctx.Done()
		yield(events.Record{}, ctx.Err())
	}
}

// access lets everybody in until it is told what is wrong.
type access struct{ wrong atomic.Pointer[apierr.Error] }

func (a *access) Check(_ context.Context, token, _, _ string) (string, error) {
	if e := a.wrong.Load(); e != nil {
		return "", e
	}
	return token, nil
}

type stream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // it stands for a stream's
}

func (s stream) Context() context.Context                 { return s.ctx }
func (s stream) Send(*eventsv1.WatchEventsResponse) error { return nil }

func newService(a *access) *Service {
	return New(Deps{Logger: slog.New(slog.DiscardHandler), Log: quietLog{}, Access: a, Stopping: stopping.New(), KeepAlive: 15 * time.Second})
}

func watch(ctx context.Context, s *Service, token string) error {
	ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+token))
	return s.WatchEvents(&eventsv1.WatchEventsRequest{Parent: "workspaces/default"}, stream{ctx: ctx})
}

func TestARevokedTokenEndsOpenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &access{}
		s := newService(a)
		var running sync.WaitGroup
		running.Go(func() {
			if err := watch(t.Context(), s, "t"); apierr.KindOf(err) != apierr.Unauthenticated {
				t.Errorf("the gRPC stream ended with %v", err)
			}
		})
		rec := httptest.NewRecorder()
		var ended atomic.Bool
		running.Go(func() {
			defer ended.Store(true)
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.SetPathValue("workspace", "default")
			r.Header.Set("Authorization", "Bearer t")
			s.ServeHTTP(rec, r)
		})
		time.Sleep(time.Hour)
		a.wrong.Store(apierr.New(apierr.Unavailable, "AWAY", "auth is away")) // decides nothing
		time.Sleep(time.Hour)
		if ended.Load() {
			t.Error("a stream ended because its caller could not be checked")
		}
		a.wrong.Store(apierr.New(apierr.Unauthenticated, "TOKEN_REVOKED", "the token was revoked"))
		begin := time.Now()
		running.Wait()
		if took := time.Since(begin); took > recheckEvery {
			t.Errorf("the streams ended after %v", took)
		}
		if !strings.Contains(rec.Body.String(), "the token was revoked") {
			t.Errorf("server-sent events ended with %q", rec.Body.String()[max(0, rec.Body.Len()-200):])
		}
	})
}

func TestOnePrincipalCannotTakeAllStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(&access{})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for range maxStreams {
			running.Go(func() {
				if err := watch(ctx, s, "greedy"); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := watch(ctx, s, "greedy"); apierr.KindOf(err) != apierr.ResourceExhausted {
			t.Errorf("one more: %v", err)
		}
		var other sync.WaitGroup
		own, end := context.WithCancel(t.Context())
		other.Go(func() {
			if err := watch(own, s, "other"); !errors.Is(err, context.Canceled) {
				t.Errorf("another principal: %v", err)
			}
		})
		synctest.Wait()
		end()
		other.Wait()
		cancel()
		running.Wait()
		if len(s.open.of) != 0 {
			t.Errorf("still counted: %v", s.open.of)
		}
	})
}
