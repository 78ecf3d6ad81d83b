package endpoint

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/progress"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

// Change is a deployment on its way: a new endpoint, a new version or a change
// of one.
type Change struct {
	What     string // for messages: "endpoint diabetes"
	Title    string // for progress: "Deploying diabetes"
	Endpoint string // the endpoint's id
	Version  string // the version's id; empty when the server chooses it
	Draft    *deployment.Draft
	// Request makes the call, once to check it and once to do it.
	Request func(validateOnly bool) func(context.Context) (*longrunningpb.Operation, error)
	// First is done before the request, when all is known to be valid; may be nil.
	First        func(context.Context) error
	NoWait       bool
	Wait         bool // for another operation on the endpoint
	ValidateOnly bool
	New          bool   // a failed first version leaves an endpoint to delete
	Undo         string // the command that undoes it when it fails; may be empty
}

// Run checks the request, uploads what it needs, sends it and waits.
func (c Change) Run(ctx context.Context, s *session.Session) error {
	for _, i := range c.Draft.Ignored {
		s.Notef("ignored: %s: %s", i.Field, i.Description)
	}
	for _, note := range c.Draft.Notes {
		s.Notef("%s", note)
	}
	api, err := s.Client()
	if err != nil {
		return err
	}
	parent, err := s.Parent()
	if err != nil {
		return err
	}
	if err := c.checkEnvironment(ctx, s, api, parent); err != nil {
		return err
	}
	for _, notice := range c.Draft.Planned.GetNotices() {
		s.Notef("note: environment %s: %s", c.Draft.EnvironmentID, notice)
	}
	checked, err := c.Draft.Check(ctx, c.What, c.Request(true))
	if err != nil {
		return err
	}
	if c.ValidateOnly && checked != nil {
		return c.printChecked(s, checked)
	}
	display := s.Progress(c.Title)
	defer display.End(false)
	if err := c.upload(ctx, s, display); err != nil {
		return err
	}
	if c.ValidateOnly {
		display.End(true)
		if checked, err = c.Draft.Check(ctx, c.What, c.Request(true)); err != nil {
			return err
		}
		return c.printChecked(s, checked)
	}
	id, err := c.Draft.RegisterEnvironment(ctx, api.Environments, parent)
	if err != nil {
		return err
	}
	if id != "" {
		display.Step(s.Now(), "registered environment "+id)
	}
	return c.send(ctx, s, display)
}

// checkEnvironment has the server say whether the endpoint's compute target has
// what a new environment asks, before anything is registered.
func (c Change) checkEnvironment(ctx context.Context, s *session.Session, api *client.Client, parent string) error {
	if c.Draft.Environment == nil {
		return nil
	}
	target := cmp.Or(c.Draft.Endpoint.GetComputeTarget(), deployment.DefaultTarget)
	if !c.New {
		e, err := get(ctx, s, c.Endpoint)
		if err != nil {
			return err
		}
		target = e.GetComputeTarget()
	}
	return c.Draft.CheckEnvironment(ctx, api.Environments, deployment.EnvironmentCheck{Parent: parent, Name: c.Endpoint, Target: target, Lenient: c.ValidateOnly})
}

// send sends the request and waits.
func (c Change) send(ctx context.Context, s *session.Session, display *progress.Display) error {
	if c.First != nil {
		if err := c.First(ctx); err != nil {
			return err
		}
	}
	op, err := s.InTurn(ctx, c.Wait, c.Request(false))
	if err != nil {
		return err
	}
	if c.NoWait {
		display.End(true)
		return s.PrintPending(op)
	}
	done, err := s.Await(ctx, op, display)
	if err != nil {
		err = Explain(ctx, s, c.Endpoint, c.Version, c.New, done, err)
		if f, ok := errors.AsType[*failure.Failure](err); ok && c.Undo != "" && done.GetError() != nil {
			return f.ThenTry(c.Undo)
		}
		return err
	}
	return c.printDone(ctx, s, done)
}

func (c Change) upload(ctx context.Context, s *session.Session, display *progress.Display) error {
	if len(c.Draft.Files) == 0 {
		return nil
	}
	parent, err := s.Parent()
	if err != nil {
		return err
	}
	api, err := s.Client()
	if err != nil {
		return err
	}
	display.Step(s.Now(), "uploading "+upload.Describe(c.Draft.Files, output.Bytes))
	up := &upload.Uploader{Artefacts: api.Artefacts, Parent: parent, Progress: func(sent, total int64) {
		display.Status(output.Bytes(sent) + " of " + output.Bytes(total))
	}}
	return up.Upload(ctx, c.Draft.Files)
}

