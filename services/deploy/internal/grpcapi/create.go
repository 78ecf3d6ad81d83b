package grpcapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/access"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
)

const (
	// reservationTTL is how long a name stays reserved when the process dies
	// between the reservation and the endpoint.
	reservationTTL = 6 * time.Second
	// keysTimeout keeps the making of keys well within the reservation.
	keysTimeout = 4 * time.Second
	// reservedAgain is how often a name that another request holds is looked at.
	reservedAgain    = 200 * time.Millisecond
	defaultVersionID = "version1"
	defaultTarget    = "local"
)

// CreateEndpoint creates an endpoint with its first version.
//
// The keys are made before the endpoint, so that they can be read as soon as it
// exists. Of several requests for one name only the one that holds the name's
// reservation makes keys, so the keys of the endpoint are those of its creator.
func (s *Endpoints) CreateEndpoint(ctx context.Context, req *deployv1.CreateEndpointRequest) (*longrunningpb.Operation, error) {
	parent, err := workspacePattern.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	workspace := parent.Get("workspace")
	requestKey := operation.RequestKey(workspace, "CreateEndpoint", req.GetRequestId())
	uid, versionUID := newUID(), newUID()
	for range attempts {
		if answer, ok, err := s.recorded(ctx, requestKey); ok || err != nil {
			return answer, err
		}
		now := s.deps.Clock()
		o := operation.New(state.Service, workspace, "create", endpoint.Name(workspace, req.GetEndpointId()), now)
		use, creation, err := s.creation(ctx, workspace, req)
		var bad apierr.Violations
		if err := violations(err, &bad); err != nil {
			return nil, err
		}
		creation.UID, creation.Version.UID, creation.Version.Operation = uid, versionUID, o.Name()
		change, err := endpoint.Create(creation, now)
		if err := together(err, bad); err != nil {
			return nil, err
		}
		if err := s.nameIsFree(ctx, workspace, creation.ID); err != nil {
			return nil, err
		}
		o = s.begun(ctx, o, change)
		if req.GetValidateOnly() {
			return s.preview(ctx, o, change.Endpoint, nil)
		}
		commit := state.Commit{Change: change, Operation: &o, RequestKey: requestKey, Principal: rpc.Principal(ctx), Extra: use}
		err = s.createWithKeys(ctx, commit, req.GetKeys())
		if state.IsConflict(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return s.operations.Proto(ctx, o)
	}
	return nil, busy(req.GetEndpointId())
}

// createWithKeys reserves the name, makes the keys and then the endpoint.
func (s *Endpoints) createWithKeys(ctx context.Context, c state.Commit, keys *deployv1.InitialKeys) error {
	e := c.Change.Endpoint
	owner := c.RequestKey
	if owner == "" {
		owner = e.UID
	}
	reservation, err := s.reserve(ctx, e, owner)
	if err != nil {
		return err
	}
	err = s.ensureKeys(ctx, e, keys)
	if err == nil {
		c.Extra = append(c.Extra, reservation.Spend())
		err = s.deps.State.Apply(ctx, c)
	}
	if err != nil {
		// Also when the caller has left: the name must not stay reserved. After a
		// commit that was applied all the same, the reservation is gone and this
		// does nothing.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
		defer cancel()
		s.deps.State.Release(clean, reservation)
	}
	return err
}

// reserve reserves the name of a new endpoint. When another request holds it, it
// waits until that has made the endpoint, or has given the name up, or has died.
func (s *Endpoints) reserve(ctx context.Context, e endpoint.Endpoint, owner string) (state.Reservation, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*reservationTTL)
	defer cancel()
	for {
		reservation, err := s.deps.State.Reserve(ctx, e.Workspace, e.ID, owner, reservationTTL)
		held, ok := errors.AsType[*state.ReservedError](err)
		if !ok {
			return reservation, err
		}
		if err := s.nameIsFree(ctx, e.Workspace, e.ID); err != nil {
			return reservation, err
		}
		if held.Same {
			return reservation, apierr.New(apierr.Conflict, "REQUEST_RUNNING", "the same request is being worked on; send it again to get its operation")
		}
		timer := time.NewTimer(reservedAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return reservation, apierr.New(apierr.Conflict, "NAME_RESERVED", "an endpoint %s is being created by another request in workspace %s; try again", e.ID, e.Workspace)
		}
	}
}

