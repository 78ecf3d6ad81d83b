package transfer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/cmd/internal/archive"
	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/command/apply"
	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

type importer struct {
	session *session.Session
	client  *client.Client
	noWait  bool
}

// work is what there is to do for one workspace.
type work struct {
	workspace archive.Workspace
	parent    string
	missing   bool              // the workspace does not exist yet
	blank     *authv1.Workspace // it exists, and is to be described; nil else
	targets   []archive.Target
	models    map[string]map[int64]place // by name, by number in the export
	runtimes  map[string]map[int64]place // environments, likewise
	endpoints apply.Set
	keys      map[string]archive.Keys // of endpoints whose keys differ
	items     []item
}

// plan works out what there is to do for a workspace. Nothing is changed.
func (i *importer) plan(ctx context.Context, from archive.Workspace) (*work, apierr.Violations, error) {
	w := &work{
		workspace: from, parent: resourcename.Format("workspaces", from.ID), targets: from.Targets,
		models: map[string]map[int64]place{}, runtimes: map[string]map[int64]place{}, keys: from.Keys,
	}
	current, err := i.client.Workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: w.parent})
	if status.Code(err) == codes.NotFound {
		return i.planMissing(ctx, w)
	}
	if err != nil {
		return nil, nil, err
	}
	w.planWorkspace(current)
	var bad apierr.Violations
	for _, step := range []func(context.Context, *work) (apierr.Violations, error){
		i.planTargets, i.planModels, i.planEnvironments, i.planEndpoints,
	} {
		found, err := step(ctx, w)
		if err != nil {
			return nil, nil, err
		}
		bad = append(bad, found...)
	}
	return w, bad, i.planKeys(ctx, w)
}

// planWorkspace has a workspace that says nothing of itself, as the first one does,
// take over what the export says.
func (w *work) planWorkspace(current *authv1.Workspace) {
	same := current.GetDescription() == w.workspace.Description && maps.Equal(current.GetTags(), w.workspace.Tags)
	if !same && current.GetDescription() == "" && len(current.GetTags()) == 0 {
		w.blank = current
		w.note("workspace", w.workspace.ID, item{Action: change})
		return
	}
	w.note("workspace", w.workspace.ID, stays(same))
}

// planMissing is for a workspace that does not exist: nothing in it can be asked for.
func (i *importer) planMissing(ctx context.Context, w *work) (*work, apierr.Violations, error) {
	w.missing = true
	_, err := i.client.Workspaces.CreateWorkspace(ctx, w.creation(true))
	if e := apierr.FromStatus(err); err != nil && len(e.Violations) > 0 {
		return w, e.Violations, nil
	}
	if err != nil {
		return nil, nil, err
	}
	w.note("workspace", w.workspace.ID, item{Action: create})
	for _, t := range w.targets {
		w.note("compute target", t.Name, item{Action: create})
	}
	for _, m := range w.workspace.Models {
		w.note("model", fmt.Sprintf("%s:%d", m.Name, m.Number), item{Action: create})
	}
	for _, e := range w.workspace.Environments {
		w.note("environment", fmt.Sprintf("%s:%d", e.Name, e.Number), item{Action: create})
	}
	for _, e := range w.workspace.Endpoints {
		w.note("endpoint", e.ID, item{Action: create})
	}
	for _, endpoint := range slices.Sorted(maps.Keys(w.keys)) {
		w.note("keys", endpoint, item{Action: create})
	}
	return w, nil, nil
}

func (w *work) creation(validateOnly bool) *authv1.CreateWorkspaceRequest {
	return &authv1.CreateWorkspaceRequest{
		WorkspaceId: w.workspace.ID, Workspace: &authv1.Workspace{Description: w.workspace.Description, Tags: w.workspace.Tags},
		ValidateOnly: validateOnly, RequestId: client.NewRequestID(),
	}
}

func (i *importer) planTargets(ctx context.Context, w *work) (apierr.Violations, error) {
	present, err := i.client.AllComputeTargets(ctx, w.parent)
	if err != nil {
		return nil, err
	}
	var bad apierr.Violations
	w.targets = nil
	for _, t := range w.workspace.Targets {
		at := slices.IndexFunc(present, func(p *computev1.ComputeTarget) bool { return resourcename.Last(p.GetName()) == t.Name })
		if at >= 0 {
			there := archive.TargetOf(t.Name, present[at])
			w.note("compute target", t.Name, stays(there.Purpose == t.Purpose && there.NodeSize == t.NodeSize && there.NodeCount == t.NodeCount &&
				there.Description == t.Description && maps.Equal(there.Tags, t.Tags)))
			continue
		}
		if _, err := i.client.ComputeTargets.CreateComputeTarget(ctx, w.target(t, true)); err != nil {
			if err := refused(&bad, "compute target "+t.Name, err); err != nil {
				return nil, err
			}
		}
		w.targets = append(w.targets, t)
		w.note("compute target", t.Name, item{Action: create})
	}
	return bad, nil
}

