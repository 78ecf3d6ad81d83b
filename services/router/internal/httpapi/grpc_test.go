package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead/fairlead/proto/gen/inference"

	"github.com/fairlead/fairlead/services/router/balancing"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

// inferrer is a replica that speaks gRPC.
type inferrer struct {
	inference.UnimplementedGRPCInferenceServiceServer
	name  string
	infer func(context.Context, *inference.ModelInferRequest) error
}

func (i *inferrer) ModelInfer(ctx context.Context, r *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	if i.infer != nil {
		if err := i.infer(ctx, r); err != nil {
			return nil, err
		}
	}
	return &inference.ModelInferResponse{ModelName: i.name, Id: r.GetId(), RawOutputContents: r.GetRawInputContents()}, nil
}

func (i *inferrer) ModelReady(context.Context, *inference.ModelReadyRequest) (*inference.ModelReadyResponse, error) {
	return &inference.ModelReadyResponse{Ready: true}, nil
}

// echoStream is a method of a server of the user's own: it sends back what comes, as it comes.
func echoStream() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{ServiceName: "own.Echo", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "Talk", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			for {
				var m wrapperspb.StringValue
				if err := stream.RecvMsg(&m); err != nil {
					if errors.Is(err, io.EOF) {
						return nil
					}
					return err
				}
				if err := stream.SendMsg(&m); err != nil {
					return err
				}
			}
		},
	}}}
}

func grpcReplica(t *testing.T, i *inferrer) routetable.Replica {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	inference.RegisterGRPCInferenceServiceServer(server, i)
	server.RegisterService(echoStream(), nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return routetable.Replica{ID: i.name, Address: listener.Addr().String(), State: balancing.Ready}
}

// dial gives a connection to the bed.
func (b *bed) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(b.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// with is a context with the key and more metadata.
func with(t *testing.T, pairs ...string) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, append([]string{"authorization", "Bearer " + key}, pairs...)...)
}

func TestGRPCReachesTheScorer(t *testing.T) {
	b := newBed(t, 64<<20)
	v1, v2 := version("v1", 10_000), version("v2", 0)
	b.install(route(v1, v2), map[string][]routetable.Replica{
		"w-v1": {grpcReplica(t, &inferrer{name: "one"})}, "w-v2": {grpcReplica(t, &inferrer{name: "two"})},
	})
	client := inference.NewGRPCInferenceServiceClient(b.dial(t))
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for name, test := range map[string]struct {
		ctx     context.Context
		request *inference.ModelInferRequest
		want    string
	}{
		"by name":            {with(t), &inference.ModelInferRequest{ModelName: "diabetes", Id: "1"}, "one"},
		"by name, large":     {with(t), &inference.ModelInferRequest{ModelName: "diabetes", Id: "1", RawInputContents: [][]byte{large}}, "one"},
		"model_version":      {with(t), &inference.ModelInferRequest{ModelName: "diabetes", ModelVersion: "v2"}, "two"},
		"version's metadata": {with(t, "azureml-model-deployment", "v2"), &inference.ModelInferRequest{ModelName: "diabetes"}, "two"},
		"endpoint's metadata": {
			with(t, "fairlead-endpoint", "diabetes"), &inference.ModelInferRequest{ModelName: "resnet", ModelVersion: "3"}, "one",
		},
		"workspace in the metadata": {with(t, "fairlead-endpoint", "default/diabetes"), &inference.ModelInferRequest{}, "one"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
				var head metadata.MD
				got, err := client.ModelInfer(test.ctx, test.request, append(options, grpc.Header(&head))...)
				if err != nil || got.GetModelName() != test.want || got.GetId() != test.request.GetId() ||
					!slices.EqualFunc(got.GetRawOutputContents(), test.request.GetRawInputContents(), bytes.Equal) {
					t.Fatalf("%v: got %.200v, %v", options, got, err)
				}
				if version := head.Get("azureml-model-deployment"); len(version) != 1 || len(head.Get("x-ms-request-id")) != 1 {
					t.Errorf("metadata %v", head)
				}
				if q := b.counted.take(t); q.Code != 200 || q.Replica != test.want || q.RequestBytes == 0 {
					t.Errorf("counted %+v", q)
				}
			}
		})
	}
	ready, err := client.ModelReady(with(t), &inference.ModelReadyRequest{Name: "diabetes"})
	if err != nil || !ready.GetReady() {
		t.Errorf("ready: %v, %v", ready, err)
	}
	b.counted.none(t)
}

