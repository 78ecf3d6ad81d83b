package deploy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/artefact"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/memory"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy"
	"github.com/fairlead/fairlead/services/deploy/internal/peertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// allow lets everybody in; the callers of these tests are services anyway.
type allow struct{}

func (allow) Check(context.Context, string, string, string) (string, error) { return "admin", nil }

// bed is a deploy service with stand-ins for its peers, reached by gRPC.
type bed struct {
	t         *testing.T
	dir       string
	store     store.Store
	memory    *memory.Store
	compute   *peertest.Compute
	auth      *peertest.Auth
	artefacts *artefact.Store
	config    func(*deploy.Config)
	stop      func()

	endpoints    deployv1.EndpointServiceClient
	models       deployv1.ModelServiceClient
	environments deployv1.EnvironmentServiceClient
	contents     deployv1.ArtefactServiceClient
	routes       deployv1.RouteServiceClient
	operations   longrunningpb.OperationsClient
}

func newBed(t *testing.T, config func(*deploy.Config)) *bed {
	t.Helper()
	b := prepare(t, config)
	b.start()
	return b
}

func prepare(t *testing.T, config func(*deploy.Config)) *bed {
	t.Helper()
	m := memory.New()
	b := &bed{t: t, dir: t.TempDir(), store: m, memory: m, compute: peertest.NewCompute(), auth: peertest.NewAuth(), config: config}
	var err error
	b.artefacts, err = artefact.Open(t.Context(), "file://"+filepath.Join(b.dir, "artefacts")+"?create_dir=true")
	b.check(err)
	t.Cleanup(func() { _ = b.artefacts.Close() })
	return b
}

func (b *bed) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// start starts the service over what is stored, as after a restart of the process.
func (b *bed) start() {
	b.t.Helper()
	network := rpc.NewMemory()
	ctx, cancel := context.WithCancel(context.Background())
	ended := []chan struct{}{}
	run := func(c interface{ Run(context.Context) error }) {
		done := make(chan struct{})
		ended = append(ended, done)
		go func() {
			defer close(done)
			if err := c.Run(ctx); err != nil && ctx.Err() == nil {
				b.t.Errorf("ended with %v", err)
			}
		}()
	}
	var conns []*grpc.ClientConn
	dial := func(from, to string) *grpc.ClientConn {
		conn, err := network.Dial(from, to)
		b.check(err)
		conns = append(conns, conn)
		return conn
	}
	serve := func(name string, register func(grpc.ServiceRegistrar)) {
		listener, err := network.Listen(name)
		b.check(err)
		server, err := rpc.NewServer(listener, rpc.ServerDeps{Logger: slog.New(slog.DiscardHandler), Access: allow{}, Credentials: network.Credentials()})
		b.check(err)
		register(server)
		run(server)
	}
	serve("compute", b.compute.Register)
	serve("auth", b.auth.Register)
	cfg := deploy.NewDefaultConfig()
	cfg.DataDir, cfg.RouteGrace, cfg.ScoringBaseURL = filepath.Join(b.dir, "deploy"), 0, "http://127.0.0.1:8080/"
	if b.config != nil {
		b.config(&cfg)
	}
	service, err := deploy.New(ctx, cfg, deploy.Deps{
		Logger: slog.New(slog.DiscardHandler), Store: b.store, Artefacts: b.artefacts,
		Compute: dial("deploy", "compute"), Auth: dial("deploy", "auth"),
	})
	b.check(err)
	serve("deploy", service.Register)
	run(service)
	<-service.Ready()
	conn := dial("router", "deploy")
	b.endpoints, b.models = deployv1.NewEndpointServiceClient(conn), deployv1.NewModelServiceClient(conn)
	b.contents, b.routes = deployv1.NewArtefactServiceClient(conn), deployv1.NewRouteServiceClient(conn)
	b.operations, b.environments = longrunningpb.NewOperationsClient(conn), deployv1.NewEnvironmentServiceClient(conn)
	b.stop = func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
		cancel()
		for _, done := range ended {
			<-done
		}
		b.stop = func() {}
	}
	b.t.Cleanup(func() { b.stop() })
}

// eventually waits for a condition.
func (b *bed) eventually(what string, holds func() bool) {
	b.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("waited in vain: %s", what)
		}
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func file(path, text string) *deployv1.ArtefactFile {
	return &deployv1.ArtefactFile{Path: path, Sha256: digest(text), SizeBytes: int64(len(text))}
}

const script = "def init(): pass\n"

// upload puts a content in by the service.
func (b *bed) upload(text string) {
	b.t.Helper()
	u, err := b.contents.CreateUpload(b.t.Context(), &deployv1.CreateUploadRequest{Parent: "workspaces/default", Sha256: digest(text), SizeBytes: int64(len(text))})
	b.check(err)
	for !u.GetComplete() {
		end := min(u.GetCommittedBytes()+7, int64(len(text)))
		u, err = b.contents.WriteUpload(b.t.Context(), &deployv1.WriteUploadRequest{Name: u.GetName(), Offset: u.GetCommittedBytes(), Data: []byte(text[u.GetCommittedBytes():end])})
		b.check(err)
	}
}

