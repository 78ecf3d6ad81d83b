// Package oip answers the Open Inference Protocol, version 2, for the one model of a scorer: REST with the binary tensor data extension, and
// gRPC on the same port.
//
//	GET  /v2                                          the server's metadata
//	GET  /v2/health/live, /v2/health/ready            200, or 400 for not ready
//	GET  /v2/models/{m}[/versions/{v}]                the model's metadata
//	GET  /v2/models/{m}[/versions/{v}]/ready          200, or 400 for not ready
//	POST /v2/models/{m}[/versions/{v}]/infer          an answer
//	     inference.GRPCInferenceService               the same by gRPC
//
// Both ways go through the same check and the same call, so they give equal answers. A Handler may be used from any goroutine.
package oip

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/proto/gen/inference"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// HeaderTimeout says how many milliseconds are left for a request over REST.
const HeaderTimeout = "X-Fairlead-Timeout-Ms"

// extension is the one that the server has.
const extension = "binary_tensor_data"

// Model answers in tensors.
type Model interface {
	// Metadata gives the signature. It does not change.
	Metadata() tensor.Metadata
	// Infer answers a request that passed Metadata().Check: with the outputs it asks for, in that order. It fails with a
	// *tensor.InvalidError, a *tensor.Failure or the context's error; another error is not told to the caller.
	Infer(ctx context.Context, r *tensor.Request) (*tensor.Response, error)
}

// gate counts the requests inside.
type gate interface {
	Enter() bool
	Leave()
	IsShut() bool
}

// Config is what the handler needs to know.
type Config struct {
	// Server and Version name this server.
	Server, Version string
	// Names and Versions are those by which the model may be asked for; the first of each is its own. Without names every name will
	// do, without versions only none.
	Names, Versions []string
	// MaxBody is the longest request, in bytes.
	MaxBody int64
}

// Deps is what the handler uses.
type Deps struct {
	// Model gives the model. It is asked once Loaded; its error says why there are no tensors.
	Model func() (Model, error)
	// Loaded reports whether the runtime has become able to answer, Up whether it could answer now.
	Loaded, Up func() bool
	Gate       gate
	Log        *slog.Logger
}

// Handler answers the protocol. Use New.
type Handler struct {
	cfg  Config
	deps Deps
	grpc *grpc.Server
}

// New makes a handler.
func New(cfg Config, deps Deps) *Handler {
	h := &Handler{cfg: cfg, deps: deps}
	h.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(int(cfg.MaxBody)))
	inference.RegisterGRPCInferenceServiceServer(h.grpc, &service{handler: h})
	return h
}

// Close ends what runs over gRPC.
func (h *Handler) Close() { h.grpc.Stop() }

// IsGRPC reports whether a request is one by gRPC.
func IsGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Inside until the answer is written; who did not get in is refused where the answer is made.
	if h.deps.Gate.Enter() {
		defer h.deps.Gate.Leave()
	}
	if IsGRPC(r) {
		h.grpc.ServeHTTP(w, r)
		return
	}
	h.serveREST(w, r)
}

// asked is what a request names.
type asked struct{ name, version string }

// find gives the model that a request names, and the name and version to answer with.
func (h *Handler) find(a asked) (Model, asked, error) {
	if len(h.cfg.Names) > 0 && !slices.Contains(h.cfg.Names, a.name) {
		return nil, a, notFound("there is no model %q; there is %s", a.name, quoted(h.cfg.Names))
	}
	if a.version != "" && !slices.Contains(h.cfg.Versions, a.version) {
		return nil, a, notFound("model %q has no version %q; it has %s", a.name, a.version, quoted(h.cfg.Versions))
	}
	if a.version == "" && len(h.cfg.Versions) > 0 {
		a.version = h.cfg.Versions[0]
	}
	if !h.deps.Loaded() {
		return nil, a, &tensor.Failure{Kind: tensor.Unavailable, Cause: "the model is not loaded yet"}
	}
	model, err := h.deps.Model()
	if err != nil {
		return nil, a, &noTensorsError{cause: err}
	}
	return model, a, nil
}

// ownVersion gives the version by which the model is described; it may have others that are good for asking only.
func (h *Handler) ownVersion() []string {
	return append([]string{}, h.cfg.Versions[:min(1, len(h.cfg.Versions))]...)
}

func (h *Handler) isReady() bool { return h.deps.Loaded() && h.deps.Up() && !h.deps.Gate.IsShut() }

// infer has the model answer. The names of what is asked for are those of find.
func (h *Handler) infer(ctx context.Context, model Model, r *tensor.Request) (*tensor.Response, error) {
	if h.deps.Gate.IsShut() {
		return nil, &tensor.Failure{Kind: tensor.Unavailable, Cause: "the server is shutting down"}
	}
	if err := model.Metadata().Check(r); err != nil {
		return nil, err
	}
	response, err := model.Infer(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(r.Outputs) > 0 && len(response.Outputs) != len(r.Outputs) {
		return nil, errors.New("the model gave other outputs than it was asked for")
	}
	return response, nil
}

// withTimeout ends the context when the time that the caller says is left has passed.
func withTimeout(ctx context.Context, h http.Header) (context.Context, context.CancelFunc) {
	ms, err := strconv.ParseInt(h.Get(HeaderTimeout), 10, 32)
	if err != nil || ms < 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
}

func quoted(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = strconv.Quote(n)
	}
	return strings.Join(texts, ", ")
}
