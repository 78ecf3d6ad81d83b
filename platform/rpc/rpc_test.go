package rpc_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// subject answers with who called, or with what it was told to do.
type subject struct {
	longrunningpb.UnimplementedOperationsServer
}

func (subject) GetOperation(ctx context.Context, req *longrunningpb.GetOperationRequest) (*longrunningpb.Operation, error) {
	switch req.GetName() {
	case "panic":
		panic("oh")
	case "domain":
		return nil, apierr.New(apierr.FailedPrecondition, "BUSY", "busy").With("who", "me")
	}
	return &longrunningpb.Operation{Name: rpc.Principal(ctx) + "|" + rpc.PeerFrom(ctx)}, nil
}

func (subject) DeleteOperation(context.Context, *longrunningpb.DeleteOperationRequest) (*emptypb.Empty, error) {
	return nil, context.DeadlineExceeded
}

// access knows one token and remembers nothing.
type access struct{}

func (access) Check(_ context.Context, token, method, resource string) (string, error) {
	if token != "good" {
		return "", apierr.New(apierr.Unauthenticated, "UNKNOWN_TOKEN", "unknown token")
	}
	if strings.HasPrefix(resource, "workspaces/closed/") {
		return "", apierr.New(apierr.PermissionDenied, "NO", "not for you")
	}
	return "admin", nil
}

// serve runs the subject as service "deploy" on a network until the test ends.
func serve(t *testing.T, network rpc.Network) {
	t.Helper()
	l, err := network.Listen("deploy")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, network)
}

func serveOn(t *testing.T, l net.Listener, network rpc.Network) {
	t.Helper()
	s, err := rpc.NewServer(l, rpc.ServerDeps{
		Logger: slog.New(slog.DiscardHandler), Access: access{}, Credentials: network.Credentials(),
	})
	if err != nil {
		t.Fatal(err)
	}
	longrunningpb.RegisterOperationsServer(s, subject{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func dial(t *testing.T, network rpc.Network, from string) *grpc.ClientConn {
	t.Helper()
	conn, err := network.Dial(from, "deploy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func withToken(ctx context.Context, header string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", header)
}

func TestWhoCalls(t *testing.T) {
	network := rpc.NewMemory()
	serve(t, network)
	tests := []struct {
		name, from, authorization, resource string
		want                                string
		code                                codes.Code
	}{
		{name: "a service", from: "router", want: "service:router|router"},
		{name: "a person through the gateway", from: "gateway", authorization: "Bearer good", want: "admin|"},
		{name: "the scheme in any case", from: "gateway", authorization: "bearer good", want: "admin|"},
		{name: "the gateway has no say of its own", from: "gateway", code: codes.Unauthenticated},
		{name: "wrong token", from: "gateway", authorization: "Bearer bad", code: codes.Unauthenticated},
		{name: "wrong scheme", from: "gateway", authorization: "Basic good", code: codes.Unauthenticated},
		{name: "a bad token is not rescued by the transport", from: "router", authorization: "Bearer bad", code: codes.Unauthenticated},
		{name: "refused resource", from: "gateway", authorization: "Bearer good", resource: "workspaces/closed/operations/x", code: codes.PermissionDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			if tt.authorization != "" {
				ctx = withToken(ctx, tt.authorization)
			}
			got, err := longrunningpb.NewOperationsClient(dial(t, network, tt.from)).
				GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: tt.resource})
			if status.Code(err) != tt.code || got.GetName() != tt.want {
				t.Errorf("got %q, %v", got.GetName(), err)
			}
		})
	}
}

func TestErrorsCarryReasonAndRequestID(t *testing.T) {
	network := rpc.NewMemory()
	serve(t, network)
	client := longrunningpb.NewOperationsClient(dial(t, network, "router"))
	ctx := metadata.AppendToOutgoingContext(t.Context(), rpc.RequestIDHeader, "my-id")
	var header metadata.MD
	_, err := client.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: "domain"}, grpc.Header(&header))
	e := apierr.FromStatus(err)
	if e.Kind != apierr.FailedPrecondition || e.Reason != "BUSY" || e.Metadata["who"] != "me" {
		t.Errorf("got %+v", e)
	}
	id := ""
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RequestInfo); ok {
			id = info.GetRequestId()
		}
	}
	if id != "my-id" || len(header.Get(rpc.RequestIDHeader)) != 1 {
		t.Errorf("request id %q, header %v", id, header)
	}
	if _, err := client.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: "panic"}); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "oh") {
		t.Errorf("a panic gave %v", err)
	}
	if _, err := client.DeleteOperation(ctx, &longrunningpb.DeleteOperationRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a context error gave %v", err)
	}
}

func TestHealthIsOpen(t *testing.T) {
	network := rpc.NewMemory()
	serve(t, network)
	got, err := healthpb.NewHealthClient(dial(t, network, "gateway")).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	if err := rpc.CreateCerts(dir, []string{"deploy", "router", "gateway"}, []string{"localhost", "127.0.0.1"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := rpc.CreateCerts(dir, []string{"deploy"}, nil, time.Now()); err == nil {
		t.Error("an existing authority was overwritten")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addresses := map[string]string{"deploy": l.Addr().String()}
	network := func(dir, service string) *rpc.TCP {
		n, err := rpc.NewTCP(rpc.TCPConfig{Addresses: addresses, CertDir: dir, Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	serveOn(t, l, network(dir, "deploy"))
	call := func(n *rpc.TCP, from string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := longrunningpb.NewOperationsClient(dial(t, n, from)).GetOperation(ctx, &longrunningpb.GetOperationRequest{})
		return got.GetName(), err
	}
	if got, err := call(network(dir, "router"), "router"); got != "service:router|router" {
		t.Errorf("router: %q, %v", got, err)
	}
	if _, err := call(network(dir, "gateway"), "gateway"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("gateway: %v", err)
	}
	other := t.TempDir()
	if err := rpc.CreateCerts(other, []string{"router"}, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got, err := call(network(other, "router"), "router"); err == nil {
		t.Errorf("a certificate of another authority was believed: %q", got)
	}
}
