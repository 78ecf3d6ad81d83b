package batching_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/scorer/internal/batching"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// double answers with twice each number, and with the texts as they are. It fails as a whole when any number is negative.
type double struct {
	takes time.Duration
	shape []int64
	// mixes makes it answer with one row, whatever it is asked.
	mixes bool

	mu   sync.Mutex
	runs []int64 // rows of each
}

func (d *double) Metadata() tensor.Metadata {
	shape := d.shape
	if shape == nil {
		shape = []int64{-1, 2}
	}
	return tensor.Metadata{
		Inputs:  []tensor.Spec{{Name: "x", Datatype: tensor.Int64, Shape: shape}, {Name: "text", Datatype: tensor.Bytes, Shape: []int64{-1}, Optional: true}},
		Outputs: []tensor.Spec{{Name: "y", Datatype: tensor.Int64, Shape: shape}, {Name: "echo", Datatype: tensor.Bytes, Shape: []int64{-1}}},
	}
}

func (d *double) Infer(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	x := r.Inputs[0]
	d.mu.Lock()
	d.runs = append(d.runs, x.Shape[0])
	d.mu.Unlock()
	if d.takes > 0 {
		select {
		case <-time.After(d.takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	y := tensor.Tensor{Name: "y", Datatype: x.Datatype, Shape: x.Shape, Raw: []byte{}}
	for i := range x.Len() {
		if x.Int(i) < 0 {
			return nil, &tensor.Failure{Cause: "negative"}
		}
		y.Raw = tensor.AppendInt(y.Raw, y.Datatype, uint64(2*x.Int(i)))
	}
	if len(r.Outputs) == 1 {
		return &tensor.Response{Outputs: []tensor.Tensor{y}}, nil
	}
	if d.mixes {
		return &tensor.Response{Outputs: []tensor.Tensor{tensor.Of[int64]("y", []int64{1, 2}, 1, 2)}}, nil
	}
	echo := tensor.Tensor{Name: "echo", Datatype: tensor.Bytes, Shape: []int64{x.Shape[0]}, Strings: make([][]byte, x.Shape[0])}
	if len(r.Inputs) > 1 {
		echo.Strings = r.Inputs[1].Strings
	}
	return &tensor.Response{Outputs: []tensor.Tensor{y, echo}}, nil
}

func (d *double) sizes() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.runs
}

// running starts a batcher that ends with the test.
func running(t *testing.T, m *double, cfg batching.Config) *batching.Batcher {
	t.Helper()
	b := batching.New(m, cfg, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

func of(values ...int64) *tensor.Request {
	return &tensor.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{int64(len(values) / 2), 2}, values...)}, Outputs: []string{"y"}}
}

func check(t *testing.T, response *tensor.Response, err error, want ...int64) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	if diff := cmp.Diff([]tensor.Tensor{tensor.Of("y", []int64{int64(len(want) / 2), 2}, want...)}, response.Outputs); diff != "" {
		t.Error(diff)
	}
}

func config(size int, delay time.Duration) batching.Config {
	return batching.Config{Limits: batching.Limits{MaxSize: size, MaxDelay: delay}, Parallel: 1, MaxQueue: 8}
}