func TestGRPCServerAnswersForItself(t *testing.T) {
	b := newBed(t, 1000)
	client := inference.NewGRPCInferenceServiceClient(b.dial(t))
	if got, err := client.ServerReady(t.Context(), &inference.ServerReadyRequest{}); err != nil || got.GetReady() {
		t.Errorf("ready before the table is complete: %v, %v", got, err)
	}
	b.serve(nil)
	live, err := client.ServerLive(t.Context(), &inference.ServerLiveRequest{})
	if err != nil || !live.GetLive() {
		t.Errorf("live: %v, %v", live, err)
	}
	if got, err := client.ServerReady(t.Context(), &inference.ServerReadyRequest{}); err != nil || !got.GetReady() {
		t.Errorf("ready: %v, %v", got, err)
	}
	about, err := client.ServerMetadata(t.Context(), &inference.ServerMetadataRequest{})
	if err != nil || about.GetName() != "fairlead" || about.GetVersion() != "1.2" || len(about.GetExtensions()) != 1 {
		t.Errorf("metadata: %v, %v", about, err)
	}
	b.counted.none(t)
}

func TestGRPCRefusals(t *testing.T) {
	b := newBed(t, 1000)
	failing := &inferrer{name: "one", infer: func(ctx context.Context, r *inference.ModelInferRequest) error {
		switch r.GetId() {
		case "wait":
			<-ctx.Done()
			return ctx.Err()
		case "bad":
			return status.Error(codes.InvalidArgument, "input x is missing: 100 %")
		}
		return nil
	}}
	v1, v2, v3 := version("v1", 10_000), version("v2", 0), version("v3", 0)
	v2.MaxQueueWait = time.Millisecond
	b.install(route(v1, v2, v3), map[string][]routetable.Replica{
		"w-v1": {grpcReplica(t, failing)}, "w-v3": {replica(t, "http", answers("hello"))},
	})
	client := inference.NewGRPCInferenceServiceClient(b.dial(t))
	hurry, cancel := context.WithTimeout(with(t), 100*time.Millisecond)
	defer cancel()
	request := func(model, id string) *inference.ModelInferRequest {
		return &inference.ModelInferRequest{ModelName: model, Id: id}
	}
	for name, test := range map[string]struct {
		ctx     context.Context
		request *inference.ModelInferRequest
		want    codes.Code
		text    string
		counts  int
	}{
		"no key":         {t.Context(), request("diabetes", ""), codes.Unauthenticated, "no Auth Header", 401},
		"no endpoint":    {with(t), request("other", ""), codes.NotFound, "There is no endpoint other", 404},
		"no name":        {with(t), request("", "x"), codes.InvalidArgument, "names no endpoint", 400},
		"bad metadata":   {with(t, "fairlead-endpoint", "a/b/c"), request("", ""), codes.InvalidArgument, "fairlead-endpoint is", 400},
		"no version":     {with(t, "azureml-model-deployment", "v9"), request("diabetes", ""), codes.NotFound, "has no version v9", 404},
		"two versions":   {with(t, "azureml-model-deployment", "v9"), &inference.ModelInferRequest{ModelName: "diabetes", ModelVersion: "v1"}, codes.InvalidArgument, "name one", 400},
		"no replica":     {with(t, "azureml-model-deployment", "v2"), request("diabetes", ""), codes.Unavailable, "No ready replicas", 503},
		"too large":      {with(t), request("diabetes", strings.Repeat("x", 1001)), codes.ResourceExhausted, "larger than", 413},
		"no gRPC there":  {with(t, "azureml-model-deployment", "v3"), request("diabetes", ""), codes.Unavailable, "", 502},
		"its own error":  {with(t), request("diabetes", "bad"), codes.InvalidArgument, "input x is missing: 100 %", 400},
		"caller's limit": {hurry, request("diabetes", "wait"), codes.DeadlineExceeded, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.ModelInfer(test.ctx, test.request)
			if status.Code(err) != test.want || !strings.Contains(status.Convert(err).Message(), test.text) {
				t.Errorf("got %v, want %v %q", err, test.want, test.text)
			}
			if q := b.counted.take(t); test.counts != 0 && q.Code != test.counts {
				t.Errorf("counted %+v, want %d", q, test.counts)
			}
		})
	}
	err := b.dial(t).Invoke(with(t, "fairlead-endpoint", "diabetes"), "/own.Echo/Talk", &wrapperspb.StringValue{}, &wrapperspb.StringValue{})
	if status.Code(err) != codes.NotFound {
		t.Errorf("a method of a custom server where there is none: %v", err)
	}
}

// TestGRPCStream: a custom server's own service, in both directions at once.
func TestGRPCStream(t *testing.T) {
	b := newBed(t, 1<<20)
	b.serve(func(v *routetable.RouteVersion) { v.Custom = true }, grpcReplica(t, &inferrer{name: "one"}))
	stream, err := b.dial(t).NewStream(with(t, "fairlead-endpoint", "diabetes"), &echoStream().Streams[0], "/own.Echo/Talk")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"one", "two", "three"} {
		if err := stream.SendMsg(wrapperspb.String(word)); err != nil {
			t.Fatal(err)
		}
		var got wrapperspb.StringValue
		if err := stream.RecvMsg(&got); err != nil || got.GetValue() != word {
			t.Fatalf("got %q, %v", got.GetValue(), err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v", err)
	}
	if q := b.counted.take(t); q.Code != 200 {
		t.Errorf("counted %+v", q)
	}
}
