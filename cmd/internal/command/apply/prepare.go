package apply

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/plan"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// prepare reads files, lets the server check all that they say, and works out
// what there is to do. Nothing is changed.
func prepare(ctx context.Context, s *session.Session, cmd *cobra.Command, names []string, prune bool) ([]target, error) {
	documents, problems, err := read(s, cmd, names)
	if err != nil {
		return nil, err
	}
	parent, err := s.Parent()
	if err != nil {
		return nil, err
	}
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	set, wrong, err := Check(ctx, Request{Endpoints: c.Endpoints, Parent: parent, Documents: documents, Prune: prune})
	if err != nil {
		return nil, err
	}
	if problems = append(problems, wrong...); len(problems) > 0 {
		return nil, refused(problems)
	}
	for _, t := range set.targets {
		for _, note := range t.notes {
			s.Notef("%s: %s", t.wanted.ID, note)
		}
	}
	return set.targets, nil
}

// checker asks the server what it would make of one document.
type checker struct {
	endpoints deployv1.EndpointServiceClient
	document  manifest.Endpoint
	parent    string
	name      string
	id        string             // the endpoint's, or one that stands for a name that cannot be
	planned   *deployv1.Endpoint // a new endpoint as the server would make it
	expected  expected
	problems  []manifest.Problem
}

func (c *checker) target(ctx context.Context, prune bool) (target, error) {
	t := target{place: c.document.Place.String(), name: c.name, parent: c.parent, wanted: plan.Wanted{ID: c.document.ID, Endpoint: c.document.Endpoint}}
	if c.document.ID == "" || len(c.document.Versions) == 0 {
		return t, nil // told already
	}
	current, err := c.current(ctx)
	if err != nil {
		return t, err
	}
	if current != nil {
		if t.wanted.Endpoint, err = c.endpoint(ctx, current); err != nil {
			return t, err
		}
	}
	for i, v := range c.document.Versions {
		version, found, err := c.version(ctx, current, i, v)
		if err != nil {
			return t, err
		}
		t.files = append(t.files, found.Files...)
		for _, note := range found.Notes() {
			if !slices.Contains(t.notes, note) {
				t.notes = append(t.notes, note)
			}
		}
		t.wanted.Versions = append(t.wanted.Versions, plan.Version{
			ID: v.ID, Version: version, Percentile: v.Version.GetTrafficPercentile(),
			Default: v.Version.GetIsDefault(), Control: v.Version.GetType() == deployv1.EndpointVersion_TYPE_CONTROL,
		})
	}
	t.wanted.Planned = c.planned
	made, wrong := plan.Make(current, t.wanted, prune)
	for _, text := range wrong {
		c.complain("versions", "%s", text)
	}
	t.plan = made
	return t, nil
}

// current gives the endpoint as it is; nil when it is not there.
func (c *checker) current(ctx context.Context) (*deployv1.Endpoint, error) {
	c.id = c.standIn("name", c.document.ID)
	if c.id != c.document.ID {
		return nil, nil
	}
	current, err := c.endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: c.name})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	return current, err
}

// standIn gives the name itself, or, where that cannot be one, a name under which
// the server can be asked about the rest.
func (c *checker) standIn(field, name string) string {
	const shortest, longest = 3, 32
	if namePattern.MatchString(name) && len(name) >= shortest && len(name) <= longest {
		return name
	}
	c.complain(field, "must start with a lower-case letter, hold only lower-case letters, digits and dashes, end with a letter or digit, and be 3 to 32 characters long, not %q", name)
	return "check-" + client.NewRequestID()[:8]
}

var namePattern = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// endpoint gives what the server would make of the endpoint itself.
func (c *checker) endpoint(ctx context.Context, current *deployv1.Endpoint) (*deployv1.Endpoint, error) {
	wanted := proto.CloneOf(c.document.Endpoint)
	if target := wanted.GetComputeTarget(); resourcename.Last(orLocal(target)) != resourcename.Last(current.GetComputeTarget()) {
		c.complain("computeTarget", "cannot be changed: endpoint %s is on %s; delete it first, or choose another name", c.document.ID, resourcename.Last(current.GetComputeTarget()))
	}
	wanted.Name, wanted.ComputeTarget = c.name, ""
	op, err := c.endpoints.UpdateEndpoint(ctx, &deployv1.UpdateEndpointRequest{
		Endpoint: wanted, UpdateMask: &fieldmaskpb.FieldMask{Paths: ownFields()}, ValidateOnly: true, RequestId: client.NewRequestID(),
	})
	would, err := answer[*deployv1.Endpoint](op, err)
	if err != nil {
		return wanted, c.refused("endpoint.", "", err)
	}
	return would, nil
}

func orLocal(target string) string {
	if target == "" {
		return "local"
	}
	return target
}

// ownFields are the fields of an endpoint that an update changes.
func ownFields() []string {
	var paths []string
	for _, name := range manifest.EndpointFields() {
		if name != "compute_target" {
			paths = append(paths, string(name))
		}
	}
	return paths
}

