// Package ledger is clients of the control plane that change things while it
// breaks, and remember what was acknowledged; afterwards it looks whether all of
// that is there, and whether the events tell the same.
//
// A change that was answered with an error may have been made or not: the ledger
// takes either for right, once. Changes that overwrite each other carry the etag of
// what they were decided on, so that none comes late. The methods of a Ledger may
// be called from anywhere.
package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
)

// Workspace is where everything is changed.
const Workspace = "workspaces/default"

// Ledger remembers changes.
type Ledger struct {
	workspaces authv1.WorkspaceServiceClient
	keys       authv1.EndpointKeyServiceClient
	targets    computev1.ComputeTargetServiceClient
	models     deployv1.ModelServiceClient
	artefacts  deployv1.ArtefactServiceClient
	endpoints  deployv1.EndpointServiceClient
	operations longrunningpb.OperationsClient
	events     eventsv1.EventServiceClient

	mu         sync.Mutex
	named      int               // makes names unique
	registered map[string]string // digests of acknowledged models, by name
	created    []string          // names of other acknowledged resources
	versions   []string          // acknowledged versions of endpoints, also those deleted since
	marks      map[string]*counter
	settings   map[string]*setting
	begun      []string // acknowledged operations
	acks       int
	refusals   map[string]int
	hasty      bool // operations may have ended by their deadline
}

// counter is a tag of an endpoint that only grows.
type counter struct{ tried, acknowledged, acknowledgements int }

// setting is a value that is set again and again.
type setting struct {
	acknowledged string
	// maybe are those tried since, without an acknowledgement.
	maybe []string
}

// New makes a ledger that changes things over a connection.
func New(conn grpc.ClientConnInterface) *Ledger {
	return &Ledger{
		workspaces: authv1.NewWorkspaceServiceClient(conn),
		keys:       authv1.NewEndpointKeyServiceClient(conn),
		targets:    computev1.NewComputeTargetServiceClient(conn),
		models:     deployv1.NewModelServiceClient(conn),
		artefacts:  deployv1.NewArtefactServiceClient(conn),
		endpoints:  deployv1.NewEndpointServiceClient(conn),
		operations: longrunningpb.NewOperationsClient(conn),
		events:     eventsv1.NewEventServiceClient(conn),
		registered: map[string]string{}, marks: map[string]*counter{}, settings: map[string]*setting{}, refusals: map[string]int{},
	}
}

// Acknowledged is how many changes were acknowledged.
func (l *Ledger) Acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// AllowDeadlines is told when the clock of deploy jumps: operations that are
// under way then may end by their deadline.
func (l *Ledger) AllowDeadlines() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hasty = true
}

// Refusals are the errors that changes were answered with, and how often.
func (l *Ledger) Refusals() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]int{}
	for text, n := range l.refusals {
		all[text] = n
	}
	return all
}

// note remembers what was acknowledged, or how it was refused.
func (l *Ledger) note(err error, remember func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refusals[status.Code(err).String()+": "+status.Convert(err).Message()]++
		return err
	}
	l.acks++
	remember()
	return nil
}

// name makes a name that was not there.
func (l *Ledger) name(prefix string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.named++
	return fmt.Sprintf("%s-%d", prefix, l.named)
}

// RegisterModel registers a model of one small file.
func (l *Ledger) RegisterModel(ctx context.Context) error {
	name := l.name("model")
	content := []byte("content of " + name)
	file, err := l.Upload(ctx, name+".txt", content)
	if err != nil {
		return l.note(err, nil)
	}
	m, err := l.models.RegisterModel(ctx, &deployv1.RegisterModelRequest{
		Parent: Workspace, ModelId: name, Files: []*deployv1.ArtefactFile{file},
	})
	return l.note(err, func() { l.registered[m.GetName()] = file.GetSha256() })
}

// CreateWorkspace creates a workspace.
func (l *Ledger) CreateWorkspace(ctx context.Context) error {
	w, err := l.workspaces.CreateWorkspace(ctx, &authv1.CreateWorkspaceRequest{WorkspaceId: l.name("room")})
	return l.note(err, func() { l.created = append(l.created, w.GetName()) })
}

// CreateTarget creates a compute target.
func (l *Ledger) CreateTarget(ctx context.Context) error {
	name := l.name("target")
	o, err := l.targets.CreateComputeTarget(ctx, &computev1.CreateComputeTargetRequest{
		Parent: Workspace, ComputeTargetId: name,
		ComputeTarget: &computev1.ComputeTarget{NodeCount: 1, Purpose: computev1.ComputeTarget_PURPOSE_DEV_TEST},
	})
	return l.note(err, func() {
		l.created = append(l.created, Workspace+"/computeTargets/"+name)
		l.begun = append(l.begun, o.GetName())
	})
}

// Mark counts a tag of an endpoint up.
func (l *Ledger) Mark(ctx context.Context, endpoint string) error {
	e, err := l.endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: endpointName(endpoint)})
	if err != nil {
		return l.note(err, nil)
	}
	l.mu.Lock()
	c := l.marks[endpoint]
	if c == nil {
		c = &counter{}
		l.marks[endpoint] = c
	}
	c.tried++
	count := c.tried
	l.mu.Unlock()
	_, err = l.endpoints.UpdateEndpoint(ctx, &deployv1.UpdateEndpointRequest{Endpoint: &deployv1.Endpoint{
		Name: e.GetName(), Etag: e.GetEtag(), Tags: map[string]string{markTag: fmt.Sprint(count)},
	}, UpdateMask: mask("tags")})
	return l.note(err, func() { c.acknowledged, c.acknowledgements = count, c.acknowledgements+1 })
}

// markTag is the tag that Mark sets.
const markTag = "mark"

