package oip_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead/fairlead/proto/gen/inference"
	"github.com/fairlead/fairlead/scorer/internal/gate"
	"github.com/fairlead/fairlead/scorer/internal/oip"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mirror gives each input back as the output of the same name; an output that is asked for without its input is empty.
type mirror struct {
	specs []tensor.Spec
	err   error
	// asked gets every request.
	asked atomic.Pointer[tensor.Request]
}

func (m *mirror) Metadata() tensor.Metadata {
	return tensor.Metadata{Name: "mirror", Platform: "mirror_glass", Inputs: m.specs, Outputs: m.specs}
}

func (m *mirror) Infer(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	m.asked.Store(r)
	if m.err != nil {
		return nil, m.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := &tensor.Response{}
	for _, spec := range m.Metadata().Wanted(r) {
		at := slices.IndexFunc(r.Inputs, func(t tensor.Tensor) bool { return t.Name == spec.Name })
		switch {
		case at >= 0:
			input := r.Inputs[at]
			input.Parameters = nil
			out.Outputs = append(out.Outputs, input)
		case len(r.Outputs) > 0:
			out.Outputs = append(out.Outputs, tensor.Tensor{Name: spec.Name, Datatype: spec.Datatype, Shape: make([]int64, len(spec.Shape))})
		}
	}
	return out, nil
}

func allOptional(specs ...tensor.Spec) []tensor.Spec {
	for i := range specs {
		specs[i].Optional = true
	}
	return specs
}

// everyType has an input of each datatype, named like it, of one dimension.
func everyType() *mirror {
	var specs []tensor.Spec
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		specs = append(specs, tensor.Spec{Name: d.String(), Datatype: d, Shape: []int64{-1}})
	}
	return &mirror{specs: allOptional(specs...)}
}

// serving is a handler on a port.
type serving struct {
	url     string
	client  inference.GRPCInferenceServiceClient
	gate    *gate.Gate
	model   *mirror
	loaded  atomic.Bool
	up      atomic.Bool
	without error // why there are no tensors
	replace oip.Model
}

func newServing(model *mirror) (*serving, *oip.Handler) {
	s := &serving{gate: gate.New(), model: model}
	s.loaded.Store(true)
	s.up.Store(true)
	return s, oip.New(
		oip.Config{Server: "fairlead", Version: "test", Names: []string{"m", "other"}, Versions: []string{"blue", "3"}, MaxBody: 1 << 20},
		oip.Deps{
			Model: func() (oip.Model, error) {
				if s.replace != nil {
					return s.replace, nil
				}
				return s.model, s.without
			},
			Loaded: s.loaded.Load, Up: s.up.Load, Gate: s.gate, Log: slog.New(slog.DiscardHandler),
		})
}

func handlerOf(model *mirror) *oip.Handler {
	_, handler := newServing(model)
	return handler
}

func serve(t testing.TB, model *mirror) *serving {
	t.Helper()
	s, handler := newServing(model)
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	conn, err := grpc.NewClient(server.Listener.Addr().(*net.TCPAddr).String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		handler.Close()
		server.Close()
	})
	s.url, s.client = server.URL, inference.NewGRPCInferenceServiceClient(conn)
	return s
}