// register registers the model "ridge".
func (b *bed) register() *deployv1.ModelVersion {
	b.t.Helper()
	b.upload("weights")
	m, err := b.models.RegisterModel(b.t.Context(), &deployv1.RegisterModelRequest{
		Parent: "workspaces/default", ModelId: "ridge", Files: []*deployv1.ArtefactFile{file("m.pkl", "weights")},
	})
	b.check(err)
	return m
}

// version gives a version that can be deployed.
func (b *bed) version(change func(*deployv1.EndpointVersion)) *deployv1.EndpointVersion {
	b.t.Helper()
	b.upload(script)
	v := &deployv1.EndpointVersion{EntryScript: "score.py", SourceFiles: []*deployv1.ArtefactFile{file("score.py", script)}}
	if change != nil {
		change(v)
	}
	return v
}

const endpointName = "workspaces/default/endpoints/diabetes"

func (b *bed) createRequest(change func(*deployv1.EndpointVersion)) *deployv1.CreateEndpointRequest {
	return &deployv1.CreateEndpointRequest{Parent: "workspaces/default", EndpointId: "diabetes", VersionId: "aaa", Version: b.version(change)}
}

// create creates the endpoint "diabetes" with version "aaa" and waits for it.
func (b *bed) create(change func(*deployv1.EndpointVersion)) *deployv1.Endpoint {
	b.t.Helper()
	o, err := b.endpoints.CreateEndpoint(b.t.Context(), b.createRequest(change))
	b.check(err)
	e := &deployv1.Endpoint{}
	b.succeeds(o, e)
	return e
}

// add adds a version and waits for it.
func (b *bed) add(id string, change func(*deployv1.EndpointVersion)) *deployv1.EndpointVersion {
	b.t.Helper()
	o, err := b.endpoints.CreateEndpointVersion(b.t.Context(), &deployv1.CreateEndpointVersionRequest{Parent: endpointName, VersionId: id, Version: b.version(change)})
	b.check(err)
	v := &deployv1.EndpointVersion{}
	b.succeeds(o, v)
	return v
}

// wait waits until an operation is done.
func (b *bed) wait(o *longrunningpb.Operation) *longrunningpb.Operation {
	b.t.Helper()
	for !o.GetDone() {
		ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
		next, err := b.operations.WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: o.GetName()})
		cancel()
		b.check(err)
		o = next
	}
	return o
}

// succeeds waits for an operation that must succeed and reads its response.
func (b *bed) succeeds(o *longrunningpb.Operation, into proto.Message) {
	b.t.Helper()
	o = b.wait(o)
	if o.GetError() != nil {
		b.t.Fatalf("%s failed: %v", o.GetName(), o.GetError())
	}
	b.check(o.GetResponse().UnmarshalTo(into))
}

func (b *bed) get() *deployv1.Endpoint {
	b.t.Helper()
	e, err := b.endpoints.GetEndpoint(b.t.Context(), &deployv1.GetEndpointRequest{Name: endpointName})
	b.check(err)
	return e
}

// traffic gives the shares in words.
func traffic(e *deployv1.Endpoint) string {
	var parts []string
	for _, s := range e.GetTraffic() {
		parts = append(parts, s.GetVersion()+"="+trim(s.GetPercent()))
	}
	return strings.Join(parts, " ")
}

// eventLog gives the events of an endpoint in order and checks that their
// sequence has no gap.
func (b *bed) eventLog(aggregate string) []string {
	b.t.Helper()
	var types []string
	for _, e := range b.memory.Events() {
		if !bytes.Contains(e.Data, []byte(`"`+aggregate+`"`)) {
			continue
		}
		types = append(types, strings.TrimPrefix(e.Type(), "fairlead.deploy."))
		if e.Sequence != uint64(len(types)) {
			b.t.Errorf("event %d is %s with sequence %d", len(types), e.Type(), e.Sequence)
		}
	}
	return types
}

// refused checks the reason of an error and what its message and violations say.
func refused(t *testing.T, err error, reason string, words ...string) *apierr.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("it is accepted, want %s", reason)
	}
	e := apierr.FromStatus(err)
	if e.Reason != reason {
		t.Fatalf("got %s: %v, want %s", e.Reason, err, reason)
	}
	for _, w := range words {
		if !strings.Contains(e.Message, w) {
			t.Errorf("%q does not say %q", e.Message, w)
		}
	}
	return e
}

func fields(e *apierr.Error) []string {
	var all []string
	for _, v := range e.Violations {
		all = append(all, v.Field)
	}
	slices.Sort(all)
	return all
}