func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &double{takes: time.Millisecond}
		b := running(t, m, config(4, 10*time.Millisecond))
		var all sync.WaitGroup
		ask := func(values ...int64) {
			all.Go(func() {
				want := make([]int64, len(values))
				for i, v := range values {
					want[i] = 2 * v
				}
				response, err := b.Infer(t.Context(), of(values...))
				check(t, response, err, want...)
			})
		}
		began := time.Now()
		ask(1, 2)
		ask(3, 4, 5, 6)
		synctest.Wait()
		time.Sleep(9 * time.Millisecond)
		if len(m.sizes()) != 0 {
			t.Errorf("left too early: %v", m.sizes())
		}
		all.Wait()
		if took := time.Since(began); took != 11*time.Millisecond {
			t.Errorf("took %v", took)
		}
		for range 4 { // full
			ask(1, 1)
			synctest.Wait()
		}
		all.Wait()
		if took := time.Since(began); took != 12*time.Millisecond {
			t.Errorf("a full batch waited: %v", took)
		}
		if diff := cmp.Diff([]int64{3, 4}, m.sizes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatWaitsWhileTheModelRunsLeavesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &double{takes: 5 * time.Millisecond}
		b := running(t, m, config(8, 0))
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				response, err := b.Infer(t.Context(), of(1, 2))
				check(t, response, err, 2, 4)
			})
			synctest.Wait()
		}
		all.Wait()
		if diff := cmp.Diff([]int64{1, 5}, m.sizes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACallerThatLeavesHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &double{takes: 5 * time.Millisecond}
		b := running(t, m, config(4, 10*time.Millisecond))
		var all sync.WaitGroup
		for _, leaves := range []time.Duration{time.Millisecond, 12 * time.Millisecond} { // while it waits, while it runs
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer time.AfterFunc(leaves, cancel).Stop()
				if _, err := b.Infer(ctx, of(9, 9)); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			})
			synctest.Wait()
		}
		response, err := b.Infer(t.Context(), of(1, 2))
		check(t, response, err, 2, 4)
		all.Wait()
		if diff := cmp.Diff([]int64{2}, m.sizes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestARunNobodyWaitsForIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, &double{takes: time.Hour}, config(2, 0))
		began := time.Now()
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, _ = b.Infer(ctx, of(1, 2))
			})
		}
		all.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := b.Infer(ctx, of(1, 2)) // gets its turn
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 61*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestDeadlinesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &double{takes: 4 * time.Millisecond}
		b := running(t, m, config(8, time.Second))
		ask := func(within time.Duration) (*tensor.Response, error) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			return b.Infer(ctx, of(1, 2))
		}
		first, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		response, err := b.Infer(first, of(1, 2)) // shows how long a run takes
		check(t, response, err, 2, 4)
		began := time.Now()
		response, err = ask(20 * time.Millisecond)
		check(t, response, err, 2, 4)
		if took := time.Since(began); took != 16*time.Millisecond { // left when there was time for two runs
			t.Errorf("took %v", took)
		}
		runs := len(m.sizes())
		_, err = ask(3 * time.Millisecond)
		var failure *tensor.Failure
		if !errors.As(err, &failure) || failure.Kind != tensor.TimedOut || len(m.sizes()) != runs {
			t.Errorf("got %v after %d runs", err, len(m.sizes())-runs)
		}
	})
}

func TestAFailureIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &double{}
		b := running(t, m, config(3, time.Millisecond))
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				if i == 1 {
					var failure *tensor.Failure
					if _, err := b.Infer(t.Context(), of(1, -2)); !errors.As(err, &failure) {
						t.Errorf("got %v", err)
					}
					return
				}
				response, err := b.Infer(t.Context(), of(1, 2))
				check(t, response, err, 2, 4)
			})
		}
		all.Wait()
	})
}

func TestWhatMustRunAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &double{}
		b := running(t, m, config(4, time.Hour))
		withParameters := of(1, 2)
		withParameters.Parameters = tensor.Parameters{"sequence_id": int64(1)}
		response, err := b.Infer(t.Context(), withParameters)
		check(t, response, err, 2, 4)
		response, err = b.Infer(t.Context(), of())
		check(t, response, err)
		var invalid *tensor.InvalidError
		if _, err := b.Infer(t.Context(), &tensor.Request{}); !errors.As(err, &invalid) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAModelThatMixesRowsIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &double{mixes: true}
		b := running(t, m, config(2, time.Millisecond))
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				response, err := b.Infer(t.Context(), of(1, 2))
				check(t, response, err, 2, 4)
			})
			synctest.Wait()
		}
		all.Wait()
		if _, err := b.Infer(t.Context(), of(1, 2)); err != nil {
			t.Error(err)
		}
		if sizes := m.sizes(); sizes[len(sizes)-1] != 1 {
			t.Errorf("got %v", sizes)
		}
	})
}

