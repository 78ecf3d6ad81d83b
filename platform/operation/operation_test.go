package operation_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/memory"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

const target = "workspaces/w/endpoints/e"

// start runs a registry over a new store until the test ends.
func start(t *testing.T) (*memory.Store, *operation.Server, *operation.Registry) {
	t.Helper()
	st := memory.New()
	registry := operation.NewRegistry(st, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- registry.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	if err := registry.WaitSynced(ctx); err != nil {
		t.Fatal(err)
	}
	resolve := func(_ context.Context, o operation.Operation) (proto.Message, error) {
		if o.Verb == "delete" {
			return nil, apierr.New(apierr.NotFound, "GONE", "gone")
		}
		return wrapperspb.String(o.Target), nil
	}
	return st, operation.NewServer(registry, resolve), registry
}

func put(t *testing.T, st store.Writer, o operation.Operation) {
	t.Helper()
	if _, err := st.Apply(t.Context(), store.Batch{Ops: []store.Op{operation.Put(o)}}); err != nil {
		t.Fatal(err)
	}
}

func TestCourseOfAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, server, registry := start(t)
		o := operation.New("deploy", "w", "create", target, time.Now()).Step(time.Now(), "placing")
		put(t, st, o)
		waited := make(chan *longrunningpb.Operation, 1)
		go func() {
			got, err := server.WaitOperation(t.Context(), &longrunningpb.WaitOperationRequest{Name: o.Name()})
			if err != nil {
				t.Error(err)
			}
			waited <- got
		}()
		synctest.Wait()
		if open := registry.ForTarget(target); len(open) != 1 || open[0].ID != o.ID {
			t.Errorf("open on the target: %+v", open)
		}
		put(t, st, o.Succeed(time.Now()))
		got := <-waited
		var name wrapperspb.StringValue
		if !got.GetDone() || got.GetResponse().UnmarshalTo(&name) != nil || name.GetValue() != target {
			t.Errorf("got %v", got)
		}
		var meta resourcev1.OperationMetadata
		if err := got.GetMetadata().UnmarshalTo(&meta); err != nil || meta.GetVerb() != "create" || len(meta.GetSteps()) != 1 || meta.GetEndTime() == nil {
			t.Errorf("metadata %v, %v", &meta, err)
		}
	})
}

func TestWaitEndsWithItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, server, _ := start(t)
		o := operation.New("deploy", "w", "create", target, time.Now())
		put(t, st, o)
		got, err := server.WaitOperation(t.Context(), &longrunningpb.WaitOperationRequest{Name: o.Name(), Timeout: durationpb.New(time.Second)})
		if err != nil || got.GetDone() {
			t.Errorf("got %v, %v", got, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := server.WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: o.Name()}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that leaves gets %v", err)
		}
	})
}

