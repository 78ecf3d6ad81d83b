package transfer

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/cmd/internal/archive"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// carryOut does what there is to do for a workspace. An endpoint that fails does not
// keep others from coming; anything else that fails leaves the rest to the next
// import.
func (i *importer) carryOut(ctx context.Context, w *work) error {
	if w.missing {
		if err := i.createWorkspace(ctx, w); err != nil {
			return err
		}
	}
	if w.blank != nil {
		if err := i.describeWorkspace(ctx, w); err != nil {
			return err
		}
	}
	for _, t := range w.targets {
		op, err := i.client.ComputeTargets.CreateComputeTarget(ctx, w.target(t, false))
		if err == nil {
			_, err = i.session.Await(ctx, op, i.session.Progress("Creating compute target "+t.Name))
		}
		if err != nil {
			return fmt.Errorf("create the compute target %s: %w", t.Name, err)
		}
	}
	if err := i.registerModels(ctx, w); err != nil {
		return err
	}
	if err := i.registerEnvironments(ctx, w); err != nil {
		return err
	}
	failures, err := i.applyEndpoints(ctx, w)
	if err != nil {
		return err
	}
	if err := i.setKeys(ctx, w, failures); err != nil {
		return err
	}
	return together(failures)
}

// together is the failure of all endpoints that failed.
func together(failures map[string]error) error {
	ids := slices.Sorted(maps.Keys(failures))
	switch len(ids) {
	case 0:
		return nil
	case 1:
		return failures[ids[0]]
	}
	f := failure.New(failure.Error, "%d endpoints could not be made as they were; all else is imported", len(ids))
	for _, id := range ids {
		first, _ := failure.Lines(failures[id].Error())
		f.Violations = append(f.Violations, apierr.Violation{Field: "endpoint " + id, Description: first})
	}
	return f
}

// createWorkspace creates the workspace and plans anew, now that its content can be
// asked for.
func (i *importer) createWorkspace(ctx context.Context, w *work) error {
	if _, err := i.client.Workspaces.CreateWorkspace(ctx, w.creation(false)); err != nil {
		return err
	}
	made, bad, err := i.plan(ctx, w.workspace)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		f := failure.New(failure.Error, "the export cannot be imported; only the workspace %s was created", w.workspace.ID)
		f.Violations = bad
		return f
	}
	made.items[0] = item{Kind: "workspace", Name: w.workspace.ID, Action: create}
	*w = *made
	return nil
}

func (i *importer) describeWorkspace(ctx context.Context, w *work) error {
	_, err := i.client.Workspaces.UpdateWorkspace(ctx, &authv1.UpdateWorkspaceRequest{
		Workspace: &authv1.Workspace{
			Name: w.parent, Description: w.workspace.Description, Tags: w.workspace.Tags, Etag: w.blank.GetEtag(),
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"description", "tags"}},
	})
	if err != nil {
		return fmt.Errorf("describe the workspace %s: %w", w.workspace.ID, err)
	}
	return nil
}

func (i *importer) registerModels(ctx context.Context, w *work) error {
	for _, m := range w.workspace.Models {
		to := w.models[m.Name][m.Number]
		if to.exists {
			continue
		}
		display := i.session.Progress(fmt.Sprintf("Registering model %s:%d", m.Name, to.number))
		up := &upload.Uploader{Artefacts: i.client.Artefacts, Parent: w.parent, Progress: func(sent, total int64) {
			display.Status(output.Bytes(sent) + " of " + output.Bytes(total))
		}}
		err := up.Upload(ctx, m.Files)
		if err == nil {
			to, err = i.registerModel(ctx, w, m, to)
			w.models[m.Name][m.Number] = to
		}
		display.End(err == nil)
		if err != nil {
			return fmt.Errorf("register the model %s:%d: %w", m.Name, m.Number, err)
		}
	}
	return nil
}

func (i *importer) registerEnvironments(ctx context.Context, w *work) error {
	for _, e := range w.workspace.Environments {
		if w.runtimes[e.Name][e.Number].exists {
			continue
		}
		registered, err := i.client.Environments.RegisterEnvironment(ctx, w.environment(e, false))
		if err != nil {
			return fmt.Errorf("register the environment %s:%d: %w", e.Name, e.Number, err)
		}
		w.runtimes[e.Name][e.Number] = place{number: registered.GetVersion(), exists: true}
	}
	return nil
}

// registerModel registers a version under the number that it is to have. Numbers
// before it, whose versions were deleted where the export comes from, are used up
// by versions that go at once.
func (i *importer) registerModel(ctx context.Context, w *work, m archive.Model, to place) (place, error) {
	for {
		v, err := i.client.Models.RegisterModel(ctx, w.model(m, false))
		if err != nil || v.GetVersion() >= to.number {
			return place{number: v.GetVersion(), exists: err == nil}, err
		}
		if _, err := i.client.Models.DeleteModelVersion(ctx, &deployv1.DeleteModelVersionRequest{Name: v.GetName(), Etag: v.GetEtag()}); err != nil {
			return to, err
		}
	}
}

// applyEndpoints plans the endpoints again, with what there is now, and makes them
// so. It gives the failures of single endpoints.
func (i *importer) applyEndpoints(ctx context.Context, w *work) (map[string]error, error) {
	w.targets = nil // they exist
	before := len(w.items)
	bad, err := i.planEndpoints(ctx, w)
	w.items = w.items[:before] // they have been told
	if err != nil {
		return nil, err
	}
	if len(bad) > 0 {
		f := failure.New(failure.Error, "models and environments are imported, but not all endpoints can be")
		f.Violations = bad
		return nil, f
	}
	failures := map[string]error{}
	for _, e := range w.workspace.Endpoints {
		if err := w.endpoints.Apply(ctx, i.session, e.ID, i.noWait); err != nil {
			failures[e.ID] = err
		}
		if ctx.Err() != nil {
			return nil, failures[e.ID]
		}
	}
	return failures, nil
}

func (i *importer) setKeys(ctx context.Context, w *work, failures map[string]error) error {
	for _, endpoint := range slices.Sorted(maps.Keys(w.keys)) {
		wanted, name := w.keys[endpoint], resourcename.Format(w.parent, "endpoints", endpoint)
		now, err := i.client.EndpointKeys.ListEndpointKeys(ctx, &authv1.ListEndpointKeysRequest{Name: name})
		if err != nil && failures[endpoint] != nil {
			continue // it may not have come into being
		}
		if err != nil {
			return fmt.Errorf("get the keys of %s: %w", endpoint, err)
		}
		if err := i.setKey(ctx, name, authv1.KeyType_KEY_TYPE_PRIMARY, now.GetPrimaryKey(), wanted.Primary); err != nil {
			return err
		}
		if err := i.setKey(ctx, name, authv1.KeyType_KEY_TYPE_SECONDARY, now.GetSecondaryKey(), wanted.Secondary); err != nil {
			return err
		}
	}
	return nil
}

func (i *importer) setKey(ctx context.Context, endpoint string, kind authv1.KeyType, now, wanted string) error {
	if now == wanted || wanted == "" {
		return nil
	}
	_, err := i.client.EndpointKeys.RegenerateEndpointKey(ctx, &authv1.RegenerateEndpointKeyRequest{Name: endpoint, KeyType: kind, KeyValue: wanted})
	if err != nil {
		return fmt.Errorf("set a key of %s: %w", resourcename.Last(endpoint), err)
	}
	return nil
}
