// Package endpoint holds the rules of endpoints and their versions.
//
// An Endpoint with all its versions is one aggregate: one stored value, so that
// its rules hold at every moment. Exactly one version is the default, at most
// one is the control, the percentiles add up to 100 at most, and there are never
// more versions than allowed. Every mutation is a pure function that returns a
// Change, or an *apierr.Error and leaves its input as it was; a request that
// breaks several rules is answered with all of them. Values are not changed
// after they are returned, so they can be shared among goroutines.
package endpoint

import (
	"maps"
	"slices"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/deploy/internal/traffic"
)

var endpointPattern = resourcename.NewPattern("workspaces/{workspace}/endpoints/{endpoint}")

// AuthMode says who may score.
type AuthMode string

// The authentication modes. The zero value is no mode; it reads as AuthKey on input.
const (
	AuthKey   AuthMode = "KEY"
	AuthNone  AuthMode = "NONE"
	AuthToken AuthMode = "TOKEN"
)

// Role is the part of a version in a comparison.
type Role string

// The roles. The zero value reads as Treatment on input.
const (
	Control   Role = "CONTROL"
	Treatment Role = "TREATMENT"
)

// State is how an endpoint or version is doing.
type State string

// The states.
const (
	Transitioning State = "TRANSITIONING"
	Healthy       State = "HEALTHY"
	Unhealthy     State = "UNHEALTHY"
	Unschedulable State = "UNSCHEDULABLE"
	Failed        State = "FAILED"
	Deleting      State = "DELETING"
)

// Endpoint is the aggregate.
type Endpoint struct {
	Workspace     string            `json:"workspace"`
	ID            string            `json:"id"`
	UID           string            `json:"uid"`
	Description   string            `json:"description,omitempty"`
	Tags          map[string]string `json:"tags,omitempty"`
	Properties    map[string]string `json:"properties,omitempty"`
	ComputeTarget string            `json:"computeTarget"` // resource name
	Auth          AuthMode          `json:"auth"`
	// Telemetry says whether a record of each request is kept.
	Telemetry bool `json:"telemetry,omitempty"`

	Versions       []Version `json:"versions"` // by ID
	DefaultVersion string    `json:"defaultVersion"`
	ControlVersion string    `json:"controlVersion,omitempty"`
	// StandIn takes the default's part from when it was the default until the new
	// default answers for the first time.
	StandIn string `json:"standIn,omitempty"`
	// Retired are the workloads of versions that are gone, until they are gone too.
	Retired []Retired `json:"retired,omitempty"`
	// Deletion is set once the endpoint is being deleted.
	Deletion *Deletion `json:"deletion,omitempty"`

	State    State         `json:"state"`
	Message  string        `json:"message,omitempty"`
	Shares   []VersionPart `json:"shares"` // by version, as given out now
	Observed int64         `json:"observedGeneration"`

	Generation int64 `json:"generation"`
	// EventSequence counts the events of the endpoint and of its versions.
	EventSequence int64     `json:"eventSequence"`
	NextOrdinal   int64     `json:"nextOrdinal"`
	CreateTime    time.Time `json:"createTime"`
	UpdateTime    time.Time `json:"updateTime"`
	CreatedBy     string    `json:"createdBy,omitempty"`
}

// VersionPart is the share of one version in hundredths of a percent.
type VersionPart struct {
	Version string `json:"version"`
	Share   int    `json:"share"`
}

// Version is one model with its script and resources.
type Version struct {
	ID          string            `json:"id"`
	UID         string            `json:"uid"`
	Ordinal     int64             `json:"ordinal"` // the smallest is the oldest
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Properties  map[string]string `json:"properties,omitempty"`
	Spec        Spec              `json:"spec"`
	Percentile  int               `json:"percentile"` // hundredths of a percent
	// Revision grows with every change of Spec.
	Revision int64 `json:"revision"`
	// Serving is the newest revision that has become healthy; 0 when none has.
	Serving int64 `json:"serving,omitempty"`
	// Workload is the compute workload that serves it, by resource name.
	Workload   string    `json:"workload"`
	CreateTime time.Time `json:"createTime"`
	UpdateTime time.Time `json:"updateTime"`
	Status     Status    `json:"status"`
	// Scaling is set once the autoscaler has decided something.
	Scaling *Scaling `json:"scaling,omitempty"`
	// Pending is the operation that waits for Revision; nil when none runs.
	Pending *Pending `json:"pending,omitempty"`
}

// Status is what has been observed of a version. It is stored, so that traffic
// goes on as it was when the service starts again.
type Status struct {
	State State `json:"state"`
	// Reason is a stable word for programs.
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
	LogLines []string  `json:"logLines,omitempty"`
	Since    time.Time `json:"since"` // of State
	// Ready counts the replicas of any revision that answer.
	Ready int `json:"ready"`
	// AppliedRevision is the revision that the compute target has taken, as
	// AppliedGeneration of its workload; 0 when it has none.
	AppliedRevision   int64 `json:"appliedRevision,omitempty"`
	AppliedGeneration int64 `json:"appliedGeneration,omitempty"`
	// AppliedReplicas is how many it was told to have.
	AppliedReplicas int `json:"appliedReplicas,omitempty"`
}

// Pending is an operation that has not ended.
type Pending struct {
	Operation string    `json:"operation"`
	Start     time.Time `json:"start"`
}

// Retired is the workload of a version that is gone.
type Retired struct {
	Version  string `json:"version"`
	Workload string `json:"workload"`
	// Operation ends when the workload is gone.
	Operation string    `json:"operation,omitempty"`
	Since     time.Time `json:"since"`
}

