package gateway_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/rpc"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-token"

// access knows one token and the workspaces default and other.
type access struct{}

func (access) Check(_ context.Context, given, _, resource string) (string, error) {
	if given != token {
		return "", apierr.New(apierr.Unauthenticated, "TOKEN_UNKNOWN", "the token is not known")
	}
	if w := resourcename.Workspace(resource); w != "" && w != "-" && w != "default" && w != "other" && w != "missing" {
		return "", apierr.New(apierr.NotFound, "WORKSPACE_NOT_FOUND", "workspace %q does not exist", w)
	}
	return "admin", nil
}

// auth is a fake auth service: it answers with what it was asked.
type auth struct {
	authv1.UnimplementedWorkspaceServiceServer
	mu   sync.Mutex
	seen metadata.MD
}

func (a *auth) note(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen, _ = metadata.FromIncomingContext(ctx)
}

func (a *auth) metadata() metadata.MD {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen
}

func (a *auth) GetWorkspace(ctx context.Context, req *authv1.GetWorkspaceRequest) (*authv1.Workspace, error) {
	a.note(ctx)
	switch req.GetName() {
	case "workspaces/missing":
		return nil, apierr.New(apierr.NotFound, "WORKSPACE_NOT_FOUND", "there is none").With("workspace", "missing")
	case "workspaces/other":
		return nil, errors.New("a cause that callers must not see")
	}
	return &authv1.Workspace{Name: req.GetName(), Etag: `"e"`}, nil
}

func (*auth) ListWorkspaces(_ context.Context, req *authv1.ListWorkspacesRequest) (*authv1.ListWorkspacesResponse, error) {
	if req.GetPageToken() == "end" {
		return &authv1.ListWorkspacesResponse{}, nil
	}
	return &authv1.ListWorkspacesResponse{Workspaces: []*authv1.Workspace{{Name: "workspaces/default"}}, NextPageToken: "end"}, nil
}

func (*auth) CreateWorkspace(_ context.Context, req *authv1.CreateWorkspaceRequest) (*authv1.Workspace, error) {
	if req.GetWorkspaceId() == "taken" {
		return nil, apierr.New(apierr.AlreadyExists, "WORKSPACE_EXISTS", "it exists")
	}
	w := req.GetWorkspace()
	return &authv1.Workspace{Name: "workspaces/" + req.GetWorkspaceId(), Description: w.GetDescription(), Tags: w.GetTags()}, nil
}

func (*auth) UpdateWorkspace(_ context.Context, req *authv1.UpdateWorkspaceRequest) (*authv1.Workspace, error) {
	if req.GetWorkspace().GetEtag() == "stale" {
		return nil, apierr.New(apierr.Conflict, "ETAG_MISMATCH", "changed")
	}
	return &authv1.Workspace{Name: req.GetWorkspace().GetName(), Description: strings.Join(req.GetUpdateMask().GetPaths(), ",")}, nil
}

// deploy is a fake deploy service: a log of two lines, the second of which
// waits for more.
type deploy struct {
	deployv1.UnimplementedEndpointServiceServer
	deployv1.UnimplementedArtefactServiceServer
	more  chan struct{}
	ended chan struct{}
}

func (d *deploy) ReadEndpointLogs(req *deployv1.ReadEndpointLogsRequest, s grpc.ServerStreamingServer[deployv1.ReadEndpointLogsResponse]) error {
	if req.GetName() == "workspaces/default/endpoints/none" {
		return apierr.New(apierr.NotFound, "ENDPOINT_NOT_FOUND", "there is none")
	}
	if err := s.Send(line("first")); err != nil {
		return err
	}
	defer close(d.ended)
	select {
	case <-d.more:
		return s.Send(line("second"))
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

func line(text string) *deployv1.ReadEndpointLogsResponse {
	return &deployv1.ReadEndpointLogsResponse{Lines: []*deployv1.EndpointLogLine{{Text: text}}}
}

func (*deploy) WriteUpload(_ context.Context, req *deployv1.WriteUploadRequest) (*deployv1.Upload, error) {
	return &deployv1.Upload{Name: req.GetName(), CommittedBytes: int64(len(req.GetData()))}, nil
}

// operations are a service's operations, by name, given in pages.
type operations struct {
	longrunningpb.UnimplementedOperationsServer
	names []string
}

func (o operations) ListOperations(_ context.Context, req *longrunningpb.ListOperationsRequest) (*longrunningpb.ListOperationsResponse, error) {
	from := len(req.GetPageToken()) // a token is as long as what was given
	to := min(from+int(req.GetPageSize()), len(o.names))
	out := &longrunningpb.ListOperationsResponse{}
	for _, n := range o.names[from:to] {
		out.Operations = append(out.Operations, &longrunningpb.Operation{Name: n})
	}
	if to < len(o.names) {
		out.NextPageToken = strings.Repeat("x", to)
	}
	return out, nil
}

func (o operations) GetOperation(_ context.Context, req *longrunningpb.GetOperationRequest) (*longrunningpb.Operation, error) {
	for _, n := range o.names {
		if n == req.GetName() {
			return &longrunningpb.Operation{Name: n, Done: true}, nil
		}
	}
	return nil, apierr.New(apierr.NotFound, "OPERATION_NOT_FOUND", "there is none")
}

func (o operations) WaitOperation(ctx context.Context, req *longrunningpb.WaitOperationRequest) (*longrunningpb.Operation, error) {
	return o.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: req.GetName()})
}

