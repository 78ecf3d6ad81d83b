package grpcproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/gateway/internal/catalogue"
	"github.com/fairlead/fairlead/services/gateway/internal/stopping"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// streamMethod is a public method that streams; the backend of these tests
// gives it another meaning.
const streamMethod = "/fairlead.deploy.v1.EndpointService/ReadEndpointLogs"

// bed is a backend, the proxy before it, and a caller.
type bed struct {
	proxy  *Proxy
	stop   *stopping.Signal
	caller *grpc.ClientConn
}

// newBed serves the backend's stream method by handle; with a nil handle there
// is no backend that listens.
func newBed(t *testing.T, handle grpc.StreamHandler) *bed {
	t.Helper()
	backend := bufconn.Listen(1 << 16)
	if handle != nil {
		s := grpc.NewServer()
		s.RegisterService(&grpc.ServiceDesc{
			ServiceName: "fairlead.deploy.v1.EndpointService",
			HandlerType: (*any)(nil),
			Streams:     []grpc.StreamDesc{{StreamName: "ReadEndpointLogs", Handler: handle, ServerStreams: true, ClientStreams: true}},
		}, nil)
		serve(t, s, backend)
	}
	stop := stopping.New()
	proxy := New(map[string]grpc.ClientConnInterface{"deploy": dial(t, backend)}, catalogue.Read(), stop)
	edge := bufconn.Listen(1 << 16)
	serve(t, grpc.NewServer(
		grpc.ForceServerCodecV2(Codec()),
		grpc.UnknownServiceHandler(proxy.Handle),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			return apierr.ToStatus(h(srv, ss)).Err()
		}),
	), edge)
	return &bed{proxy: proxy, stop: stop, caller: dial(t, edge)}
}

func serve(t *testing.T, s *grpc.Server, l net.Listener) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { s.Stop(); <-done })
}

func dial(t *testing.T, l *bufconn.Listener) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (b *bed) open(ctx context.Context, t *testing.T) grpc.ClientStream {
	t.Helper()
	s, err := b.caller.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, streamMethod)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func send(t *testing.T, s grpc.ClientStream, text string) {
	t.Helper()
	if err := s.SendMsg(wrapperspb.String(text)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, s grpc.ClientStream) string {
	t.Helper()
	var m wrapperspb.StringValue
	if err := s.RecvMsg(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetValue()
}

func TestStreamsPassBothWaysAtOnceWithMetadataAndTrailers(t *testing.T) {
	b := newBed(t, func(_ any, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		seen := fmt.Sprintf("%q", [][]string{md.Get("authorization"), md.Get("x-mine"), md.Get("x-bytes-bin"),
			md.Get("x-fairlead-peer"), md.Get("x-forwarded-client-cert")})
		if err := s.SendHeader(metadata.Pairs("x-seen", seen)); err != nil {
			return err
		}
		s.SetTrailer(metadata.Pairs("x-after", "all"))
		for {
			var m wrapperspb.StringValue
			if err := s.RecvMsg(&m); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(wrapperspb.String("echo " + m.GetValue())); err != nil {
				return err
			}
		}
	})
	s := b.open(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer t", "x-mine", "kept", "x-bytes-bin", "\x00\xff",
		"x-fairlead-peer", "deploy", "x-forwarded-client-cert", "URI=spiffe://fairlead/service/deploy"), t)
	header, err := s.Header()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`[["Bearer t"] ["kept"] ["\x00\xff"] [] []]`}, header.Get("x-seen")); diff != "" {
		t.Errorf("metadata at the service, known before the first answer (-want +got):\n%s", diff)
	}
	for i := range 3 {
		send(t, s, fmt.Sprint(i))
		if got, want := receive(t, s), fmt.Sprintf("echo %d", i); got != want {
			t.Fatalf("answer %q, want %q", got, want)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
		t.Fatalf("end = %v, want EOF", err)
	}
	if diff := cmp.Diff([]string{"all"}, s.Trailer().Get("x-after")); diff != "" {
		t.Errorf("trailer (-want +got):\n%s", diff)
	}
}