// version gives what the server would make of a version, apart from its traffic,
// with the files that it needs.
func (c *checker) version(ctx context.Context, current *deployv1.Endpoint, i int, v manifest.Version) (*deployv1.EndpointVersion, upload.Source, error) {
	at := fmt.Sprintf("versions[%d]", i)
	wanted := proto.CloneOf(v.Version)
	wanted.TrafficPercentile, wanted.IsDefault, wanted.Type = 0, false, 0
	id := v.ID
	if id != "" { // else told already
		id = c.standIn(at+".name", id)
	}
	found, script, err := gather(ctx, v)
	bad, isBad := errors.AsType[*sourceError](err)
	switch {
	case isBad:
		c.complain(at+"."+bad.key, "%s", bad.text)
		script, found = v.Version.GetEntryScript(), upload.Source{}
	case err != nil:
		return nil, found, err
	}
	wanted.EntryScript, wanted.SourceFiles = script, upload.Artefacts(found.Files)
	asked := c.expected.leaveOut(wanted)
	would, err := c.validate(ctx, current, id, asked)
	if err != nil {
		if isBad { // what follows from it is not told
			err = without(err, "version.entry_script", "version.source_files")
		}
		return wanted, found, c.refused("version.", at, err)
	}
	return c.expected.putBack(would, wanted), found, nil
}

// without gives a refusal without what it says of some fields; nil when that is
// all that it says.
func without(err error, fields ...string) error {
	e := apierr.FromStatus(err)
	if len(e.Violations) == 0 {
		return err
	}
	e.Violations = slices.DeleteFunc(slices.Clone(e.Violations), func(v apierr.Violation) bool {
		return slices.ContainsFunc(fields, func(f string) bool { return v.Field == f || strings.HasPrefix(v.Field, f+"[") })
	})
	if len(e.Violations) == 0 {
		return nil
	}
	return apierr.Invalid(e.Violations...)
}

func (c *checker) validate(ctx context.Context, current *deployv1.Endpoint, id string, wanted *deployv1.EndpointVersion) (*deployv1.EndpointVersion, error) {
	if current == nil {
		op, err := c.endpoints.CreateEndpoint(ctx, &deployv1.CreateEndpointRequest{
			Parent: c.parent, EndpointId: c.id, Endpoint: c.expected.leaveOutTarget(c.document.Endpoint), VersionId: id, Version: wanted,
			ValidateOnly: true, RequestId: client.NewRequestID(),
		})
		e, err := answer[*deployv1.Endpoint](op, err)
		if err != nil || len(e.GetVersions()) == 0 {
			return nil, err
		}
		if c.planned = e; c.document.Endpoint.GetComputeTarget() != "" {
			e.ComputeTarget = c.document.Endpoint.GetComputeTarget()
		}
		return e.GetVersions()[0], nil
	}
	for _, v := range current.GetVersions() {
		if resourcename.Last(v.GetName()) != id {
			continue
		}
		wanted.Name = v.GetName()
		paths := []string{"source_files"}
		for _, name := range manifest.VersionFields() {
			if name != "traffic_percentile" && name != "type" {
				paths = append(paths, string(name))
			}
		}
		return answer[*deployv1.EndpointVersion](c.endpoints.UpdateEndpointVersion(ctx, &deployv1.UpdateEndpointVersionRequest{
			Version: wanted, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}, ValidateOnly: true, RequestId: client.NewRequestID(),
		}))
	}
	return answer[*deployv1.EndpointVersion](c.endpoints.CreateEndpointVersion(ctx, &deployv1.CreateEndpointVersionRequest{
		Parent: c.name, VersionId: id, Version: wanted, ValidateOnly: true, RequestId: client.NewRequestID(),
	}))
}

// answer gives the response of an operation that is done.
func answer[M proto.Message](op *longrunningpb.Operation, err error) (M, error) {
	var none M
	if err == nil {
		err = session.OperationError(op)
	}
	if err != nil {
		return none, err
	}
	m, err := op.GetResponse().UnmarshalNew()
	if err != nil {
		return none, fmt.Errorf("read the server's answer: %w", err)
	}
	response, ok := m.(M)
	if !ok {
		return none, fmt.Errorf("the server answers with a %s", m.ProtoReflect().Descriptor().Name())
	}
	return response, nil
}

// refused takes over what the server finds wrong; another error is given back.
func (c *checker) refused(prefix, at string, err error) error {
	if err == nil {
		return nil
	}
	e := apierr.FromStatus(err)
	for _, v := range e.Violations {
		field, under := strings.CutPrefix(v.Field, prefix)
		switch {
		case under && at != "":
			field = at + "." + jsonPath(field)
		case v.Field == "version_id":
			field = at + ".name"
		case v.Field == "endpoint_id":
			field = "name"
		default:
			field = jsonPath(strings.TrimPrefix(v.Field, "endpoint."))
		}
		c.complain(field, "%s", v.Description)
	}
	if len(e.Violations) > 0 {
		return nil
	}
	switch e.Kind { //nolint:exhaustive // all others say that the server could not check
	case apierr.FailedPrecondition, apierr.NotFound, apierr.AlreadyExists, apierr.ResourceExhausted:
		c.complain(at, "%s", e.Message)
		return nil
	}
	return err
}

// complain notes a problem once.
func (c *checker) complain(field, format string, args ...any) {
	p := manifest.Problem{Place: c.document.At(field), Field: field, Description: fmt.Sprintf(format, args...)}
	for _, other := range c.problems {
		if other == p {
			return
		}
	}
	c.problems = append(c.problems, p)
}

// jsonPath writes a field's path as files have it.
func jsonPath(path string) string {
	parts := strings.Split(path, ".")
	for i, part := range parts {
		name, index, indexed := strings.Cut(part, "[")
		parts[i] = jsonName(protoreflect.Name(name))
		if indexed {
			parts[i] += "[" + index
		}
	}
	return strings.Join(parts, ".")
}

func jsonName(name protoreflect.Name) string {
	words := strings.Split(string(name), "_")
	for i, w := range words {
		if i > 0 && w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}
