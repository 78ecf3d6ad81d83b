package apply

import (
	"context"
	"fmt"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/command/endpoint"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/plan"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// runner carries out plans.
type runner struct {
	session      *session.Session
	wait, noWait bool
}

// apply carries out the plan of one endpoint.
func (r runner) apply(ctx context.Context, t target) error {
	if !t.plan.Changes() {
		return nil
	}
	c, err := r.session.Client()
	if err != nil {
		return err
	}
	if err := r.upload(ctx, c, t); err != nil {
		return err
	}
	for i, step := range t.plan.Steps {
		op, err := r.session.InTurn(ctx, r.wait, func(ctx context.Context) (*longrunningpb.Operation, error) { return request(ctx, c, t, step) })
		if err != nil {
			return err
		}
		if r.noWait && i == len(t.plan.Steps)-1 {
			r.session.Notef("not waiting for %s", resourcename.Last(op.GetName()))
			continue
		}
		done, err := r.session.Await(ctx, op, r.session.Progress(title(t, step)))
		if err != nil {
			return endpoint.Explain(ctx, r.session, r.known(t), step.Version, false, done, err)
		}
	}
	return nil
}

// known gives the name by which commands of this session find the endpoint.
func (r runner) known(t target) string {
	if parent, err := r.session.Parent(); err != nil || parent != t.parent {
		return t.name
	}
	return t.wanted.ID
}

func (r runner) upload(ctx context.Context, c *client.Client, t target) error {
	if len(t.files) == 0 {
		return nil
	}
	display := r.session.Progress("Uploading " + upload.Describe(t.files, output.Bytes) + " for " + t.wanted.ID)
	up := &upload.Uploader{Artefacts: c.Artefacts, Parent: t.parent, Progress: func(sent, total int64) {
		display.Status(output.Bytes(sent) + " of " + output.Bytes(total))
	}}
	err := up.Upload(ctx, t.files)
	display.End(err == nil)
	return err
}

// request asks for one step.
func request(ctx context.Context, c *client.Client, t target, step plan.Step) (*longrunningpb.Operation, error) {
	id, name := client.NewRequestID(), resourcename.Format(t.name, "versions", step.Version)
	switch step.Verb {
	case plan.CreateEndpoint:
		return c.Endpoints.CreateEndpoint(ctx, &deployv1.CreateEndpointRequest{
			Parent: t.parent, EndpointId: t.wanted.ID, Endpoint: t.wanted.Endpoint, VersionId: step.Version, Version: step.Message, RequestId: id,
		})
	case plan.CreateVersion:
		return c.Endpoints.CreateEndpointVersion(ctx, &deployv1.CreateEndpointVersionRequest{
			Parent: t.name, VersionId: step.Version, Version: step.Message, RequestId: id,
		})
	case plan.UpdateEndpoint:
		wanted := proto.CloneOf(t.wanted.Endpoint)
		wanted.Name, wanted.Etag = t.name, ""
		return c.Endpoints.UpdateEndpoint(ctx, &deployv1.UpdateEndpointRequest{
			Endpoint: wanted, UpdateMask: &fieldmaskpb.FieldMask{Paths: ownFields()}, RequestId: id,
		})
	case plan.UpdateVersion, plan.MoveTraffic:
		wanted := proto.CloneOf(step.Message)
		wanted.Name = name
		return c.Endpoints.UpdateEndpointVersion(ctx, &deployv1.UpdateEndpointVersionRequest{
			Version: wanted, UpdateMask: &fieldmaskpb.FieldMask{Paths: step.Mask}, RequestId: id,
		})
	case plan.DeleteVersion:
		return c.Endpoints.DeleteEndpointVersion(ctx, &deployv1.DeleteEndpointVersionRequest{Name: name, RequestId: id})
	}
	return nil, fmt.Errorf("there is no step %s", step.Verb)
}

func title(t target, step plan.Step) string {
	switch step.Verb {
	case plan.CreateEndpoint, plan.CreateVersion:
		return "Deploying " + t.wanted.ID + ", version " + step.Version
	case plan.UpdateVersion:
		return "Updating " + t.wanted.ID + ", version " + step.Version
	case plan.MoveTraffic:
		return "Moving traffic of " + t.wanted.ID + ", version " + step.Version
	case plan.DeleteVersion:
		return "Deleting " + t.wanted.ID + ", version " + step.Version
	case plan.UpdateEndpoint:
	}
	return "Updating " + t.wanted.ID
}
