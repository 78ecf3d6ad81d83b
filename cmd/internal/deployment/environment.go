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

// EnvironmentCheck says where an environment is to be registered and used.
type EnvironmentCheck struct {
	Parent string // workspaces/{workspace}
	Name   string // used where the files give none
	Target string // the compute target that must have what the environment asks
	// Lenient makes what the target lacks a note, where nothing is going to run.
	Lenient bool
}

// CheckEnvironment checks the environment that is to be registered; what is wrong
// with it is told with all else. One that is registered already is taken at once.
func (d *Draft) CheckEnvironment(ctx context.Context, from registry, c EnvironmentCheck) error {
	if d.Environment == nil {
		return nil
	}
	parent := c.Parent
	if d.EnvironmentID == "" {
		d.EnvironmentID = c.Name
	}
	check := d.registration(parent, true)
	check.ComputeTarget, check.AllowMismatch = c.Target, c.Lenient
	would, err := from.RegisterEnvironment(ctx, check)
	if err != nil {
		violations := apierr.FromStatus(err).Violations
		if len(violations) == 0 {
			return err
		}
		for _, v := range violations {
			field := "environment." + strings.TrimPrefix(v.Field, "environment_version.")
			d.problems = append(d.problems, problem{Violation: apierr.Violation{Field: field, Description: v.Description}})
		}
		return nil
	}
	d.Planned = would
	newest := resourcename.Format(parent, "environments", d.EnvironmentID, "versions", "latest")
	if now, err := from.GetEnvironmentVersion(ctx, &deployv1.GetEnvironmentVersionRequest{Name: newest}); err == nil && now.GetDigest() == would.GetDigest() {
		if !c.Lenient { // else it is asked of the target again, strictly
			d.Version.Environment, d.Environment = now.GetName(), nil
		}
		return nil
	}
	would.Uid, would.Etag, would.CreateTime, would.CreatedBy = "", "", nil, "" // it has them once it is registered
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
