package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
)

// Check looks for everything that was acknowledged, in state and in the events.
// Nothing may change meanwhile. It gives all that is wrong.
func (l *Ledger) Check(ctx context.Context) []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	problems := slices.Concat(l.checkModels(ctx), l.checkCreated(ctx), l.checkMarks(ctx), l.checkSettings(ctx), l.checkOperations(ctx))
	all, err := l.readEvents(ctx)
	if err != nil {
		return append(problems, err)
	}
	return slices.Concat(problems, CheckSequences(all), l.checkEvents(all))
}

func (l *Ledger) checkModels(ctx context.Context) []error {
	var problems []error
	for name, digest := range l.registered {
		m, err := l.models.GetModelVersion(ctx, &deployv1.GetModelVersionRequest{Name: name})
		if err != nil {
			problems = append(problems, fmt.Errorf("model %s was acknowledged: %w", name, err))
			continue
		}
		if len(m.GetFiles()) != 1 || m.GetFiles()[0].GetSha256() != digest {
			problems = append(problems, fmt.Errorf("model %s has other files: %v", name, m.GetFiles()))
			continue
		}
		read, err := l.artefacts.ReadArtefact(ctx, &deployv1.ReadArtefactRequest{Name: name, Path: m.GetFiles()[0].GetPath()})
		if err != nil || int64(len(read.GetData())) != m.GetFiles()[0].GetSizeBytes() {
			problems = append(problems, fmt.Errorf("the content of model %s is lost: %d bytes, %w", name, len(read.GetData()), err))
		}
	}
	return problems
}

func (l *Ledger) checkCreated(ctx context.Context) []error {
	var problems []error
	for _, name := range l.created {
		var err error
		if strings.Contains(name, "/computeTargets/") {
			_, err = l.targets.GetComputeTarget(ctx, &computev1.GetComputeTargetRequest{Name: name})
		} else {
			_, err = l.workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: name})
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s was acknowledged: %w", name, err))
		}
	}
	return problems
}

func (l *Ledger) checkMarks(ctx context.Context) []error {
	var problems []error
	for endpoint, c := range l.marks {
		e, err := l.endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: endpointName(endpoint)})
		if err != nil {
			problems = append(problems, err)
			continue
		}
		got, err := strconv.Atoi(e.GetTags()[markTag])
		if c.acknowledged == 0 && e.GetTags()[markTag] == "" {
			continue
		}
		if err != nil || got < c.acknowledged || got > c.tried {
			problems = append(problems, fmt.Errorf("%s has the mark %q; %d was acknowledged, %d tried", endpoint, e.GetTags()[markTag], c.acknowledged, c.tried))
		}
	}
	return problems
}

// checkSettings looks whether the last value that was acknowledged is there, or
// one that was tried after it.
func (l *Ledger) checkSettings(ctx context.Context) []error {
	var problems []error
	for name, s := range l.settings {
		got, err := l.setting(ctx, name)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
			continue
		}
		if s.acknowledged != "" && got != s.acknowledged && !slices.Contains(s.maybe, got) {
			problems = append(problems, fmt.Errorf("the %s is %q; %q was acknowledged, and tried after it %q", name, got, s.acknowledged, s.maybe))
		}
	}
	return problems
}

func (l *Ledger) setting(ctx context.Context, name string) (string, error) {
	if endpoint, ok := strings.CutPrefix(name, keySetting); ok {
		keys, err := l.keys.ListEndpointKeys(ctx, &authv1.ListEndpointKeysRequest{Name: endpointName(endpoint)})
		return keys.GetSecondaryKey(), err
	}
	v, err := l.endpoints.GetEndpointVersion(ctx, &deployv1.GetEndpointVersionRequest{Name: strings.TrimPrefix(name, trafficSetting)})
	return fmt.Sprint(v.GetTrafficPercentile()), err
}

// checkOperations looks whether every operation that was begun has ended, and well.
func (l *Ledger) checkOperations(ctx context.Context) []error {
	var problems []error
	for _, name := range l.begun {
		o, err := l.operations.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: name})
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("operation %s was acknowledged: %w", name, err))
		case !o.GetDone():
			problems = append(problems, fmt.Errorf("operation %s has not ended: %v", name, o.GetMetadata()))
		case l.hasty && codes.Code(o.GetError().GetCode()) == codes.DeadlineExceeded: //nolint:gosec // codes are small
		case o.GetError() != nil:
			problems = append(problems, fmt.Errorf("operation %s failed: %w", name, status.FromProto(o.GetError()).Err()))
		}
	}
	return problems
}

