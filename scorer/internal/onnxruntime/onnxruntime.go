// Package onnxruntime is the runtime that answers with an ONNX model: it loads it, puts requests together when it may, and answers
// /score and the Open Inference Protocol with it.
//
// A Runtime may be used from any goroutine; Run is called once.
package onnxruntime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/scorer/internal/batching"
	"github.com/fairlead/fairlead/scorer/internal/oip"
	"github.com/fairlead/fairlead/scorer/internal/onnx"
	"github.com/fairlead/fairlead/scorer/internal/server"
	"github.com/fairlead/fairlead/scorer/internal/swagger"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorscore"
	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// Name is the runtime's name in configurations and status answers.
const Name = "onnx"

// Reasons of a *worker.LoadError.
const (
	LibraryMissing = "OnnxRuntimeMissing"
	ModelError     = "ModelError"
)

// Config is what the runtime needs to know.
type Config struct {
	Model onnx.Config
	// Batching says how requests are put together; its Parallel follows from the provider.
	Batching batching.Config
	// Limit is how long one request may take, MaxBody how many bytes it may have.
	Limit   time.Duration
	MaxBody int64
}

// Runtime answers with a model.
type Runtime struct {
	cfg   Config
	log   *slog.Logger
	score *tensorscore.Handler
	model atomic.Pointer[loaded]

	// running is held by each request that uses the model; the end of Run waits for them.
	running sync.RWMutex
}

// loaded is a model that can be asked.
type loaded struct {
	*batching.Batcher
	session *onnx.Session
	schemas swagger.Schemas
	// life ends when the runtime does; what requests do ends with it, too.
	life context.Context
}

// New makes a runtime; nothing is loaded before Run.
func New(cfg Config, log *slog.Logger) *Runtime {
	return &Runtime{cfg: cfg, log: log, score: tensorscore.New(cfg.MaxBody, log)}
}

// Run loads the model and keeps it until ctx ends. A model that can't be loaded ends it with a *worker.LoadError.
func (r *Runtime) Run(ctx context.Context) error {
	session, err := onnx.Open(r.cfg.Model, onnx.Deps{Log: r.log})
	if err != nil {
		return loadError(err)
	}
	cfg, metadata := r.cfg.Batching, session.Metadata()
	// A processor computes several requests side by side; an accelerator is best given one run after the other.
	if cfg.Parallel = 1; session.Choice().Provider == onnx.CPU {
		cfg.Parallel = max(1, r.cfg.Model.Threads)
	}
	if cfg.Limits.MaxSize > 1 && !onnx.Batchable(metadata) {
		r.log.Warn("requests are not put together: not all inputs and outputs of the model leave their first dimension open")
		cfg.Limits.MaxSize = 1
	}
	schemas, err := tensorscore.Schemas(metadata)
	if err != nil {
		return fmt.Errorf("describe the model: %w", err)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	m := &loaded{Batcher: batching.New(session, cfg, r.log), session: session, schemas: schemas, life: ctx}
	r.model.Store(m)
	err = m.Run(ctx)
	end()
	r.running.Lock()
	defer r.running.Unlock()
	session.Close()
	return err
}

func loadError(err error) error {
	var library *onnx.LibraryError
	var model *onnx.ModelError
	switch {
	case errors.As(err, &library):
		return &worker.LoadError{Reason: LibraryMissing, Cause: err.Error()}
	case errors.As(err, &model):
		return &worker.LoadError{Reason: ModelError, Cause: err.Error()}
	}
	return err
}

// Loaded reports whether the model can be asked.
func (r *Runtime) Loaded() bool { return r.model.Load() != nil }

// Status gives a snapshot.
func (r *Runtime) Status() server.Status {
	s := server.Status{Runtime: Name, Pending: "the model is being loaded", Configured: 1}
	m := r.model.Load()
	if m == nil {
		return s
	}
	s.Loaded, s.Ready = true, 1
	choice := m.session.Choice()
	s.ExecutionProvider = string(choice.Provider)
	for _, refused := range choice.Refused {
		s.ProvidersRefused = append(s.ProvidersRefused, server.Refusal{Provider: string(refused.Provider), Cause: refused.Cause})
	}
	return s
}

// Schemas describes what the model takes and gives.
func (r *Runtime) Schemas() swagger.Schemas {
	if m := r.model.Load(); m != nil {
		return m.schemas
	}
	return swagger.Schemas{}
}

// Tensors gives the model as one that answers in tensors.
func (r *Runtime) Tensors() (oip.Model, error) {
	if r.model.Load() == nil {
		return nil, unloaded()
	}
	return r, nil
}

func unloaded() error {
	return &tensor.Failure{Kind: tensor.Unavailable, Cause: "the model is not loaded"}
}

// Metadata is the model's signature; empty before it is loaded.
func (r *Runtime) Metadata() tensor.Metadata {
	if m := r.model.Load(); m != nil {
		return m.Metadata()
	}
	return tensor.Metadata{}
}

// Infer computes an answer within the runtime's limit.
func (r *Runtime) Infer(ctx context.Context, request *tensor.Request) (*tensor.Response, error) {
	r.running.RLock()
	defer r.running.RUnlock()
	m := r.model.Load()
	if m == nil || m.life.Err() != nil {
		return nil, unloaded()
	}
	limited, cancel := context.WithTimeout(ctx, r.cfg.Limit)
	defer cancel()
	defer context.AfterFunc(m.life, cancel)() //nolint:contextcheck // it ends with the runtime as well as with its caller
	response, err := m.Infer(limited, request)
	switch {
	case err == nil || ctx.Err() != nil:
		return response, err
	case m.life.Err() != nil:
		return nil, &tensor.Failure{Kind: tensor.Unavailable, Cause: "the scorer is stopping"}
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &tensor.Failure{Kind: tensor.TimedOut, Cause: fmt.Sprintf("Scoring timeout after %d ms", r.cfg.Limit.Milliseconds())}
	}
	return nil, err
}

// Score answers a request to /score.
func (r *Runtime) Score(w http.ResponseWriter, request *http.Request, _ string) {
	left, err := strconv.ParseInt(request.Header.Get(oip.HeaderTimeout), 10, 32)
	if err == nil && left >= 0 {
		ctx, cancel := context.WithTimeout(request.Context(), time.Duration(left)*time.Millisecond)
		defer cancel()
		request = request.WithContext(ctx)
	}
	r.score.Score(w, request, r)
}
