package loadreport_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/router/internal/admission"
	"github.com/fairlead/fairlead/services/router/internal/loadreport"
	"github.com/fairlead/fairlead/services/router/internal/routetable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deploy takes reports as the deploy service does.
type deploy struct {
	deployv1.UnimplementedLoadServiceServer
	reports chan *deployv1.ReportLoadRequest
	refuse  chan error
}

func (d *deploy) ReportLoad(stream grpc.ClientStreamingServer[deployv1.ReportLoadRequest, deployv1.ReportLoadResponse]) error {
	for {
		report, err := stream.Recv()
		if err != nil {
			return err
		}
		select {
		case d.reports <- report:
		case err := <-d.refuse:
			return err
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func connect(t *testing.T, d *deploy) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	deployv1.RegisterLoadServiceServer(server, d)
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///deploy", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); server.Stop() })
	return conn
}

func TestReports(t *testing.T) {
	d := &deploy{reports: make(chan *deployv1.ReportLoadRequest), refuse: make(chan error)}
	routes := routetable.NewCurrent()
	reporter := loadreport.New(loadreport.Deps{Logger: slog.New(slog.DiscardHandler), Deploy: connect(t, d), Routes: routes})
	routes.Install(routetable.NewBuilder(reporter.Wake).Build(routetable.Inputs{Complete: true, Routes: []routetable.Route{{
		ID: routetable.ID{Workspace: "default", Endpoint: "diabetes"}, UID: "u", Default: "v1",
		Versions: []routetable.RouteVersion{{Name: "v1", Share: 10_000, Workload: "w", Holds: true, ScoringTimeout: time.Minute}},
	}}}, routes.Load(), time.Now()))

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- reporter.Run(ctx) }()
	if first := <-d.reports; len(first.GetLoads()) != 0 || first.GetRouter() == "" {
		t.Errorf("an idle router reports %v", first)
	}

	// A request that waits for a version without replicas is told at once.
	e, _ := routes.Load().Lookup(routetable.ID{Workspace: "default", Endpoint: "diabetes"})
	v, _ := e.Version("v1")
	waiting, leave := context.WithCancel(ctx)
	go func() {
		_, _ = v.Gate.Acquire(waiting, admission.Patience{Held: time.Now().Add(time.Minute)})
	}()
	for len((<-d.reports).GetLoads()) == 0 {
	}
	report := <-d.reports
	if len(report.GetLoads()) != 1 {
		t.Fatalf("the version is missing in %v", report)
	}
	l := report.GetLoads()[0]
	if l.GetEndpoint() != "workspaces/default/endpoints/diabetes" || l.GetVersion() != "v1" || l.GetQueuedNow() != 1 || l.GetQueued() != 1 || l.GetArrivals() != 1 {
		t.Errorf("report: %v", l)
	}

	// A stream that breaks is begun again by the same router.
	d.refuse <- errors.New("restarting")
	if again := <-d.reports; again.GetRouter() != report.GetRouter() {
		t.Errorf("router %s reports as %s after a break", report.GetRouter(), again.GetRouter())
	}
	leave()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