func TestEnds(t *testing.T) {
	st, server, _ := start(t)
	now := time.Now()
	failed := operation.New("deploy", "w", "create", target, now).
		Fail(now, apierr.New(apierr.FailedPrecondition, "SCRIPT_ERROR", "init() raised").With("version", "a"))
	put(t, st, failed)
	got, err := server.GetOperation(t.Context(), &longrunningpb.GetOperationRequest{Name: failed.Name()})
	e := apierr.FromStatus(status.ErrorProto(got.GetError()))
	if err != nil || e.Reason != "SCRIPT_ERROR" || e.Metadata["version"] != "a" || e.Message != "init() raised" {
		t.Errorf("got %+v, %v", e, err)
	}
	deleted := operation.New("deploy", "w", "delete", target, now).Succeed(now)
	put(t, st, deleted)
	if got, err := server.GetOperation(t.Context(), &longrunningpb.GetOperationRequest{Name: deleted.Name()}); err != nil ||
		got.GetResponse().GetTypeUrl() != "type.googleapis.com/google.protobuf.Empty" {
		t.Errorf("got %v, %v", got, err)
	}
	for name, want := range map[string]codes.Code{"workspaces/w/operations/none": codes.NotFound, "nonsense": codes.InvalidArgument} {
		if _, err := server.GetOperation(t.Context(), &longrunningpb.GetOperationRequest{Name: name}); apierr.ToStatus(err).Code() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStepsAreBounded(t *testing.T) {
	o := operation.New("deploy", "w", "create", target, time.Now()).Step(time.Now(), "first")
	for i := range 200 {
		o = o.Step(time.Now(), "step %d", i).Step(time.Now(), "step %d", i)
	}
	if n := len(o.Steps); n != 50 || o.Steps[0].Message != "first" || o.Steps[n-1].Message != "step 199" {
		t.Errorf("%d steps from %q to %q", n, o.Steps[0].Message, o.Steps[n-1].Message)
	}
}

func TestARepeatedRequestFindsItsResult(t *testing.T) {
	st := memory.New()
	key := operation.RequestKey("w", "CreateEndpoint", "id-1")
	if _, ok, err := operation.Recorded(t.Context(), st, key); ok || err != nil {
		t.Fatalf("before: %v, %v", ok, err)
	}
	batch := func() store.Batch { return store.Batch{Ops: []store.Op{operation.Record(key, "the result")}} }
	if _, err := st.Apply(t.Context(), batch()); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Apply(t.Context(), batch()); err == nil {
		t.Error("the repetition was applied")
	}
	if got, ok, err := operation.Recorded(t.Context(), st, key); !ok || err != nil || got != "the result" {
		t.Errorf("got %q, %v, %v", got, ok, err)
	}
	if operation.RequestKey("w", "CreateEndpoint", "") != "" {
		t.Error("no id must mean no key")
	}
}

// No time to wait means: as it is now; also when the name can be no operation's.
func TestWaitWithoutTimeGivesTheOperationAsItIs(t *testing.T) {
	st, server, _ := start(t)
	o := operation.New("deploy", "w", "create", target, time.Now())
	put(t, st, o)
	for _, timeout := range []time.Duration{0, -time.Second, 1} {
		got, err := server.WaitOperation(t.Context(), &longrunningpb.WaitOperationRequest{Name: o.Name(), Timeout: durationpb.New(timeout)})
		if err != nil || got.GetDone() || got.GetName() != o.Name() {
			t.Errorf("wait %v: %v, %v", timeout, got, err)
		}
	}
	for _, name := range []string{o.Name() + "x", "workspaces/w/operations/" + strings.Repeat("x", 600)} {
		_, err := server.WaitOperation(t.Context(), &longrunningpb.WaitOperationRequest{Name: name, Timeout: durationpb.New(0)})
		if apierr.KindOf(err) != apierr.NotFound {
			t.Errorf("wait for %.50s: %v, want NotFound", name, err)
		}
	}
}

// reads counts what is asked of a store.
type reads struct {
	*memory.Store
	n atomic.Int64
}

func (r *reads) Get(ctx context.Context, key string) (store.Entry, error) {
	r.n.Add(1)
	return r.Store.Get(ctx, key)
}

// Every change of any operation would else make every waiter ask the store.
func TestAWaiterAsksTheStoreForItsOwnOperationOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &reads{Store: memory.New()}
		registry := operation.NewRegistry(st, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = registry.Run(ctx) })
		defer func() { cancel(); running.Wait() }()
		own := operation.New("deploy", "w", "create", target, time.Now())
		put(t, st, own)
		if err := registry.WaitSynced(ctx); err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			if o, err := registry.Wait(ctx, own.Name()); err != nil || !o.Done {
				t.Errorf("waited for %v, %v", o, err)
			}
		})
		for range 50 {
			put(t, st, operation.New("deploy", "w", "update", target, time.Now()))
			synctest.Wait()
		}
		if n := st.n.Load(); n > 3 {
			t.Errorf("50 changes of others made one waiter read %d times", n)
		}
		put(t, st, own.Succeed(time.Now()))
		synctest.Wait()
	})
}