// Deletion says since when an endpoint is being deleted, and by which operation.
type Deletion struct {
	Operation string    `json:"operation"`
	Since     time.Time `json:"since"`
}

// Change is the outcome of a mutation.
type Change struct {
	Endpoint Endpoint
	// Facts become events, in this order.
	Facts []Fact
	// Ended are operations that end with this change.
	Ended []Ended
	// Steps are for the log of the operation that asked for the change.
	Steps []string
	// Revisions are new; Marks say what has become of earlier ones.
	Revisions []Revision
	Marks     []Mark
	// Forgotten are the uids of versions whose revisions go.
	Forgotten []string
}

// Ended is an operation that has ended; Err is nil when it succeeded.
type Ended struct {
	Operation string
	Err       *apierr.Error
}

// Fact is one thing that happened to the endpoint, or to a version when Version is set.
type Fact struct {
	Version    string
	VersionUID string
	Verb       string
	State      State
	Message    string
	Details    map[string]any
}

// Name gives the endpoint's resource name.
func (e Endpoint) Name() string {
	return Name(e.Workspace, e.ID)
}

// Name gives the resource name of an endpoint.
func Name(workspace, id string) string {
	return resourcename.Format("workspaces", workspace, "endpoints", id)
}

// Pattern gives the shape of the resource names of endpoints.
func Pattern() resourcename.Pattern { return endpointPattern }

// VersionName gives the resource name of one of its versions.
func (e Endpoint) VersionName(id string) string {
	return e.Name() + "/" + resourcename.Format("versions", id)
}

// Version finds a version by its ID.
func (e Endpoint) Version(id string) (Version, bool) {
	if i := e.index(id); i >= 0 {
		return e.Versions[i], true
	}
	return Version{}, false
}

// Role gives the role of a version.
func (e Endpoint) Role(id string) Role {
	if id != "" && id == e.ControlVersion {
		return Control
	}
	return Treatment
}

// Share gives what a version gets now, in hundredths of a percent.
func (e Endpoint) Share(id string) int {
	for _, s := range e.Shares {
		if s.Version == id {
			return s.Share
		}
	}
	return 0
}

// Running gives the operation that changes the endpoint now; "" when none does.
func (e Endpoint) Running() string {
	if e.Deletion != nil {
		return e.Deletion.Operation
	}
	for _, v := range e.Versions {
		if v.Pending != nil {
			return v.Pending.Operation
		}
	}
	for _, r := range e.Retired {
		if r.Operation != "" {
			return r.Operation
		}
	}
	return ""
}

// Runs tells whether an operation on the endpoint has not ended.
func (e Endpoint) Runs(operation string) bool {
	if e.Deletion != nil && e.Deletion.Operation == operation {
		return true
	}
	return slices.ContainsFunc(e.Versions, func(v Version) bool { return v.Pending != nil && v.Pending.Operation == operation }) ||
		slices.ContainsFunc(e.Retired, func(r Retired) bool { return r.Operation == operation })
}

func (e Endpoint) index(id string) int {
	return slices.IndexFunc(e.Versions, func(v Version) bool { return v.ID == id })
}

// clone copies what the mutations of this package change in place.
func (e Endpoint) clone() Endpoint {
	e.Versions = slices.Clone(e.Versions)
	e.Retired = slices.Clone(e.Retired)
	return e
}

// put adds a version or replaces the one of the same ID.
func (e *Endpoint) put(v Version) {
	if i := e.index(v.ID); i >= 0 {
		e.Versions[i] = v
		return
	}
	e.Versions = append(e.Versions, v)
	slices.SortFunc(e.Versions, func(a, b Version) int { return compareText(a.ID, b.ID) })
}

// changed notes a change of what is wanted.
func (e *Endpoint) changed(now time.Time) {
	e.Generation++
	e.UpdateTime = now
}

// effective gives the shares for the endpoint as it is.
func (e Endpoint) effective() []VersionPart {
	claims := make([]traffic.Claim, len(e.Versions))
	for i, v := range e.Versions {
		claims[i] = traffic.Claim{
			Version: v.ID, Percentile: v.Percentile,
			Default: v.ID == e.DefaultVersion, Control: v.ID == e.ControlVersion,
			StandIn: v.ID == e.StandIn, Ready: v.answers() && e.Deletion == nil,
		}
	}
	parts := make([]VersionPart, len(claims))
	for i, s := range traffic.Effective(claims) {
		parts[i] = VersionPart{Version: s.Version, Share: s.Share}
	}
	return parts
}

// answers tells whether requests that a version is given get an answer. One that
// has scaled to zero does: they are held until its first replica has started.
func (v Version) answers() bool {
	asleep := v.Spec.HoldsWhenEmpty() && v.Serving > 0 && (v.Status.State == Healthy || v.Status.State == Transitioning)
	return v.Status.Ready > 0 || asleep
}

// mergeProperties adds properties; those that exist keep their values.
func mergeProperties(field string, have, given map[string]string, v *apierr.Violations) map[string]string {
	merged := maps.Clone(have)
	for _, key := range slices.Sorted(maps.Keys(given)) {
		old, ok := have[key]
		if ok && old != given[key] {
			v.Add(field+"."+key, "cannot be changed, it is %q: properties can only be added", old)
			continue
		}
		if merged == nil {
			merged = map[string]string{}
		}
		merged[key] = given[key]
	}
	return merged
}
