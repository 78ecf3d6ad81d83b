package endpoint

import (
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Creation is an endpoint to be made, with its first version.
type Creation struct {
	Workspace, ID, UID string
	Input              Input
	ComputeTarget      string // resource name
	Principal          string
	Version            NewVersion
}

// Input is an endpoint's own part as a user wants it.
type Input struct {
	Description string
	Tags        map[string]string
	Properties  map[string]string
	Auth        AuthMode // empty means AuthKey
	Telemetry   bool
}

// Create makes an endpoint. Its first version is the default, whether that is
// asked for or not, and a treatment unless it is asked to be the control.
func Create(in Creation, now time.Time) (Change, error) {
	var v apierr.Violations
	CheckName("endpoint_id", in.ID, &v)
	CheckName("version_id", in.Version.ID, &v)
	first := newVersion(in.Version, now, &v)
	if err := v.Err(); err != nil {
		return Change{}, err
	}
	first.Ordinal = 1
	first.Workload = WorkloadName(in.ComputeTarget, in.ID, in.Version.ID, in.Version.UID)
	e := Endpoint{
		Workspace: in.Workspace, ID: in.ID, UID: in.UID,
		Description: in.Input.Description, Tags: in.Input.Tags, Properties: in.Input.Properties,
		ComputeTarget: in.ComputeTarget, Auth: authOr(in.Input.Auth), Telemetry: in.Input.Telemetry,
		Versions: []Version{first}, DefaultVersion: first.ID,
		Generation: 1, NextOrdinal: 1, CreateTime: now, UpdateTime: now, CreatedBy: in.Principal,
	}
	if in.Version.Input.Role == Control {
		e.ControlVersion = first.ID
	}
	e.State, e.Message = e.overall()
	e.Shares = e.effective()
	c := Change{Endpoint: e, Revisions: []Revision{revisionOf(first, now)}}
	c.endpoint("created", "endpoint "+e.ID+" was created", map[string]any{"computeTarget": e.ComputeTarget})
	c.version(first, "created", "version "+first.ID+" was added as the default", nil)
	return c, nil
}

// Update changes what belongs to the endpoint itself.
func (e Endpoint) Update(in Input, now time.Time) (Change, error) {
	if err := e.mutable(); err != nil {
		return Change{}, err
	}
	var v apierr.Violations
	next := e.clone()
	next.Description, next.Tags, next.Auth, next.Telemetry = in.Description, in.Tags, authOr(in.Auth), in.Telemetry
	next.Properties = mergeProperties("endpoint.properties", e.Properties, in.Properties, &v)
	if err := v.Err(); err != nil {
		return Change{}, err
	}
	next.changed(now)
	c := Change{Endpoint: next}
	c.endpoint("updated", "endpoint "+e.ID+" was changed", map[string]any{"authMode": string(next.Auth)})
	return c.settled(e), nil
}

// BeginDeletion takes the endpoint out of service and ends what runs on it.
func (e Endpoint) BeginDeletion(operation string, now time.Time) (Change, error) {
	if err := e.mutable(); err != nil {
		return Change{}, err
	}
	next := e.clone()
	next.Deletion = &Deletion{Operation: operation, Since: now}
	next.changed(now)
	c := Change{Endpoint: next}
	for i, v := range next.Versions {
		if v.Pending != nil {
			c.Ended = append(c.Ended, Ended{Operation: v.Pending.Operation,
				Err: apierr.New(apierr.Cancelled, "ENDPOINT_DELETED", "endpoint %s was deleted before version %s was done", e.ID, v.ID)})
		}
		v.Pending = nil
		v.Status.State, v.Status.Reason, v.Status.Message, v.Status.LogLines, v.Status.Since = Deleting, "Deleting", "the endpoint is being deleted", nil, now
		next.Versions[i] = v
	}
	return c.settled(e), nil
}

// FinishDeletion gives the last facts of an endpoint whose workloads and keys are
// gone, and the operations that end with it.
func (e Endpoint) FinishDeletion() Change {
	c := Change{Endpoint: e}
	for _, r := range e.Retired {
		if r.Operation != "" {
			c.Ended = append(c.Ended, Ended{Operation: r.Operation})
		}
	}
	for _, v := range e.Versions {
		c.version(v, "deleted", "version "+v.ID+" was deleted with its endpoint", nil)
		c.Forgotten = append(c.Forgotten, v.UID)
	}
	c.endpoint("deleted", "endpoint "+e.ID+" was deleted", nil)
	if e.Deletion != nil {
		c.Ended = append(c.Ended, Ended{Operation: e.Deletion.Operation})
	}
	return c
}

// Holds tells whether the endpoint uses a version of a model.
func (e Endpoint) Holds(m ModelRef) (version string, ok bool) {
	for _, v := range e.Versions {
		for _, used := range v.Spec.Models {
			if used == m {
				return v.ID, true
			}
		}
	}
	return "", false
}

// RunsIn tells which version, if any, runs in an environment version, given by
// its resource name.
func (e Endpoint) RunsIn(environment string) (version string, ok bool) {
	for _, v := range e.Versions {
		if v.Spec.Packages == environment {
			return v.ID, true
		}
	}
	return "", false
}

func (e Endpoint) mutable() error {
	if e.Deletion == nil {
		return nil
	}
	return apierr.New(apierr.FailedPrecondition, "ENDPOINT_DELETING", "endpoint %s is being deleted and cannot change; wait until %s is done", e.ID, e.Deletion.Operation).
		With("operation", e.Deletion.Operation)
}

func (c *Change) endpoint(verb, message string, details map[string]any) {
	c.Facts = append(c.Facts, Fact{Verb: verb, State: c.Endpoint.State, Message: message, Details: details})
}

func authOr(a AuthMode) AuthMode {
	if a == "" {
		return AuthKey
	}
	return a
}
