package rpc

import (
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/platform/apierr"
)

func TestAServiceThatIsAwayIsToldAsSuch(t *testing.T) {
	// Port 1 of loopback has no listener.
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)), grpc.WithUnaryInterceptor(unaryClient(50*time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if got := apierr.FromStatus(err); status.Code(err) != codes.Unavailable || got.Reason != "SERVICE_AWAY" {
		t.Errorf("a service that is away gives %v", err)
	}
}