// Unended gives the operations of the workspace that have not ended.
func (l *Ledger) Unended(ctx context.Context) ([]string, error) {
	var left []string
	for page := ""; ; {
		answer, err := l.operations.ListOperations(ctx, &longrunningpb.ListOperationsRequest{Name: Workspace, PageToken: page})
		if err != nil {
			return nil, err
		}
		for _, o := range answer.GetOperations() {
			if !o.GetDone() {
				left = append(left, o.GetName())
			}
		}
		if page = answer.GetNextPageToken(); page == "" {
			return left, nil
		}
	}
}

// readEvents reads all events of all workspaces.
func (l *Ledger) readEvents(ctx context.Context) ([]*eventsv1.CloudEvent, error) {
	stream, err := l.events.WatchEvents(ctx, &eventsv1.WatchEventsRequest{Parent: "workspaces/-", FromStart: true, NoFollow: true})
	if err != nil {
		return nil, err
	}
	var all []*eventsv1.CloudEvent
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the events: %w", err)
		}
		all = append(all, answer.GetEvent())
	}
}

// checkEvents wants one event for every creation that was acknowledged, and one
// for every mark, also for those that were set without an acknowledgement.
func (l *Ledger) checkEvents(all []*eventsv1.CloudEvent) []error {
	created, updated := map[string]int{}, map[string]int{}
	for _, e := range all {
		switch e.GetType() {
		case "fairlead.deploy.model.v1.registered", "fairlead.compute.computetarget.v1.created",
			"fairlead.deploy.version.v1.created", "fairlead.auth.workspace.v1.created":
			created[e.GetSubject()]++
		case "fairlead.deploy.endpoint.v1.updated":
			updated[e.GetSubject()]++
		}
	}
	var problems []error
	want := slices.Concat(l.created, l.versions)
	for name := range l.registered {
		want = append(want, name)
	}
	for _, name := range want {
		if n := created[name]; n != 1 {
			problems = append(problems, fmt.Errorf("there are %d events of the creation of %s", n, name))
		}
	}
	for endpoint, c := range l.marks {
		if n := updated[endpointName(endpoint)]; n < c.acknowledgements || n > c.tried {
			problems = append(problems, fmt.Errorf("%s has %d events of updates; %d were acknowledged, %d tried", endpoint, n, c.acknowledgements, c.tried))
		}
	}
	return problems
}

// CheckSequences checks that each aggregate's events count 1, 2, 3, … in order, and
// that no event is there twice. After the deletion of a resource another one of its
// name may begin.
func CheckSequences(all []*eventsv1.CloudEvent) []error {
	var problems []error
	ids := map[string]bool{}
	last := map[string]*eventsv1.CloudEvent{}
	for _, e := range all {
		if ids[e.GetId()] {
			problems = append(problems, fmt.Errorf("event %s, %s of %s, is there twice", e.GetId(), e.GetType(), e.GetSubject()))
		}
		ids[e.GetId()] = true
		aggregate := aggregateOf(e)
		n, err := strconv.Atoi(e.GetSequence())
		if err != nil {
			problems = append(problems, fmt.Errorf("the sequence %q of event %s is no number", e.GetSequence(), e.GetId()))
			continue
		}
		before := 0
		if previous, ok := last[aggregate]; ok && !(n == 1 && strings.HasSuffix(previous.GetType(), ".deleted")) {
			before, _ = strconv.Atoi(previous.GetSequence()) // checked when it was the current one
		}
		if n != before+1 {
			problems = append(problems, fmt.Errorf("%s of %s has sequence %d after %d", e.GetType(), aggregate, n, before))
		}
		last[aggregate] = e
	}
	return problems
}

// aggregateOf names what an event's sequence counts the events of: an endpoint's
// versions count with the endpoint.
func aggregateOf(e *eventsv1.CloudEvent) string {
	details := e.GetData().GetFields()["details"].GetStructValue()
	if name := details.GetFields()["aggregate"].GetStringValue(); name != "" {
		return e.GetSource() + " " + name
	}
	return e.GetSource() + " " + e.GetSubject()
}

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

// rest pauses between two looks.
func rest(ctx context.Context) error {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