// RegenerateSecondaryKey gives an endpoint another secondary key.
func (l *Ledger) RegenerateSecondaryKey(ctx context.Context, endpoint string) error {
	key := l.name("key-of-" + endpoint + "-that-is-long-enough")
	return l.set(keySetting+endpoint, key, func() error {
		_, err := l.keys.RegenerateEndpointKey(ctx, &authv1.RegenerateEndpointKeyRequest{
			Name: endpointName(endpoint), KeyType: authv1.KeyType_KEY_TYPE_SECONDARY, KeyValue: key,
		})
		return err
	})
}

const (
	keySetting     = "secondary key of "
	trafficSetting = "traffic of "
)

// SetTraffic sets the share of a version.
func (l *Ledger) SetTraffic(ctx context.Context, endpoint, version string, percent float64) error {
	name := versionName(endpoint, version)
	v, err := l.endpoints.GetEndpointVersion(ctx, &deployv1.GetEndpointVersionRequest{Name: name})
	if err != nil {
		return l.note(err, nil)
	}
	return l.set(trafficSetting+name, fmt.Sprint(percent), func() error {
		o, err := l.endpoints.UpdateEndpointVersion(ctx, &deployv1.UpdateEndpointVersionRequest{
			Version:    &deployv1.EndpointVersion{Name: name, Etag: v.GetEtag(), TrafficPercentile: percent},
			UpdateMask: mask("traffic_percentile"),
		})
		if err == nil {
			l.operation(o)
		}
		return err
	})
}

func (l *Ledger) operation(o *longrunningpb.Operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = append(l.begun, o.GetName())
}

// set tries a value; change sends it. One value is set at a time.
func (l *Ledger) set(name, value string, change func() error) error {
	l.mu.Lock()
	s := l.settings[name]
	if s == nil {
		s = &setting{}
		l.settings[name] = s
	}
	s.maybe = append(s.maybe, value)
	l.mu.Unlock()
	return l.note(change(), func() { s.acknowledged, s.maybe = value, nil })
}

// Exchange adds a version to an endpoint, made for the name it gets, and waits until it
// serves; or, where there is one that it has added, deletes it and waits until it
// is gone.
func (l *Ledger) Exchange(ctx context.Context, endpoint string, of func(name string) *deployv1.EndpointVersion) error {
	list, err := l.endpoints.ListEndpointVersions(ctx, &deployv1.ListEndpointVersionsRequest{Parent: endpointName(endpoint)})
	if err != nil {
		return l.note(err, nil)
	}
	for _, v := range list.GetVersions() {
		if v.GetTags()[addedTag] == "" || v.GetState() == deployv1.State_STATE_DELETING {
			continue
		}
		o, err := l.endpoints.DeleteEndpointVersion(ctx, &deployv1.DeleteEndpointVersionRequest{Name: v.GetName()})
		if l.note(err, func() { l.begun = append(l.begun, o.GetName()) }) != nil {
			return err
		}
		return l.await(ctx, o.GetName())
	}
	name := l.name("added")
	version := of(name)
	version.Tags = map[string]string{addedTag: "yes"}
	o, err := l.endpoints.CreateEndpointVersion(ctx, &deployv1.CreateEndpointVersionRequest{
		Parent: endpointName(endpoint), VersionId: name, Version: version,
	})
	if l.note(err, func() {
		l.versions = append(l.versions, versionName(endpoint, name))
		l.begun = append(l.begun, o.GetName())
	}) != nil {
		return err
	}
	return l.await(ctx, o.GetName())
}

// addedTag is on the versions that Exchange adds.
const addedTag = "added"

// await waits until an operation has ended, also past calls that fail.
func (l *Ledger) await(ctx context.Context, operation string) error {
	for {
		o, err := l.operations.WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: operation})
		switch {
		case err == nil && o.GetDone():
			return status.FromProto(o.GetError()).Err()
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			_ = l.note(err, nil)
		}
		if err := rest(ctx); err != nil {
			return err
		}
	}
}

// Upload brings a small content in and gives it as a file.
func (l *Ledger) Upload(ctx context.Context, path string, content []byte) (*deployv1.ArtefactFile, error) {
	sum := sha256.Sum256(content)
	file := &deployv1.ArtefactFile{Path: path, Sha256: hex.EncodeToString(sum[:]), SizeBytes: int64(len(content))}
	u, err := l.artefacts.CreateUpload(ctx, &deployv1.CreateUploadRequest{Parent: Workspace, Sha256: file.GetSha256(), SizeBytes: file.GetSizeBytes()})
	if err != nil || u.GetComplete() {
		return file, err
	}
	u, err = l.artefacts.WriteUpload(ctx, &deployv1.WriteUploadRequest{
		Name: u.GetName(), Offset: u.GetCommittedBytes(), Data: content[u.GetCommittedBytes():],
	})
	if err == nil && !u.GetComplete() {
		err = errors.New("the upload is not complete")
	}
	return file, err
}

// Strange gives the refusals that no fault explains: a service that cannot be
// reached, is too slow or is busy with another change says so.
func (l *Ledger) Strange() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var strange []string
	for text := range l.refusals {
		known := slices.ContainsFunc([]codes.Code{
			codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.FailedPrecondition, codes.ResourceExhausted,
		}, func(c codes.Code) bool { return len(text) > len(c.String()) && text[:len(c.String())] == c.String() })
		if !known {
			strange = append(strange, text)
		}
	}
	slices.Sort(strange)
	return strange
}

func endpointName(endpoint string) string { return Workspace + "/endpoints/" + endpoint }

func versionName(endpoint, version string) string {
	return endpointName(endpoint) + "/versions/" + version
}
