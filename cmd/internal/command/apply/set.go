package apply

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/plan"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Request says what to check.
type Request struct {
	Endpoints deployv1.EndpointServiceClient
	Parent    string // workspaces/{workspace}
	Documents []manifest.Endpoint
	// Prune has versions that the documents do not have deleted.
	Prune bool
	// Expected tells of the full name of a model version, an environment version or a
	// compute target whether it will exist by the time of Apply, and does not yet. The
	// server is not asked about those. Nil means none.
	Expected func(name string) bool
}

// Set is some endpoints of one workspace with what there is to do for each.
type Set struct{ targets []target }

// Check lets the server check all that documents say, and works out what there is
// to do. Nothing is changed. With problems, the set is not to be applied.
func Check(ctx context.Context, r Request) (Set, []manifest.Problem, error) {
	var all Set
	var problems []manifest.Problem
	for _, d := range r.Documents {
		checker := &checker{
			endpoints: r.Endpoints, document: d, parent: r.Parent, name: resourcename.Format(r.Parent, "endpoints", d.ID),
			expected: expected{parent: r.Parent, is: r.Expected},
		}
		t, err := checker.target(ctx, r.Prune)
		if err != nil {
			return Set{}, nil, err
		}
		problems = append(problems, checker.problems...)
		all.targets = append(all.targets, t)
	}
	return all, problems, nil
}

// Plans gives what there is to do, by endpoint in the order of the documents.
func (s Set) Plans() []plan.Plan {
	plans := make([]plan.Plan, len(s.targets))
	for i, t := range s.targets {
		plans[i] = t.plan
	}
	return plans
}

// Apply does what there is to do for one endpoint. With noWait, it does not wait
// for the last change of the endpoint.
func (s Set) Apply(ctx context.Context, with *session.Session, endpoint string, noWait bool) error {
	for _, t := range s.targets {
		if t.wanted.ID == endpoint {
			return runner{session: with, noWait: noWait}.apply(ctx, t)
		}
	}
	return nil
}

// expected are the resources that will exist and do not yet.
type expected struct {
	parent string
	is     func(name string) bool
}

// full gives the resource name that a reference name:version stands for.
func (e expected) full(collection, ref string) string {
	if name, version, ok := strings.Cut(ref, ":"); ok && !strings.Contains(ref, "/") {
		return resourcename.Format(e.parent, collection, name, "versions", version)
	}
	return ref
}

// leaveOut gives the version without what the server cannot know yet.
func (e expected) leaveOut(v *deployv1.EndpointVersion) *deployv1.EndpointVersion {
	if e.is == nil {
		return v
	}
	out := proto.CloneOf(v)
	out.Models = slices.DeleteFunc(out.GetModels(), func(ref string) bool { return e.is(e.full("models", ref)) })
	if len(out.GetModels()) < len(v.GetModels()) && v.GetEntryScript() == "" && v.GetRuntime().GetCustom() == nil {
		out.Runtime = &deployv1.Runtime{Custom: &deployv1.CustomRuntime{Command: []string{"expected"}}} // one that needs no model
	}
	if e.is(e.full("environments", out.GetEnvironment())) {
		out.Environment = ""
	}
	return out
}

func (e expected) leaveOutTarget(wanted *deployv1.Endpoint) *deployv1.Endpoint {
	if e.is == nil || !e.is(resourcename.Format(e.parent, "computeTargets", resourcename.Last(wanted.GetComputeTarget()))) {
		return wanted
	}
	out := proto.CloneOf(wanted)
	out.ComputeTarget = ""
	return out
}

// putBack adds to the server's answer what was left out of wanted.
func (e expected) putBack(would, wanted *deployv1.EndpointVersion) *deployv1.EndpointVersion {
	if e.is == nil {
		return would
	}
	out := proto.CloneOf(would)
	known := out.GetModels()
	out.Models = nil
	for _, ref := range wanted.GetModels() {
		if name := e.full("models", ref); e.is(name) {
			out.Models = append(out.Models, name)
		} else if len(known) > 0 {
			out.Models, known = append(out.Models, known[0]), known[1:]
		}
	}
	if name := e.full("environments", wanted.GetEnvironment()); e.is(name) {
		out.Environment = name
	}
	if wanted.GetEntryScript() == "" && wanted.GetRuntime() != nil {
		out.Runtime = wanted.GetRuntime()
	}
	return out
}
