package integration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// api is the control plane by gRPC.
type api struct {
	workspaces authv1.WorkspaceServiceClient
	keys       authv1.EndpointKeyServiceClient
	targets    computev1.ComputeTargetServiceClient
	workloads  computev1.WorkloadServiceClient
	models     deployv1.ModelServiceClient
	artefacts  deployv1.ArtefactServiceClient
	endpoints  deployv1.EndpointServiceClient
	operations longrunningpb.OperationsClient
	events     eventsv1.EventServiceClient
}

func apiOf(i *harness.Installation) api {
	conn := i.Conn()
	return api{
		workspaces: authv1.NewWorkspaceServiceClient(conn),
		keys:       authv1.NewEndpointKeyServiceClient(conn),
		targets:    computev1.NewComputeTargetServiceClient(conn),
		workloads:  computev1.NewWorkloadServiceClient(conn),
		models:     deployv1.NewModelServiceClient(conn),
		artefacts:  deployv1.NewArtefactServiceClient(conn),
		endpoints:  deployv1.NewEndpointServiceClient(conn),
		operations: longrunningpb.NewOperationsClient(conn),
		events:     eventsv1.NewEventServiceClient(conn),
	}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// upload brings a small content in and gives it as a file.
func (a api) upload(ctx context.Context, path string, content []byte) (*deployv1.ArtefactFile, error) {
	file := &deployv1.ArtefactFile{Path: path, Sha256: digest(content), SizeBytes: int64(len(content))}
	u, err := a.artefacts.CreateUpload(ctx, &deployv1.CreateUploadRequest{Parent: workspace, Sha256: file.GetSha256(), SizeBytes: file.GetSizeBytes()})
	if err != nil || u.GetComplete() {
		return file, err
	}
	u, err = a.artefacts.WriteUpload(ctx, &deployv1.WriteUploadRequest{
		Name: u.GetName(), Offset: u.GetCommittedBytes(), Data: content[u.GetCommittedBytes():],
	})
	if err == nil && !u.GetComplete() {
		err = errors.New("the upload is not complete")
	}
	return file, err
}

// register registers the next version of a model of one file.
func (a api) register(ctx context.Context, model, content string) (*deployv1.ModelVersion, error) {
	file, err := a.upload(ctx, model+".txt", []byte(content))
	if err != nil {
		return nil, err
	}
	return a.models.RegisterModel(ctx, &deployv1.RegisterModelRequest{
		Parent: workspace, ModelId: model, Files: []*deployv1.ArtefactFile{file},
	})
}

// version is a version that runs script with the model modelID.
func (a api) version(ctx context.Context, script string) (*deployv1.EndpointVersion, error) {
	file, err := a.upload(ctx, "score.py", []byte(script))
	return &deployv1.EndpointVersion{
		Models: []string{modelID}, SourceFiles: []*deployv1.ArtefactFile{file}, EntryScript: "score.py",
		Resources:       &deployv1.ReplicaResources{Cpu: 0.1, MemoryGb: 0.1},
		RequestSettings: &deployv1.RequestSettings{MaxQueueWait: durationpb.New(10 * time.Second)},
	}, err
}

// finish waits until an operation has ended well.
func (a api) finish(ctx context.Context, o *longrunningpb.Operation, err error) error {
	for err == nil && !o.GetDone() {
		o, err = a.operations.WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: o.GetName(), Timeout: durationpb.New(30 * time.Second)})
	}
	if err == nil && o.GetError() != nil {
		err = fmt.Errorf("operation %s: %w", o.GetName(), status.FromProto(o.GetError()).Err())
	}
	return err
}

// must fails the test on an error.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("the answer is %v, want %v: %v", got, want, err)
	}
}

// clone copies a message and changes the copy.
func clone[M proto.Message](m M, change func(M)) M {
	c := proto.CloneOf(m)
	change(c)
	return c
}
