package failure

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/failure/traffic"
	"github.com/fairlead/fairlead/test/harness"
	"github.com/fairlead/fairlead/test/ledger"
)

// script answers with what it was asked, after as long as it was asked to take.
const script = `
import json
import time


def init():
    pass


def run(raw):
    wish = json.loads(raw)
    time.sleep(wish.get("sleep", 0))
    return {"echo": wish}
`

// site is what is deployed.
type site struct {
	lanes    []traffic.Lane
	template *deployv1.EndpointVersion
}

// deploy makes endpoints of every sort: shop with two versions that share the
// traffic, and keys; till with keys that change; open without keys, whose versions
// come and go; cafe with two replicas.
func (r *run) deploy() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*settling)
	defer cancel()
	model, err := r.ledger.Upload(ctx, "weights.txt", []byte("weights"))
	r.must(err)
	source, err := r.ledger.Upload(ctx, "score.py", []byte(script))
	r.must(err)
	_, err = deployv1.NewModelServiceClient(r.i.Conn()).RegisterModel(ctx, &deployv1.RegisterModelRequest{
		Parent: ledger.Workspace, ModelId: "demo", Files: []*deployv1.ArtefactFile{model},
	})
	r.must(err)
	r.site.template = &deployv1.EndpointVersion{
		Models: []string{"demo:1"}, SourceFiles: []*deployv1.ArtefactFile{source}, EntryScript: "score.py",
		Resources: &deployv1.ReplicaResources{Cpu: 0.1, MemoryGb: 0.1}, Replicas: 1,
		RequestSettings: &deployv1.RequestSettings{
			MaxQueueWait: durationpb.New(30 * time.Second), ScoringTimeout: durationpb.New(40 * time.Second),
		},
	}
	client := deployv1.NewEndpointServiceClient(r.i.Conn())
	create := func(endpoint, version string, replicas int32, mode deployv1.Endpoint_AuthMode) {
		r.finish(ctx)(client.CreateEndpoint(ctx, &deployv1.CreateEndpointRequest{
			Parent: ledger.Workspace, EndpointId: endpoint, VersionId: version,
			Endpoint: &deployv1.Endpoint{AuthMode: mode}, Version: r.site.version(endpoint, version, replicas, 0),
		}))
		lane := traffic.Lane{Endpoint: endpoint, Turns: 1}
		if mode == deployv1.Endpoint_AUTH_MODE_KEY {
			keys, err := authv1.NewEndpointKeyServiceClient(r.i.Conn()).
				ListEndpointKeys(ctx, &authv1.ListEndpointKeysRequest{Name: ledger.Workspace + "/endpoints/" + endpoint})
			r.must(err)
			lane.Key = keys.GetPrimaryKey()
		}
		r.site.lanes = append(r.site.lanes, lane)
	}
	create("shop", "blue", 2, deployv1.Endpoint_AUTH_MODE_KEY)
	r.site.lanes[0].Turns = 2
	r.finish(ctx)(client.CreateEndpointVersion(ctx, &deployv1.CreateEndpointVersionRequest{
		Parent: ledger.Workspace + "/endpoints/shop", VersionId: "green", Version: r.site.version("shop", "green", 1, 40),
	}))
	create("till", "first", 1, deployv1.Endpoint_AUTH_MODE_KEY)
	create("open", "first", 1, deployv1.Endpoint_AUTH_MODE_NONE)
	create("cafe", "first", 2, deployv1.Endpoint_AUTH_MODE_KEY)
}

// undeploy deletes every endpoint: no scorer is left.
func (r *run) undeploy() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*settling)
	defer cancel()
	client := deployv1.NewEndpointServiceClient(r.i.Conn())
	for _, lane := range r.site.lanes {
		r.finish(ctx)(client.DeleteEndpoint(ctx, &deployv1.DeleteEndpointRequest{Name: ledger.Workspace + "/endpoints/" + lane.Endpoint}))
	}
	harness.Eventually(r.T, settling, "no scorer is left", func() error {
		if left := r.i.Replicas(); len(left) > 0 {
			return fmt.Errorf("there are %v", left)
		}
		return nil
	})
}

// version is a version whose scorers tell whose they are.
func (s *site) version(endpoint, version string, replicas int32, percent float64) *deployv1.EndpointVersion {
	v := proto.CloneOf(s.template)
	v.Replicas, v.TrafficPercentile = replicas, percent
	v.EnvironmentVariables = map[string]string{laneVariable: endpoint + "/" + version}
	return v
}

// added is a version of open that comes and goes.
func (s *site) added(name string) *deployv1.EndpointVersion { return s.version("open", name, 1, 30) }

func (r *run) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// finish waits until an operation has ended well.
func (r *run) finish(ctx context.Context) func(*longrunningpb.Operation, error) {
	r.Helper()
	return func(o *longrunningpb.Operation, err error) {
		r.Helper()
		operations := longrunningpb.NewOperationsClient(r.i.Conn())
		for err == nil && !o.GetDone() {
			o, err = operations.WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: o.GetName()})
		}
		if err == nil && o.GetError() != nil {
			err = fmt.Errorf("operation %s: %w", o.GetName(), status.FromProto(o.GetError()).Err())
		}
		r.must(err)
	}
}
