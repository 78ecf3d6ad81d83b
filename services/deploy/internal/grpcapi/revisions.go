package grpcapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/operation"
	"github.com/fairlead/fairlead/platform/rpc"
	"github.com/fairlead/fairlead/platform/store"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/state"
)

// ListEndpointVersionRevisions lists what a version has run, newest first.
func (s *Endpoints) ListEndpointVersionRevisions(ctx context.Context, req *deployv1.ListEndpointVersionRevisionsRequest) (*deployv1.ListEndpointVersionRevisionsResponse, error) {
	e, v, err := s.readVersion(ctx, "parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	all, err := s.deps.State.Revisions(ctx, e, v.UID)
	if err != nil {
		return nil, err
	}
	out := &deployv1.ListEndpointVersionRevisionsResponse{}
	for i, r := range all {
		item := &deployv1.EndpointVersionRevision{
			Revision: r.Number, CreateTime: timestamppb.New(r.CreateTime), CreatedBy: r.CreatedBy,
			Serving: r.Number == v.Serving, Failure: r.Failure, Cancelled: r.Cancelled, Version: specMessage(e.Workspace, r.Spec),
		}
		if i+1 < len(all) {
			if item.Differences, err = differences(specMessage(e.Workspace, all[i+1].Spec), item.GetVersion()); err != nil {
				return nil, err
			}
		}
		out.Revisions = append(out.Revisions, item)
	}
	return out, nil
}

// RollbackEndpointVersion makes a version run again what it ran in an earlier revision.
func (s *Endpoints) RollbackEndpointVersion(ctx context.Context, req *deployv1.RollbackEndpointVersionRequest) (*longrunningpb.Operation, error) {
	values, err := versionPattern.Parse(req.GetName())
	if err != nil {
		return nil, err
	}
	return s.mutate(ctx, mutation{
		method: "RollbackEndpointVersion", verb: "rollback", workspace: values.Get("workspace"), id: values.Get("endpoint"), target: req.GetName(),
		etag: req.GetEtag(), requestID: req.GetRequestId(), validateOnly: req.GetValidateOnly(),
		change: func(ctx context.Context, e endpoint.Endpoint, operation string) (endpoint.Change, []store.Op, error) {
			v, err := e.Find(values.Get("version"))
			if err != nil {
				return endpoint.Change{}, nil, err
			}
			to, err := s.rollbackTarget(ctx, e, v, req.GetRevision())
			if err != nil {
				return endpoint.Change{}, nil, err
			}
			use, err := s.stillThere(ctx, site{workspace: e.Workspace, target: e.ComputeTarget}, to)
			if err != nil {
				return endpoint.Change{}, nil, err
			}
			c, err := e.Rollback(v.ID, operation, to, s.deps.Clock())
			return c, use, err
		},
	})
}

// rollbackTarget gives the revision that is asked for, or the last one before
// the newest that has served.
func (s *Endpoints) rollbackTarget(ctx context.Context, e endpoint.Endpoint, v endpoint.Version, number int64) (endpoint.Revision, error) {
	if number != 0 {
		return s.deps.State.Revision(ctx, e, v.UID, number)
	}
	all, err := s.deps.State.Revisions(ctx, e, v.UID)
	if err != nil {
		return endpoint.Revision{}, err
	}
	for _, r := range all {
		if r.Number < v.Revision && r.Served {
			return r, nil
		}
	}
	return endpoint.Revision{}, apierr.New(apierr.FailedPrecondition, "NOTHING_TO_ROLL_BACK", "no revision of version %s before %d has served", v.ID, v.Revision)
}

// stillThere checks that what an earlier revision needs has not been deleted since.
func (s *Endpoints) stillThere(ctx context.Context, at site, r endpoint.Revision) ([]store.Op, error) {
	var bad apierr.Violations
	var input endpoint.VersionInput
	message := specMessage(at.workspace, r.Spec)
	use, err := s.models(ctx, at.workspace, message.GetModels(), &input, &bad)
	if err != nil {
		return nil, err
	}
	environmentUse, err := s.environment(ctx, at, r.Spec.Packages, &input, &bad)
	if err != nil {
		return nil, err
	}
	if err := s.checkContents(ctx, at.workspace, sourceFiles(r.Spec.SourceFiles), present{used: true}, &bad); err != nil {
		return nil, err
	}
	if len(bad) > 0 {
		return nil, apierr.New(apierr.FailedPrecondition, "REVISION_INCOMPLETE", "revision %d cannot run again: %s", r.Number, bad.Err().Error())
	}
	return append(use, environmentUse...), nil
}

// cancel ends an operation that somebody does not want any more.
func (s *server) cancel(ctx context.Context, o operation.Operation) error {
	workspace, id, _ := splitTarget(o.Target)
	name := o.Name()
	for range attempts {
		e, at, err := s.deps.State.Endpoint(ctx, workspace, id)
		if err != nil {
			return err
		}
		if !e.Runs(name) { // it has ended meanwhile
			return nil
		}
		var serving *endpoint.Revision
		if uid, number, ok := e.CancelNeeds(name); ok {
			r, err := s.deps.State.Revision(ctx, e, uid, number)
			if err != nil {
				return err
			}
			serving = &r
		}
		c, err := e.Cancel(name, serving, s.deps.Clock())
		if err != nil {
			return err
		}
		err = s.deps.State.Apply(ctx, state.Commit{Change: c, At: at, Principal: rpc.Principal(ctx)})
		if !state.IsConflict(err) {
			return err
		}
	}
	return busy(o.Target)
}

// differences gives what differs between two specifications, by field. Source
// files are compared one by one, by their digests.
func differences(before, after *deployv1.EndpointVersion) ([]*deployv1.EndpointVersionRevision_Difference, error) {
	was, err := flat(before)
	if err != nil {
		return nil, err
	}
	is, err := flat(after)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	var out []*deployv1.EndpointVersionRevision_Difference
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if was[field] != is[field] {
			out = append(out, &deployv1.EndpointVersionRevision_Difference{Field: field, Before: was[field], After: is[field]})
		}
	}
	return out, nil
}

// flat gives the fields of a version by their paths, as JSON.
func flat(v *deployv1.EndpointVersion) (map[string]string, error) {
	text, err := protojson.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("compare revisions: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("compare revisions: %w", err)
	}
	delete(fields, "sourceFiles")
	out := map[string]string{}
	if err := flatten("", fields, out); err != nil {
		return nil, err
	}
	for _, f := range v.GetSourceFiles() {
		out["sourceFiles."+f.GetPath()] = fmt.Sprintf("%q", f.GetSha256())
	}
	return out, nil
}

func flatten(prefix string, fields map[string]any, out map[string]string) error {
	for name, value := range fields {
		if inner, ok := value.(map[string]any); ok {
			if err := flatten(prefix+name+".", inner, out); err != nil {
				return err
			}
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("compare revisions: %w", err)
		}
		out[prefix+name] = string(text)
	}
	return nil
}
