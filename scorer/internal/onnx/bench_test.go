//go:build cgo

package onnx_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/fairlead/fairlead/scorer/internal/batching"
	"github.com/fairlead/fairlead/scorer/internal/onnxtest"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// pictures makes so many rows for the model digits.
func pictures(n int) []float32 {
	random := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, n*64)
	for i := range values {
		values[i] = float32(random.IntN(17))
	}
	return values
}

// BenchmarkONNX compares ONNX Runtime called directly, with all memory at hand, with what the scorer does: a session asked in
// tensors, alone and behind a batcher. Each operation is one run over the same rows.
func BenchmarkONNX(b *testing.B) {
	s := open(b, "digits")
	for _, n := range []int{1, 32, 256} {
		values := pictures(n)
		request := &tensor.Request{Inputs: []tensor.Tensor{tensor.Of("pixels", []int64{int64(n), 64}, values...)}}
		b.Run(fmt.Sprintf("direct/%d", n), func(b *testing.B) { direct(b, n, values) })
		b.Run(fmt.Sprintf("session/%d", n), func(b *testing.B) { ask(b, s, request) })
		for name, size := range map[string]int{"alone": 1, "batching": n} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				batcher := batching.New(s, batching.Config{
					Limits: batching.Limits{MaxSize: size, MaxDelay: time.Millisecond}, Parallel: 1, MaxQueue: 10,
				}, slog.New(slog.DiscardHandler))
				ctx, stop := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				go func() { ended <- batcher.Run(ctx) }()
				ask(b, batcher, request)
				stop()
				<-ended
			})
		}
	}
}

func ask(b *testing.B, m interface {
	Infer(ctx context.Context, r *tensor.Request) (*tensor.Response, error)
}, request *tensor.Request) {
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Infer(ctx, request); err != nil {
			b.Fatal(err)
		}
	}
}

// direct runs a session of the binding over tensors that are made once.
func direct(b *testing.B, n int, values []float32) {
	options, err := ort.NewSessionOptions()
	must(b, err)
	defer options.Destroy()
	must(b, options.SetIntraOpNumThreads(1))
	in, err := ort.NewTensor(ort.NewShape(int64(n), 64), values)
	must(b, err)
	defer in.Destroy()
	odds, err := ort.NewEmptyTensor[float32](ort.NewShape(int64(n), 10))
	must(b, err)
	defer odds.Destroy()
	digit, err := ort.NewEmptyTensor[int64](ort.NewShape(int64(n)))
	must(b, err)
	defer digit.Destroy()
	session, err := ort.NewAdvancedSession(onnxtest.Model("digits"), []string{"pixels"}, []string{"probabilities", "digit"},
		[]ort.Value{in}, []ort.Value{odds, digit}, options)
	must(b, err)
	defer session.Destroy()
	for b.Loop() {
		must(b, session.Run())
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
