package model

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/command/computetarget"
	"github.com/fairlead/fairlead/cmd/internal/command/endpoint"
	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const deployExample = `  fairlead model deploy -n diabetes -m diabetes:1 --ic inferenceconfig.json --dc deploymentconfig.json --ct local
  fairlead model deploy -n diabetes -m diabetes:1 --es score.py --cc 0.5 --gb 1
  fairlead model deploy -n diabetes -m diabetes:1 --ic inferenceconfig.json --validate-only -o json`

const deployLong = `Creates an endpoint and its first version, which is its default.

Files are read as the old product wrote them, JSON or YAML; flags win over them.
A computeType of AKSENDPOINT with versionName and trafficPercentile names the
first version and its share. Further versions: fairlead endpoint create-version.

With a source directory all its files are taken but for those that its .amlignore
names; without one, the script alone.
Everything that is wrong is reported at once, and then nothing is created.`

func deploy(s *session.Session) *cobra.Command {
	flags := &deployment.Flags{}
	cmd := &cobra.Command{
		Use:     "deploy",
		Short:   "Deploy models behind a new endpoint",
		Long:    deployLong,
		Example: deployExample,
		Args:    session.NoArgs,
	}
	fs := cmd.Flags()
	name := fs.StringP("name", "n", "", "name of the endpoint")
	flags.BindVersion(fs)
	flags.BindLabels(fs)
	flags.BindEndpoint(fs)
	var how manner
	fs.BoolVar(&how.noWait, "no-wait", false, "print the operation and do not wait for it")
	fs.BoolVar(&how.validateOnly, "validate-only", false, "check everything, create nothing, show what would be")
	fs.BoolVar(&how.overwrite, "overwrite", false, "where the endpoint is there with one version, let that version run this")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		if err := session.Required(cmd, "name"); err != nil {
			return err
		}
		return create(ctx, s, *name, flags, how)
	})
	s.CompleteFlag(cmd, "model", IDs)
	s.CompleteFlag(cmd, "ct", computetarget.Names)
	return cmd
}

// manner is how to deploy.
type manner struct{ noWait, validateOnly, overwrite bool }

func create(ctx context.Context, s *session.Session, name string, flags *deployment.Flags, how manner) error {
	parent, err := s.Parent()
	if err != nil {
		return err
	}
	c, err := s.Client()
	if err != nil {
		return err
	}
	draft, err := deployment.Maker{Endpoints: c.Endpoints, Parent: parent, Scope: deployment.NewEndpoint}.Make(ctx, flags)
	if err != nil {
		return err
	}
	if how.overwrite {
		e, err := c.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: resourcename.Format(parent, "endpoints", name)})
		switch {
		case err == nil:
			return endpoint.Overwrite{Client: c, Endpoint: e, Draft: draft, NoWait: how.noWait, ValidateOnly: how.validateOnly}.Run(ctx, s)
		case status.Code(err) != codes.NotFound && status.Code(err) != codes.InvalidArgument: // what is wrong with the name is told with all else
			return err
		}
	}
	request := func(validateOnly bool) func(context.Context) (*longrunningpb.Operation, error) {
		req := &deployv1.CreateEndpointRequest{
			Parent: parent, EndpointId: name, Endpoint: draft.Endpoint,
			VersionId: draft.VersionID, Version: draft.Version, Keys: draft.Keys,
			ValidateOnly: validateOnly, RequestId: client.NewRequestID(),
		}
		return func(ctx context.Context) (*longrunningpb.Operation, error) {
			return c.Endpoints.CreateEndpoint(ctx, req)
		}
	}
	return endpoint.Change{
		What: "endpoint " + name, Title: "Deploying " + name, Endpoint: name,
		Version: draft.VersionID, Draft: draft, Request: request,
		NoWait: how.noWait, ValidateOnly: how.validateOnly, New: true,
	}.Run(ctx, s)
}