func (s *Endpoints) ensureKeys(ctx context.Context, e endpoint.Endpoint, keys *deployv1.InitialKeys) error {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	_, err := s.deps.Keys.EnsureEndpointKeys(ctx, &authv1.EnsureEndpointKeysRequest{
		Name: e.Name(), EndpointUid: e.UID, PrimaryKey: keys.GetPrimaryKey(), SecondaryKey: keys.GetSecondaryKey(),
		AuthMode: access.Mode(e.Auth),
	})
	if err == nil {
		return nil
	}
	failure := apierr.FromStatus(err)
	if failure.Kind == apierr.InvalidArgument {
		for i, v := range failure.Violations {
			failure.Violations[i].Field = "keys." + v.Field
		}
		return failure
	}
	return apierr.New(apierr.Unavailable, "KEYS_UNAVAILABLE", "the endpoint's keys could not be made; try again").Because(err)
}

// nameIsFree refuses a name that is taken, with what can be done.
func (s *Endpoints) nameIsFree(ctx context.Context, workspace, id string) error {
	e, _, err := s.deps.State.Endpoint(ctx, workspace, id)
	switch {
	case err != nil && apierr.KindOf(err) == apierr.NotFound:
		return nil
	case err != nil:
		return err
	case e.Deletion != nil:
		return apierr.New(apierr.FailedPrecondition, "ENDPOINT_DELETING", "endpoint %s is still being deleted; wait until %s is done", id, e.Deletion.Operation).
			With("operation", e.Deletion.Operation)
	}
	return apierr.New(apierr.AlreadyExists, "ENDPOINT_ALREADY_EXISTS",
		"there is an endpoint %s in workspace %s already; update it, add a version to it, or choose another name", id, workspace)
}

// creation turns the request into the domain's words and checks what only other
// services and the registry know.
func (s *Endpoints) creation(ctx context.Context, workspace string, req *deployv1.CreateEndpointRequest) ([]store.Op, endpoint.Creation, error) {
	var bad apierr.Violations
	target, err := s.target(ctx, workspace, req.GetEndpoint().GetComputeTarget(), &bad)
	if err != nil {
		return nil, endpoint.Creation{}, err
	}
	input := versionInput(req.GetVersion())
	use, err := s.references(ctx, site{workspace: workspace, target: target}, req.GetVersion(), &input, present{absent: req.GetValidateOnly()}, &bad)
	if err != nil {
		return nil, endpoint.Creation{}, err
	}
	if k := req.GetKeys(); k.GetPrimaryKey() != "" && k.GetPrimaryKey() == k.GetSecondaryKey() {
		bad.Add("keys.secondary_key", "must differ from primary_key")
	}
	id := req.GetVersionId()
	if id == "" {
		id = defaultVersionID
	}
	return use, endpoint.Creation{
		Workspace: workspace, ID: req.GetEndpointId(), Input: endpointInput(req.GetEndpoint()),
		ComputeTarget: target, Principal: rpc.Principal(ctx),
		Version: endpoint.NewVersion{ID: id, Input: input},
	}, bad.Err()
}

// target gives the resource name of the compute target, which must be there and ready.
func (s *Endpoints) target(ctx context.Context, workspace, given string, bad *apierr.Violations) (string, error) {
	const field = "endpoint.compute_target"
	name, err := targetName(workspace, given)
	if err != nil {
		bad.Add(field, "%s", err.Error())
		return "", nil
	}
	why, err := s.targetProblem(ctx, name)
	if why != "" {
		bad.Add(field, "%s", why)
	}
	return name, err
}

func targetName(workspace, given string) (string, error) {
	if given == "" {
		given = defaultTarget
	}
	name := given
	if _, err := workspacePattern.Parse("workspaces/" + given); err == nil { // one segment
		name = fmt.Sprintf("workspaces/%s/computeTargets/%s", workspace, given)
	}
	values, err := targetPattern.Parse(name)
	if err != nil {
		return "", fmt.Errorf("%q must be the name of a compute target, alone or in the form %s", given, targetPattern)
	}
	if values.Get("workspace") != workspace {
		return "", fmt.Errorf("%q is not in the workspace %s", given, workspace)
	}
	return name, nil
}
