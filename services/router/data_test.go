package router

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/proto/gen/inference"

	"github.com/fairlead/fairlead/services/router/internal/controltest"
)

// TestGRPCOnTheDataPlane: one port has HTTP/1.1 and gRPC.
func TestGRPCOnTheDataPlane(t *testing.T) {
	plane := controltest.New(t)
	tell(t, plane, hello)
	s, _ := start(t, plane, "")
	awaitReady(t, s)
	conn, err := grpc.NewClient("passthrough:///"+s.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := inference.NewGRPCInferenceServiceClient(conn).ServerReady(t.Context(), &inference.ServerReadyRequest{})
	if err != nil || !got.GetReady() {
		t.Errorf("ready: %v, %v", got, err)
	}
	if status, body := score(t, s, keyOne); status != 200 {
		t.Errorf("HTTP/1.1: %d %s", status, body)
	}
}

// TestWebSocketIsFinishedBeforeItStops: it counts as a request that runs.
func TestWebSocketIsFinishedBeforeItStops(t *testing.T) {
	plane := controltest.New(t)
	tell(t, plane, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rw.ReadString('\n')
		fmt.Fprint(conn, line)
	})
	plane.SetRoute(&deployv1.Route{
		Endpoint: endpoint, EndpointUid: "u", DefaultVersion: "v1",
		Versions: []*deployv1.RouteVersion{{
			Version: "v1", Share: 10_000, Workload: workload, Runtime: deployv1.Runtime_KIND_CUSTOM,
			RequestSettings: &deployv1.RequestSettings{ScoringTimeout: durationpb.New(10 * time.Second), MaxConcurrentRequestsPerReplica: 2},
		}},
	})
	s, stop := start(t, plane, "")
	awaitReady(t, s)

	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/service/diabetes/ws HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", keyOne)
	from := bufio.NewReader(conn)
	answer, err := http.ReadResponse(from, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", answer, err)
	}
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		t.Fatal("stopped while a WebSocket was open")
	case <-time.After(50 * time.Millisecond):
	}
	fmt.Fprint(conn, "bye\n")
	if rest, err := io.ReadAll(from); err != nil || string(rest) != "bye\n" {
		t.Errorf("heard %q, %v", rest, err)
	}
	<-stopped
}
