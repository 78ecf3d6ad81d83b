package deployment

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// registry is the part of the environment service that a deployment needs.
type registry interface {
	RegisterEnvironment(context.Context, *deployv1.RegisterEnvironmentRequest, ...grpc.CallOption) (*deployv1.EnvironmentVersion, error)
	GetEnvironmentVersion(context.Context, *deployv1.GetEnvironmentVersionRequest, ...grpc.CallOption) (*deployv1.EnvironmentVersion, error)
}

// CheckEnvironment checks the environment that is to be registered; what is wrong
// with it is told with all else. One that is registered already is taken at once.
// name is used where the files give none; target is the compute target that must
// have what the environment asks.
func (d *Draft) CheckEnvironment(ctx context.Context, from registry, parent, name, target string) error {
	if d.Environment == nil {
		return nil
	}
	if d.EnvironmentID == "" {
		d.EnvironmentID = name
	}
	check := d.registration(parent, true)
	check.ComputeTarget = target
	would, err := from.RegisterEnvironment(ctx, check)
	if err != nil {
		e := apierr.FromStatus(err)
		if len(e.Violations) == 0 {
			return err
		}
		for _, v := range e.Violations {
			field := "environment." + strings.TrimPrefix(v.Field, "environment_version.")
			d.problems = append(d.problems, problem{Violation: apierr.Violation{Field: field, Description: v.Description}})
		}
		return nil
	}
	newest := resourcename.Format(parent, "environments", d.EnvironmentID, "versions", "latest")
	if now, err := from.GetEnvironmentVersion(ctx, &deployv1.GetEnvironmentVersionRequest{Name: newest}); err == nil && now.GetDigest() == would.GetDigest() {
		d.Version.Environment, d.Environment = now.GetName(), nil
	}
	return nil
}

// RegisterEnvironment registers the environment, where there is one to register,
// and gives its short name.
func (d *Draft) RegisterEnvironment(ctx context.Context, to registry, parent string) (string, error) {
	if d.Environment == nil {
		return "", nil
	}
	e, err := to.RegisterEnvironment(ctx, d.registration(parent, false))
	if err != nil {
		return "", err
	}
	d.Version.Environment, d.Environment = e.GetName(), nil
	return e.GetId(), nil
}

func (d *Draft) registration(parent string, validateOnly bool) *deployv1.RegisterEnvironmentRequest {
	return &deployv1.RegisterEnvironmentRequest{Parent: parent, EnvironmentId: d.EnvironmentID, EnvironmentVersion: d.Environment, ValidateOnly: validateOnly}
}
