package rpc_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead/fairlead/platform/rpc"
)

// notes is an auditor that keeps what it is told.
type notes struct {
	mu    sync.Mutex
	calls []rpc.Call
}

func (n *notes) Record(c rpc.Call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, c)
}

func (n *notes) take() []rpc.Call {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.calls
	n.calls = nil
	return out
}

func TestChangesAndRefusalsAreAudited(t *testing.T) {
	network, auditor := rpc.NewMemory(), &notes{}
	l, err := network.Listen("deploy")
	if err != nil {
		t.Fatal(err)
	}
	s, err := rpc.NewServer(l, rpc.ServerDeps{
		Logger: slog.New(slog.DiscardHandler), Access: access{}, Audit: auditor, Credentials: network.Credentials(),
	})
	if err != nil {
		t.Fatal(err)
	}
	longrunningpb.RegisterOperationsServer(s, subject{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })

	const name = "workspaces/w/operations/o"
	edge, peer := longrunningpb.NewOperationsClient(dial(t, network, rpc.Gateway)), longrunningpb.NewOperationsClient(dial(t, network, "router"))
	from := func(header string) context.Context {
		return metadata.AppendToOutgoingContext(withToken(t.Context(), header), rpc.ClientAddressHeader, "192.0.2.7")
	}
	for what, tt := range map[string]struct {
		call   func() error
		want   codes.Code
		denied bool
		noted  bool
	}{
		"a change that fails": {func() error {
			_, err := edge.DeleteOperation(from("Bearer good"), &longrunningpb.DeleteOperationRequest{Name: name})
			return err
		}, codes.DeadlineExceeded, false, true},
		"a read": {func() error {
			_, err := edge.GetOperation(from("Bearer good"), &longrunningpb.GetOperationRequest{Name: name})
			return err
		}, codes.OK, false, false},
		"a read that is refused": {func() error {
			_, err := edge.GetOperation(from("Bearer bad"), &longrunningpb.GetOperationRequest{Name: name})
			return err
		}, codes.Unauthenticated, true, true},
		"a service": {func() error {
			_, err := peer.DeleteOperation(t.Context(), &longrunningpb.DeleteOperationRequest{Name: name})
			return err
		}, codes.DeadlineExceeded, false, false},
	} {
		err := tt.call()
		calls := auditor.take()
		if len(calls) != map[bool]int{true: 1}[tt.noted] {
			t.Errorf("%s (%v): %d calls were noted: %+v", what, err, len(calls), calls)
			continue
		}
		for _, c := range calls {
			if c.Code != tt.want || c.Denied != tt.denied || c.Resource != name || c.ClientAddress != "192.0.2.7" || c.RequestID == "" || c.Time.IsZero() {
				t.Errorf("%s: noted %+v", what, c)
			}
		}
	}
}

func TestAServicePassesOnWhoItCallsFor(t *testing.T) {
	network := rpc.NewMemory()
	serve(t, network)
	ask := func(ctx context.Context, from string) string {
		t.Helper()
		op, err := longrunningpb.NewOperationsClient(dial(t, network, from)).GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: "x"})
		if err != nil {
			return err.Error()
		}
		return op.GetName()
	}
	if got := ask(rpc.WithPrincipal(t.Context(), "user:änn"), "router"); got != "user:änn|router" {
		t.Errorf("for a user: %s", got)
	}
	if got := ask(rpc.WithPrincipal(t.Context(), "service:compute"), "router"); got != "service:router|router" {
		t.Errorf("for a service: %s", got)
	}
	forged := metadata.AppendToOutgoingContext(withToken(t.Context(), "Bearer good"), "fairlead-principal-bin", "user:eve")
	if got := ask(forged, rpc.Gateway); got != "admin|" {
		t.Errorf("through the gateway: %s", got)
	}
}