func (o operations) CancelOperation(_ context.Context, req *longrunningpb.CancelOperationRequest) (*emptypb.Empty, error) {
	return nil, apierr.New(apierr.FailedPrecondition, "CANNOT_CANCEL", "%s has ended", req.GetName())
}

// eventLog is a fake log: its records, then, for those who follow, what is sent.
type eventLog struct {
	records []events.Record
	oldest  string // cursors before it are expired
	live    chan events.Record
}

func (l *eventLog) Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		from := 0
		switch q.From {
		case events.FromNow():
			from = len(l.records)
		case events.After("0"):
			yield(events.Record{}, &events.ExpiredError{Cursor: "0", Oldest: l.oldest})
			return
		default:
			for i, r := range l.records {
				if q.From == events.After(r.Cursor) {
					from = i + 1
				}
			}
		}
		for _, r := range l.records[from:] {
			if len(q.Filter.Workspaces) > 0 && q.Filter.Workspaces[0] != r.Event.Workspace {
				continue
			}
			if !yield(r, nil) {
				return
			}
		}
		for q.Follow {
			select {
			case r := <-l.live:
				if !yield(r, nil) {
					return
				}
			case <-ctx.Done():
				yield(events.Record{}, ctx.Err())
				return
			}
		}
	}
}

// bed is a gateway over fake services, and its callers.
type bed struct {
	auth    *auth
	deploy  *deploy
	log     *eventLog
	service *gateway.Service
	url     string
	conn    *grpc.ClientConn
	client  *http.Client
	stop    func()
}

func start(t *testing.T) *bed {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b := &bed{
		auth:   &auth{},
		deploy: &deploy{more: make(chan struct{}), ended: make(chan struct{})},
		log:    &eventLog{oldest: "7", live: make(chan events.Record)},
		client: &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	network := rpc.NewMemory()
	conns := map[string]*grpc.ClientConn{}
	for service, register := range map[string]func(grpc.ServiceRegistrar){
		"auth": func(r grpc.ServiceRegistrar) { authv1.RegisterWorkspaceServiceServer(r, b.auth) },
		"compute": func(r grpc.ServiceRegistrar) {
			longrunningpb.RegisterOperationsServer(r, operations{names: names("compute", 3)})
		},
		"deploy": func(r grpc.ServiceRegistrar) {
			deployv1.RegisterEndpointServiceServer(r, b.deploy)
			deployv1.RegisterArtefactServiceServer(r, b.deploy)
			longrunningpb.RegisterOperationsServer(r, operations{names: names("deploy", 4)})
		},
	} {
		listener, err := network.Listen(service)
		if err != nil {
			t.Fatal(err)
		}
		server, err := rpc.NewServer(listener, rpc.ServerDeps{Logger: log, Access: access{}, Credentials: network.Credentials()})
		if err != nil {
			t.Fatal(err)
		}
		register(server)
		running.Go(func() {
			if err := server.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		if conns[service], err = network.Dial(rpc.Gateway, service); err != nil {
			t.Fatal(err)
		}
	}
	b.run(ctx, t, cancel, &running, conns, log)
	return b
}

func (b *bed) run(ctx context.Context, t *testing.T, cancel func(), running *sync.WaitGroup, conns map[string]*grpc.ClientConn, log *slog.Logger) {
	t.Helper()
	cfg := gateway.NewDefaultConfig()
	cfg.Listen, cfg.EventKeepAlive = "127.0.0.1:0", 20*time.Millisecond
	var err error
	b.service, err = gateway.New(ctx, cfg, gateway.Deps{
		Logger: log, Conns: conns, EventLog: b.log, Access: access{}, OpenAPI: []byte(`{"swagger":"2.0"}`), Version: "v1.2.3",
	})
	if err != nil {
		t.Fatal(err)
	}
	own, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	running.Go(func() {
		defer close(ended)
		if err := b.service.Run(own); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-b.service.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the gateway did not get ready")
	}
	b.url = "http://" + b.service.Addr()
	b.conn, err = grpc.NewClient("passthrough:///"+b.service.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	b.stop = func() { end(); <-ended }
	t.Cleanup(func() {
		_ = b.conn.Close()
		b.client.CloseIdleConnections()
		end()
		for _, c := range conns {
			_ = c.Close()
		}
		cancel()
		running.Wait()
	})
}

func names(service string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, "workspaces/default/operations/"+service+"-"+string(rune('a'+i)))
	}
	return out
}

// as gives a context of a gRPC call with a token.
func as(t *testing.T, token string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

// answer is an HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// request makes a request with the token; headers are name, value pairs.
func (b *bed) request(t *testing.T, method, path, body string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (b *bed) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (b *bed) call(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	return b.do(t, b.request(t, method, path, body, headers...))
}