func (w *work) target(t archive.Target, validateOnly bool) *computev1.CreateComputeTargetRequest {
	return &computev1.CreateComputeTargetRequest{
		Parent: w.parent, ComputeTargetId: t.Name, ComputeTarget: t.Message(), ValidateOnly: validateOnly, RequestId: client.NewRequestID(),
	}
}

func (i *importer) planModels(ctx context.Context, w *work) (apierr.Violations, error) {
	var bad apierr.Violations
	for name, versions := range grouped(w.workspace.Models, func(m archive.Model) string { return m.Name }) {
		present, err := i.client.AllModelVersions(ctx, resourcename.Format(w.parent, "models", name))
		if err != nil && status.Code(err) != codes.NotFound {
			return nil, err
		}
		var there, exported []numbered
		known := map[int64]archive.Model{}
		for _, p := range present {
			known[p.GetVersion()] = archive.ModelOf(p)
			there = append(there, numbered{number: p.GetVersion(), content: digests(archive.ModelOf(p))})
		}
		next := int64(1)
		for _, m := range versions {
			exported = append(exported, numbered{number: m.Number, content: digests(m)})
			would, err := i.client.Models.RegisterModel(ctx, w.model(m, true))
			if err != nil {
				if err := refused(&bad, fmt.Sprintf("model %s:%d", m.Name, m.Number), err); err != nil {
					return nil, err
				}
				continue
			}
			next = would.GetVersion()
		}
		w.models[name] = match(exported, there, next, mostSkipped)
		for _, m := range versions {
			to := w.models[name][m.Number]
			now := known[to.number]
			same := now.Description == m.Description && maps.Equal(now.Tags, m.Tags) && maps.Equal(now.Properties, m.Properties) &&
				now.Framework == m.Framework && now.FrameworkVersion == m.FrameworkVersion
			w.noteVersion("model", name, m.Number, to, same)
		}
	}
	return bad, nil
}

func (w *work) model(m archive.Model, validateOnly bool) *deployv1.RegisterModelRequest {
	return &deployv1.RegisterModelRequest{
		Parent: w.parent, ModelId: m.Name, ModelVersion: m.Message(), Files: upload.Artefacts(m.Files), ValidateOnly: validateOnly, RequestId: client.NewRequestID(),
	}
}

// digests identifies the content of a model.
func digests(m archive.Model) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(m.Digests)) {
		fmt.Fprintf(&b, "%s:%s\n", path, m.Digests[path])
	}
	return b.String()
}

func (i *importer) planEnvironments(ctx context.Context, w *work) (apierr.Violations, error) {
	var bad apierr.Violations
	for name, versions := range grouped(w.workspace.Environments, func(e archive.Environment) string { return e.Name }) {
		present, err := i.client.AllEnvironmentVersions(ctx, resourcename.Format(w.parent, "environments", name))
		if err != nil && status.Code(err) != codes.NotFound {
			return nil, err
		}
		known := map[int64]archive.Environment{}
		var there, exported []numbered
		next := int64(1)
		var contents []archive.Environment
		content := func(e archive.Environment) string { // the place among all that differ
			at := slices.IndexFunc(contents, e.SameContent)
			if at < 0 {
				at, contents = len(contents), append(contents, e)
			}
			return fmt.Sprint(at)
		}
		for _, p := range present {
			known[p.GetVersion()] = archive.EnvironmentOf(p)
			there = append(there, numbered{number: p.GetVersion(), content: content(archive.EnvironmentOf(p))})
			next = max(next, p.GetVersion()+1)
		}
		for _, e := range versions {
			exported = append(exported, numbered{number: e.Number, content: content(e)})
			would, err := i.client.Environments.RegisterEnvironment(ctx, w.environment(e, true))
			if err != nil {
				if err := refused(&bad, fmt.Sprintf("environment %s:%d", e.Name, e.Number), err); err != nil {
					return nil, err
				}
				continue
			}
			next = max(next, would.GetVersion())
		}
		w.runtimes[name] = match(exported, there, next, 0)
		for _, e := range versions {
			to := w.runtimes[name][e.Number]
			now := known[to.number]
			w.noteVersion("environment", name, e.Number, to, now.Description == e.Description && maps.Equal(now.Tags, e.Tags))
		}
	}
	return bad, nil
}