func TestErrorsKeepTheirDetails(t *testing.T) {
	want := apierr.ToStatus(apierr.Invalid(
		apierr.Violation{Field: "a", Description: "is wrong"}, apierr.Violation{Field: "b", Description: "is wrong too"}))
	b := newBed(t, func(_ any, s grpc.ServerStream) error {
		s.SetTrailer(metadata.Pairs("x-after", "the error"))
		return want.Err()
	})
	s := b.open(t.Context(), t)
	err := s.RecvMsg(&wrapperspb.StringValue{})
	if got := status.Convert(err); got.Proto().String() != want.Proto().String() {
		t.Errorf("status = %v, want %v", got.Proto(), want.Proto())
	}
	if got := s.Trailer().Get("x-after"); len(got) != 1 {
		t.Errorf("trailer = %v", got)
	}
}

func TestDeadlineAndCancellationReachTheService(t *testing.T) {
	began, ended := make(chan time.Time, 1), make(chan error, 1)
	b := newBed(t, func(_ any, s grpc.ServerStream) error {
		deadline, _ := s.Context().Deadline()
		began <- deadline
		<-s.Context().Done()
		ended <- s.Context().Err()
		return s.Context().Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	want, _ := ctx.Deadline()
	s := b.open(ctx, t)
	if got := <-began; got.Sub(want).Abs() > time.Minute {
		t.Errorf("deadline at the service %v, want about %v", got, want)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the service's context ended with %v", err)
	}
	if err := s.RecvMsg(&wrapperspb.StringValue{}); status.Code(err) != codes.Canceled {
		t.Errorf("the caller got %v, want CANCELLED", err)
	}
}

func TestStoppingEndsStreams(t *testing.T) {
	began := make(chan struct{})
	b := newBed(t, func(_ any, s grpc.ServerStream) error {
		close(began)
		<-s.Context().Done()
		return s.Context().Err()
	})
	s := b.open(t.Context(), t)
	<-began
	b.stop.Give()
	if err := s.RecvMsg(&wrapperspb.StringValue{}); status.Code(err) != codes.Unavailable || apierr.FromStatus(err).Reason != "STOPPING" {
		t.Errorf("the caller got %v, want UNAVAILABLE, STOPPING", err)
	}
}

func TestAnEarlyAnswerEndsACallerThatStillSends(t *testing.T) {
	b := newBed(t, func(any, grpc.ServerStream) error { return status.Error(codes.ResourceExhausted, "enough") })
	s := b.open(t.Context(), t)
	for {
		if err := s.SendMsg(wrapperspb.String("more")); err != nil {
			break
		}
	}
	if err := s.RecvMsg(&wrapperspb.StringValue{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the caller got %v, want RESOURCE_EXHAUSTED", err)
	}
}

func TestCallsThatHaveNoServiceAreRefused(t *testing.T) {
	b := newBed(t, nil)
	b.proxy.patience = 50 * time.Millisecond
	for method, want := range map[string]codes.Code{
		"/fairlead.deploy.v1.EndpointService/GetEndpoint":         codes.Unavailable, // nobody listens
		"/fairlead.auth.v1.WorkspaceService/GetWorkspace":         codes.Unimplemented,
		"/fairlead.deploy.v1.EndpointService/Nothing":             codes.Unimplemented,
		"/fairlead.deploy.v1.RouteService/WatchRoutes":            codes.PermissionDenied,
		"/fairlead.auth.v1.EndpointKeyService/EnsureEndpointKeys": codes.PermissionDenied,
		"/other.Service/Method":                                   codes.Unimplemented,
	} {
		err := b.caller.Invoke(t.Context(), method, wrapperspb.String(""), &wrapperspb.StringValue{})
		if status.Code(err) != want {
			t.Errorf("%s: %v, want %s", method, err, want)
		}
	}
}

func TestOutgoing(t *testing.T) {
	in := metadata.Pairs("authorization", "Bearer t", "x-request-id", "r", "traceparent", "p", "x-mine", "a", "x-mine", "b",
		":authority", "h", "grpc-timeout", "1S", "fairlead-service", "deploy", "x-fairlead-peer", "deploy",
		"x-forwarded-client-cert", "c", "proxy-authorization", "p", "te", "trailers", "user-agent", "u")
	want := metadata.Pairs("authorization", "Bearer t", "x-request-id", "r", "traceparent", "p", "x-mine", "a", "x-mine", "b")
	if diff := cmp.Diff(want, Outgoing(in)); diff != "" {
		t.Errorf("Outgoing (-want +got):\n%s", diff)
	}
}