func TestQueuesAreBounded(t *testing.T) {
	for name, size := range map[string]int{"together": 2, "alone": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config(size, 0)
				cfg.MaxQueue = 1
				b := running(t, &double{takes: time.Second}, cfg)
				var all sync.WaitGroup
				var refused, answered int
				var mu sync.Mutex
				for range 8 {
					all.Go(func() {
						_, err := b.Infer(t.Context(), of(1, 2))
						var failure *tensor.Failure
						mu.Lock()
						defer mu.Unlock()
						if errors.As(err, &failure) && failure.Kind == tensor.Overloaded {
							refused++
						} else if err == nil {
							answered++
						}
					})
					synctest.Wait()
				}
				all.Wait()
				if want := size + 1 + (size - 1); answered != want || refused != 8-want {
					t.Errorf("%d answered, %d refused", answered, refused)
				}
			})
		})
	}
}

func TestStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batching.New(&double{takes: time.Hour}, config(2, time.Hour), slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		var all sync.WaitGroup
		for range 3 { // two run, one waits
			all.Go(func() {
				if _, err := b.Infer(context.Background(), of(1, 2)); err == nil {
					t.Error("answered")
				}
			})
			synctest.Wait()
		}
		stop()
		all.Wait()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		var failure *tensor.Failure
		if _, err := b.Infer(t.Context(), of(1, 2)); !errors.As(err, &failure) || failure.Kind != tensor.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}

// Whoever asks at whatever time, gets the rows of its own.
func TestEverybodyGetsItsOwnRows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type request struct {
			after, leaves time.Duration
			width         int64
			values        []int64
		}
		requests := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) request {
			width := rapid.Int64Range(1, 2).Draw(t, "width")
			rows := rapid.IntRange(1, 5).Draw(t, "rows")
			return request{
				after: time.Duration(rapid.IntRange(0, 20).Draw(t, "after")), leaves: time.Duration(rapid.IntRange(5, 100).Draw(t, "leaves")),
				width: width, values: rapid.SliceOfN(rapid.Int64Range(0, 1000), rows*int(width), rows*int(width)).Draw(t, "values"),
			}
		}), 1, 12).Draw(rt, "requests")
		cfg := batching.Config{
			Limits:   batching.Limits{MaxSize: rapid.IntRange(1, 9).Draw(rt, "size"), MaxDelay: time.Duration(rapid.IntRange(0, 9).Draw(rt, "delay"))},
			Parallel: rapid.IntRange(1, 3).Draw(rt, "parallel"), MaxQueue: 100,
		}
		synctest.Test(t, func(t *testing.T) {
			b := running(t, &double{takes: 7, shape: []int64{-1, -1}}, cfg)
			var all sync.WaitGroup
			for _, r := range requests {
				all.Go(func() {
					time.Sleep(r.after)
					ctx, cancel := context.WithTimeout(t.Context(), r.leaves)
					defer cancel()
					rows := int64(len(r.values)) / r.width
					ask := &tensor.Request{Inputs: []tensor.Tensor{
						tensor.Of("x", []int64{rows, r.width}, r.values...), {Name: "text", Datatype: tensor.Bytes, Shape: []int64{rows}},
					}}
					doubled := make([]int64, len(r.values))
					for i, v := range r.values {
						doubled[i] = 2 * v
					}
					for i := range rows {
						ask.Inputs[1].Strings = append(ask.Inputs[1].Strings, fmt.Append(nil, r.values[0], i))
					}
					response, err := b.Infer(ctx, ask)
					var failure *tensor.Failure
					switch {
					case errors.Is(err, context.DeadlineExceeded), errors.As(err, &failure) && failure.Kind == tensor.TimedOut:
						return
					case err != nil:
						t.Error(err)
						return
					}
					want := []tensor.Tensor{
						tensor.Of("y", []int64{rows, r.width}, doubled...),
						{Name: "echo", Datatype: tensor.Bytes, Shape: []int64{rows}, Strings: ask.Inputs[1].Strings},
					}
					if diff := cmp.Diff(want, response.Outputs); diff != "" {
						t.Error(diff)
					}
				})
			}
			all.Wait()
		})
	})
}