func (w *work) environment(e archive.Environment, validateOnly bool) *deployv1.RegisterEnvironmentRequest {
	return &deployv1.RegisterEnvironmentRequest{
		Parent: w.parent, EnvironmentId: e.Name, EnvironmentVersion: e.Message(), ValidateOnly: validateOnly, RequestId: client.NewRequestID(),
	}
}

func (i *importer) planEndpoints(ctx context.Context, w *work) (apierr.Violations, error) {
	set, problems, err := apply.Check(ctx, apply.Request{
		Endpoints: i.client.Endpoints, Parent: w.parent, Documents: w.documents(), Expected: w.expected,
	})
	if err != nil {
		return nil, err
	}
	var bad apierr.Violations
	for _, p := range problems {
		bad = append(bad, archive.Violation(p))
	}
	w.endpoints = set
	for n, p := range set.Plans() {
		w.note("endpoint", w.workspace.Endpoints[n].ID, endpointItem(p))
	}
	return bad, nil
}

// planKeys finds out whose keys differ.
func (i *importer) planKeys(ctx context.Context, w *work) error {
	w.keys = map[string]archive.Keys{}
	for _, endpoint := range slices.Sorted(maps.Keys(w.workspace.Keys)) {
		wanted := w.workspace.Keys[endpoint]
		e, err := i.client.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: resourcename.Format(w.parent, "endpoints", endpoint)})
		var now *archive.Keys
		if err == nil {
			now, err = keysOf(ctx, i.client, e)
		}
		switch {
		case status.Code(err) == codes.NotFound:
			w.keys[endpoint] = wanted
			w.note("keys", endpoint, item{Action: create})
		case err != nil:
			return err
		case now != nil && *now == wanted:
			w.note("keys", endpoint, item{Action: unchanged})
		default:
			w.keys[endpoint] = wanted
			w.note("keys", endpoint, item{Action: change})
		}
	}
	return nil
}

// documents gives the endpoints with the version numbers that hold here.
func (w *work) documents() []manifest.Endpoint {
	out := make([]manifest.Endpoint, len(w.workspace.Endpoints))
	for n, e := range w.workspace.Endpoints {
		out[n] = e.With(func(collection, ref string) string {
			places := w.models
			if collection == "environments" {
				places = w.runtimes
			}
			return moved(places, ref)
		})
	}
	return out
}

// moved gives the reference to what a reference of the export stands for here.
func moved(places map[string]map[int64]place, ref string) string {
	name, version, _ := strings.Cut(ref, ":")
	for number, to := range places[name] {
		if version == fmt.Sprint(number) {
			return fmt.Sprintf("%s:%d", name, to.number)
		}
	}
	return ref
}

// expected tells what will exist when endpoints are made, and does not yet.
func (w *work) expected(full string) bool {
	for collection, places := range map[string]map[string]map[int64]place{"models": w.models, "environments": w.runtimes} {
		for name, versions := range places {
			for _, to := range versions {
				if !to.exists && full == resourcename.Format(w.parent, collection, name, "versions", fmt.Sprint(to.number)) {
					return true
				}
			}
		}
	}
	return slices.ContainsFunc(w.targets, func(t archive.Target) bool {
		return full == resourcename.Format(w.parent, "computeTargets", t.Name)
	})
}

// refused notes what the server finds wrong with a thing; another error, which
// says nothing of the thing, is given back.
func refused(bad *apierr.Violations, thing string, err error) error {
	e := apierr.FromStatus(err)
	for _, v := range e.Violations {
		if !strings.HasPrefix(v.Field, "files") { // contents come later
			bad.Add(thing+": "+v.Field, "%s", v.Description)
		}
	}
	if len(e.Violations) > 0 {
		return nil
	}
	switch e.Kind { //nolint:exhaustive // all others say that the server could not check
	case apierr.FailedPrecondition, apierr.AlreadyExists, apierr.ResourceExhausted:
		bad.Add(thing, "%s", e.Message)
		return nil
	}
	return err
}

// grouped gives the versions of each name, by name.
func grouped[T any](all []T, name func(T) string) func(yield func(string, []T) bool) {
	return func(yield func(string, []T) bool) {
		for len(all) > 0 {
			n := slices.IndexFunc(all, func(other T) bool { return name(other) != name(all[0]) })
			if n < 0 {
				n = len(all)
			}
			if !yield(name(all[0]), all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}
