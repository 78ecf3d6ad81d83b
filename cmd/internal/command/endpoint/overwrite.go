package endpoint

import (
	"context"
	"slices"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Overwrite lets the only version of an endpoint run what a draft of a new
// endpoint says. What the draft leaves out goes back to its default; traffic and
// role stay, and so do labels and access that the draft does not give.
type Overwrite struct {
	Client       *client.Client
	Endpoint     *deployv1.Endpoint // as it is
	Draft        *deployment.Draft
	NoWait       bool
	ValidateOnly bool
}

// Run checks that there is one version to overwrite, and changes it.
func (o Overwrite) Run(ctx context.Context, s *session.Session) error {
	if err := o.refused(); err != nil {
		return err
	}
	before := o.Endpoint.GetVersions()[0]
	id, version := resourcename.Last(o.Endpoint.GetName()), resourcename.Last(before.GetName())
	change := Change{
		What: "version " + version + " of endpoint " + id, Title: "Updating " + id + ", version " + version,
		Endpoint: id, Version: version, Draft: o.Draft, NoWait: o.NoWait, ValidateOnly: o.ValidateOnly,
		Undo: "go back:  fairlead endpoint rollback -n " + id + " --vn " + version,
		Request: func(validateOnly bool) call {
			req := updateRequest(before, o.version(before))
			req.ValidateOnly, req.RequestId, req.Version.Etag = validateOnly, client.NewRequestID(), ""
			return func(ctx context.Context) (*longrunningpb.Operation, error) {
				return o.Client.Endpoints.UpdateEndpointVersion(ctx, req)
			}
		},
	}
	if mask := o.mask(); len(mask) > 0 {
		if _, err := o.update(ctx, mask, true); err != nil {
			return err
		}
		change.First = func(ctx context.Context) error {
			_, err := o.update(ctx, mask, false)
			return err
		}
	}
	return change.Run(ctx, s)
}

// refused says why the endpoint cannot be overwritten.
func (o Overwrite) refused() error {
	id, there := resourcename.Last(o.Endpoint.GetName()), ids(o.Endpoint)
	target, wanted := resourcename.Last(o.Endpoint.GetComputeTarget()), resourcename.Last(o.Draft.Endpoint.GetComputeTarget())
	switch {
	case len(there) != 1:
		return failure.New(failure.Usage, "endpoint %s has the versions %s, so --overwrite does not say which; change one:  fairlead endpoint update-version -n %s --vn VERSION",
			id, strings.Join(there, ", "), id)
	case o.Draft.VersionID != "" && o.Draft.VersionID != there[0]:
		return failure.New(failure.Usage, "the version of endpoint %s is %s, not %s; add another one:  fairlead endpoint create-version -n %s --vn %s",
			id, there[0], o.Draft.VersionID, id, o.Draft.VersionID)
	case wanted != "" && wanted != target:
		return failure.New(failure.Usage, "endpoint %s is on compute target %s and stays there; delete it first, or choose another name", id, target)
	case o.Draft.Keys != nil:
		return failure.New(failure.Usage, "--overwrite keeps the keys of endpoint %s; change them:  fairlead endpoint update -n %s --kp KEY", id, id)
	}
	return nil
}

// version gives the version as the draft wants it.
func (o Overwrite) version(before *deployv1.EndpointVersion) *deployv1.EndpointVersion {
	after := proto.CloneOf(o.Draft.Version)
	after.IsDefault, after.Type, after.Properties = before.GetIsDefault(), before.GetType(), before.GetProperties()
	if after.GetTrafficPercentile() == 0 {
		after.TrafficPercentile = before.GetTrafficPercentile()
	}
	if len(after.GetTags()) == 0 {
		after.Tags = before.GetTags()
	}
	if after.GetDescription() == "" {
		after.Description = before.GetDescription()
	}
	return after
}

// mask gives the fields of the endpoint itself that the draft changes.
func (o Overwrite) mask() []string {
	now, wanted := o.Endpoint, o.Draft.Endpoint
	var paths []string
	for path, changes := range map[string]bool{
		"description":       wanted.GetDescription() != "" && wanted.GetDescription() != now.GetDescription(),
		"tags":              len(wanted.GetTags()) > 0,
		"auth_mode":         wanted.GetAuthMode() != 0 && wanted.GetAuthMode() != now.GetAuthMode(),
		"telemetry_enabled": wanted.GetTelemetryEnabled() && !now.GetTelemetryEnabled(),
	} {
		if changes {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// update changes the endpoint itself.
func (o Overwrite) update(ctx context.Context, mask []string, validateOnly bool) (*longrunningpb.Operation, error) {
	wanted := proto.CloneOf(o.Draft.Endpoint)
	wanted.Name, wanted.ComputeTarget, wanted.Properties = o.Endpoint.GetName(), "", nil
	return o.Client.Endpoints.UpdateEndpoint(ctx, &deployv1.UpdateEndpointRequest{
		Endpoint: wanted, UpdateMask: &fieldmaskpb.FieldMask{Paths: mask}, ValidateOnly: validateOnly, RequestId: client.NewRequestID(),
	})
}