func (c Change) printChecked(s *session.Session, op *longrunningpb.Operation) error {
	m, err := response(op)
	if err != nil {
		return err
	}
	s.Notef("%s is valid; nothing was changed", c.What)
	environment := c.Draft.Planned
	if environment != nil && environment.GetUid() == "" {
		s.Notef("environment %s would be registered for it", environment.GetId())
	}
	switch m := m.(type) {
	case *deployv1.Endpoint:
		if c.New {
			planned(m)
		}
		for _, v := range m.GetVersions() {
			if environment != nil && (c.New || resourcename.Last(v.GetName()) == c.Version) {
				v.Environment = environment.GetName()
			}
		}
		return s.Print(withEnvironment(document(m), environment))
	case *deployv1.EndpointVersion:
		if environment != nil {
			m.Environment = environment.GetName()
		}
		return s.Print(withEnvironment(versionDocument(m), environment))
	}
	return nil
}

// withEnvironment adds to a document what an environment would be that is not
// registered: it cannot be looked up.
func withEnvironment(d output.Document, e *deployv1.EnvironmentVersion) output.Document {
	m, ok := d.Value.(proto.Message)
	if e == nil || !ok {
		return d
	}
	whole, err := output.MessageJSON(m)
	if err != nil {
		return d
	}
	part, err := output.MessageJSON(e)
	if err != nil {
		return d
	}
	d.Value = json.RawMessage(slices.Concat(bytes.TrimSuffix(whole, []byte("}")), []byte(`,"environmentVersion":`), part, []byte("}")))
	return d
}

// planned leaves out what an endpoint has only once it is there.
func planned(e *deployv1.Endpoint) {
	e.State, e.StateMessage, e.CreateTime, e.UpdateTime = deployv1.State_STATE_UNSPECIFIED, "", nil, nil
	for _, v := range e.GetVersions() {
		v.State, v.StateMessage, v.CreateTime, v.UpdateTime = deployv1.State_STATE_UNSPECIFIED, "", nil, nil
		v.Conditions = nil
	}
}

// printDone prints the endpoint, or for a version's change the version.
func (c Change) printDone(ctx context.Context, s *session.Session, op *longrunningpb.Operation) error {
	m, err := response(op)
	if err != nil {
		return err
	}
	if v, ok := m.(*deployv1.EndpointVersion); ok {
		if format, err := s.Format(); err != nil || format != output.Table {
			return s.Print(versionDocument(v))
		}
	}
	e, err := get(ctx, s, c.Endpoint)
	if err != nil {
		return err
	}
	if err := s.Print(document(e)); err != nil {
		return err
	}
	if c.New {
		s.Notef("next: fairlead endpoint run -n %s -d @request.json", c.Endpoint)
	}
	return nil
}

// response gives what a finished operation made; nil when that is nothing.
func response(op *longrunningpb.Operation) (proto.Message, error) {
	if op.GetResponse() == nil {
		return nil, nil
	}
	return op.GetResponse().UnmarshalNew()
}

func get(ctx context.Context, s *session.Session, id string) (*deployv1.Endpoint, error) {
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	name, err := s.Name("endpoints", id)
	if err != nil {
		return nil, err
	}
	return c.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: name})
}

// Explain adds to a failed operation the log lines that show the cause and what
// to do next. done is nil, or not done, when waiting ended and not the work.
func Explain(ctx context.Context, s *session.Session, id, version string, isNew bool, done *longrunningpb.Operation, err error) error {
	if done.GetError() == nil {
		return err
	}
	f := *failure.From(err, s.Connection())
	f.Code = failure.Error // the command was possible; the deployment failed
	if e, getErr := get(ctx, s, id); getErr == nil {
		f.Log = causeLog(e, version)
	}
	if len(f.Log) > 0 { // the message may end with the same lines
		f.Message, _ = failure.Lines(f.Message)
	}
	logs := "fairlead endpoint get-logs -n " + id
	if version != "" {
		logs += " --version " + version
	}
	next := []string{logs, "fairlead endpoint show -n " + id}
	if apierr.FromStatus(err).Reason == "UNSCHEDULABLE" { // nothing has run, so nothing has written
		next[0] = "see what there is:  fairlead computetarget nodes" + onTarget(ctx, s, id)
	}
	if isNew {
		next = append(next, "start again:  fairlead endpoint delete -n "+id)
	}
	return f.ThenTry(next...)
}

// onTarget gives the flag that names the compute target of an endpoint.
func onTarget(ctx context.Context, s *session.Session, id string) string {
	e, err := get(ctx, s, id)
	if err != nil || e.GetComputeTarget() == "" {
		return ""
	}
	return " -n " + resourcename.Last(e.GetComputeTarget())
}

// causeLog gives the log lines of the conditions that do not hold, of the named
// version or of all.
func causeLog(e *deployv1.Endpoint, version string) []string {
	conditions := slices.Clone(e.GetConditions())
	for _, v := range e.GetVersions() {
		if version == "" || resourcename.Last(v.GetName()) == version {
			conditions = append(conditions, v.GetConditions()...)
		}
	}
	var lines []string
	for _, c := range conditions {
		if c.GetStatus() == resourcev1.Condition_STATUS_FALSE && len(c.GetLogLines()) > 0 {
			lines = c.GetLogLines()
		}
	}
	return lines
}
