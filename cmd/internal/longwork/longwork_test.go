package longwork_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/longwork"
	"github.com/fairlead/fairlead/cmd/internal/progress"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answers plays the operations service: one answer after the other, the last
// again and again, each held for as long as the question allows.
type answers struct {
	longrunningpb.OperationsClient
	list []answer
	gets int
}

type answer struct {
	op  *longrunningpb.Operation
	err error
}

func (a *answers) WaitOperation(ctx context.Context, req *longrunningpb.WaitOperationRequest, _ ...grpc.CallOption) (*longrunningpb.Operation, error) {
	next := a.list[0]
	if len(a.list) > 1 {
		a.list = a.list[1:]
	}
	if next.err == nil && !next.op.GetDone() {
		select {
		case <-time.After(req.GetTimeout().AsDuration()):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	return next.op, next.err
}

func (a *answers) GetOperation(context.Context, *longrunningpb.GetOperationRequest, ...grpc.CallOption) (*longrunningpb.Operation, error) {
	a.gets++
	return a.list[0].op, nil
}

func operation(t *testing.T, done bool, steps ...string) *longrunningpb.Operation {
	t.Helper()
	m := &resourcev1.OperationMetadata{}
	for _, s := range steps {
		at := timestamppb.New(time.Unix(int64(s[0]), 0)) // a step keeps its time
		m.Steps = append(m.Steps, &resourcev1.OperationMetadata_Step{Time: at, Message: s})
	}
	packed, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return &longrunningpb.Operation{Name: "workspaces/default/operations/deploy-1", Done: done, Metadata: packed}
}

// wait waits with a display that keeps the texts of its lines.
func wait(ctx context.Context, ops *answers, first *longrunningpb.Operation) (*longrunningpb.Operation, []string, error) {
	var out bytes.Buffer
	display := progress.Start(progress.Config{Out: &out, Now: time.Now}, "title")
	w := &longwork.Waiter{Operations: ops, Display: display, Now: time.Now}
	op, err := w.Wait(ctx, first)
	display.End(err == nil)
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n")[1:] {
		_, text, _ := strings.Cut(strings.TrimSpace(l), "  ")
		lines = append(lines, text)
	}
	return op, lines, err
}

func TestEachStepIsShownOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := &answers{list: []answer{
			{op: operation(t, false, "a", "b")},
			{op: operation(t, false, "b", "c")}, // the server has dropped its oldest
			{op: operation(t, true, "b", "c", "d")},
		}}
		op, shown, err := wait(t.Context(), ops, operation(t, false, "a"))
		if err != nil || !op.GetDone() {
			t.Fatalf("got %v, %v", op, err)
		}
		if diff := cmp.Diff([]string{"a", "b", "c", "d"}, shown); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnOutageIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := answer{err: status.Error(codes.Unavailable, "away")}
		ops := &answers{list: []answer{away, away, away, {op: operation(t, true, "a", "b")}}}
		op, shown, err := wait(t.Context(), ops, operation(t, false, "a"))
		if err != nil || !op.GetDone() || len(shown) != 2 {
			t.Fatalf("got %v, %v, %v", op, shown, err)
		}
	})
}

func TestALongOutageIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := &answers{list: []answer{{err: status.Error(codes.Unavailable, "away")}}}
		begin := time.Now()
		_, _, err := wait(t.Context(), ops, operation(t, false))
		if status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took < time.Minute || took > 2*time.Minute {
			t.Errorf("gave up after %s", took)
		}
	})
}

func TestTheEndOfWaitingHasItsCause(t *testing.T) {
	for name, c := range map[string]struct {
		context func(context.Context) (context.Context, context.CancelFunc)
		want    error
	}{
		"timeout": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, failure.ErrTimeout)
		}, failure.ErrTimeout},
		"interrupt": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := c.context(t.Context())
				defer cancel()
				_, _, err := wait(ctx, &answers{list: []answer{{op: operation(t, false)}}}, operation(t, false))
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestAServerThatGivesUpWaitingIsAskedDirectly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := &answers{list: []answer{{err: status.Error(codes.DeadlineExceeded, "late")}, {op: operation(t, true)}}}
		op, _, err := wait(t.Context(), ops, operation(t, false))
		if err != nil || !op.GetDone() || ops.gets != 1 {
			t.Errorf("got %v, %v after %d direct questions", op, err, ops.gets)
		}
	})
}
