package endpoint

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
)

// VersionInput is a version as a user wants it.
type VersionInput struct {
	Description string
	Tags        map[string]string
	Properties  map[string]string
	Spec        SpecInput
	Percentile  float64
	Default     bool
	Role        Role // empty means Treatment
}

// NewVersion is a version to be added.
type NewVersion struct {
	ID        string
	UID       string
	Operation string
	Input     VersionInput
}

// AddVersion adds a version. Nothing changes when it would be one too many, when
// the name is taken, or when the percentiles would add up to more than 100.
func (e Endpoint) AddVersion(n NewVersion, maxVersions int, now time.Time) (Change, error) {
	if err := e.mutable(); err != nil {
		return Change{}, err
	}
	var v apierr.Violations
	next := e.clone()
	CheckName("version_id", n.ID, &v)
	added := newVersion(n, now, &v)
	next.checkSum(n.ID, added.Percentile, &v)
	if err := v.Err(); err != nil {
		return Change{}, err
	}
	if _, taken := e.Version(n.ID); taken {
		return Change{}, apierr.New(apierr.AlreadyExists, "VERSION_ALREADY_EXISTS", "endpoint %s has a version %s already; update it, or choose another name", e.ID, n.ID)
	}
	if len(e.Versions) >= maxVersions {
		return Change{}, apierr.New(apierr.FailedPrecondition, "TOO_MANY_VERSIONS", "endpoint %s has %d versions (%s), which is the most it can have; delete one first",
			e.ID, len(e.Versions), strings.Join(e.versionIDs(), ", "))
	}
	next.NextOrdinal++
	added.Ordinal = next.NextOrdinal
	added.Workload = WorkloadName(e.ComputeTarget, e.ID, n.ID, n.UID)
	next.put(added)
	next.changed(now)
	c := Change{Endpoint: next, Revisions: []Revision{revisionOf(added, now)}}
	c.version(added, "created", "version "+n.ID+" was added", nil)
	c.assignRoles(n.ID, n.Input.Default, n.Input.Role)
	return c.settled(e), nil
}

// UpdateVersion makes a version be as the input says. The operation stays
// pending only when what the version runs changes; its traffic and role change
// at once. An operation that waits for what the version ran before ends.
func (e Endpoint) UpdateVersion(id, operation string, in VersionInput, now time.Time) (Change, error) {
	if err := e.mutable(); err != nil {
		return Change{}, err
	}
	old, ok := e.Version(id)
	if !ok {
		return Change{}, e.noVersion(id)
	}
	var v apierr.Violations
	next, updated := e.clone(), old
	updated.Description, updated.Tags = in.Description, in.Tags
	updated.Properties = mergeProperties("version.properties", old.Properties, in.Properties, &v)
	spec := in.Spec.Spec("version", &v)
	updated.Percentile = hundredths("version.traffic_percentile", in.Percentile, &v)
	updated.UpdateTime = now
	next.checkSum(id, updated.Percentile, &v)
	if !in.Default && id == e.DefaultVersion {
		v.Add("version.is_default", "cannot be set to false: %s is the default version; set is_default to true on the version that shall take its place", id)
	}
	if err := v.Err(); err != nil {
		return Change{}, err
	}
	c := Change{Endpoint: next}
	if !spec.Equal(old.Spec) {
		c.run(&updated, spec, operation, now)
	}
	c.Endpoint.put(updated)
	c.Endpoint.changed(now)
	c.version(updated, "updated", "version "+id+" was changed", map[string]any{"revision": updated.Revision})
	c.assignRoles(id, in.Default, in.Role)
	return c.settled(e), nil
}

// DeleteVersion removes a version and ends its running operation. When it was the
// default, another one takes the role; the facts and steps say which.
func (e Endpoint) DeleteVersion(id, operation string, now time.Time) (Change, error) {
	if err := e.mutable(); err != nil {
		return Change{}, err
	}
	gone, ok := e.Version(id)
	if !ok {
		return Change{}, e.noVersion(id)
	}
	if len(e.Versions) == 1 {
		return Change{}, apierr.New(apierr.FailedPrecondition, "LAST_VERSION", "%s is the last version of endpoint %s and cannot be deleted; delete the endpoint instead", id, e.ID)
	}
	next := e.clone()
	next.Versions = slices.Delete(next.Versions, next.index(id), next.index(id)+1)
	next.Retired = append(next.Retired, Retired{Version: id, Workload: gone.Workload, Operation: operation, Since: now})
	next.changed(now)
	c := Change{Endpoint: next, Forgotten: []string{gone.UID}}
	if gone.Pending != nil {
		c.Ended = append(c.Ended, Ended{Operation: gone.Pending.Operation,
			Err: apierr.New(apierr.Cancelled, "VERSION_DELETED", "version %s was deleted before it was done", id)})
	}
	gone.Status = Status{State: Deleting, Since: now}
	c.version(gone, "deleted", "version "+id+" was deleted", nil)
	if c.Endpoint.StandIn == id {
		c.Endpoint.StandIn = ""
	}
	if c.Endpoint.ControlVersion == id {
		c.Endpoint.ControlVersion = ""
	}
	if c.Endpoint.DefaultVersion == id {
		heir, why := next.successor(e.ControlVersion)
		c.promote(heir, "default", id, fmt.Sprintf("version %s is now the default: %s", heir, why))
		c.Endpoint.DefaultVersion = heir
	}
	return c.settled(e), nil
}

// successor chooses the next default among the versions that are left.
func (e Endpoint) successor(control string) (id, why string) {
	if _, ok := e.Version(control); ok {
		return control, "it is the control version"
	}
	byAge := slices.SortedFunc(slices.Values(e.Versions), func(a, b Version) int { return int(a.Ordinal - b.Ordinal) })
	for _, v := range byAge {
		if v.Status.State == Healthy {
			return v.ID, "it is the oldest healthy version"
		}
	}
	return byAge[0].ID, "it is the oldest version, and none is healthy"
}

// assignRoles gives a version the default role when asked, and its role in the comparison.
func (c *Change) assignRoles(id string, byDefault bool, role Role) {
	e := &c.Endpoint
	if former := e.DefaultVersion; byDefault && former != id {
		if standIn, ok := e.Version(former); ok && standIn.answers() {
			e.StandIn = former
		}
		e.DefaultVersion = id
		c.promote(id, "default", former, fmt.Sprintf("version %s is now the default, in place of %s", id, former))
	}
	switch former := e.ControlVersion; {
	case role == Control && former != id:
		e.ControlVersion = id
		message := fmt.Sprintf("version %s is now the control", id)
		if former != "" {
			message += fmt.Sprintf("; %s is a treatment", former)
		}
		c.promote(id, "control", former, message)
	case role != Control && former == id:
		e.ControlVersion = ""
	}
}

func (c *Change) promote(id, role, former, message string) {
	v, _ := c.Endpoint.Version(id)
	details := map[string]any{"role": role}
	if former != "" {
		details["former"] = former
	}
	c.version(v, "promoted", message, details)
	c.Steps = append(c.Steps, message)
}

func (c *Change) version(v Version, verb, message string, details map[string]any) {
	c.Facts = append(c.Facts, Fact{Version: v.ID, VersionUID: v.UID, Verb: verb, State: v.Status.State, Message: message, Details: details})
}

// checkSum checks the sum of all percentiles with the one of version id replaced.
func (e Endpoint) checkSum(id string, percentile int, v *apierr.Violations) {
	sum, parts := percentile, []string{fmt.Sprintf("%s %g", id, percent(percentile))}
	for _, other := range e.Versions {
		if other.ID != id {
			sum += other.Percentile
			parts = append(parts, fmt.Sprintf("%s %g", other.ID, percent(other.Percentile)))
		}
	}
	if sum > 10_000 {
		slices.Sort(parts)
		v.Add("version.traffic_percentile", "makes the percentiles add up to %g (%s); they must not add up to more than 100", percent(sum), strings.Join(parts, ", "))
	}
}

func newVersion(n NewVersion, now time.Time, v *apierr.Violations) Version {
	return Version{
		ID: n.ID, UID: n.UID, Description: n.Input.Description, Tags: n.Input.Tags, Properties: n.Input.Properties,
		Spec:       n.Input.Spec.Spec("version", v),
		Percentile: hundredths("version.traffic_percentile", n.Input.Percentile, v),
		Revision:   1, CreateTime: now, UpdateTime: now,
		Status:  waitingForTarget(Status{}, now),
		Pending: &Pending{Operation: n.Operation, Start: now},
	}
}

// waitingForTarget is the status of a revision that no compute target has taken yet.
func waitingForTarget(old Status, now time.Time) Status {
	s := old
	s.State, s.Reason, s.Message, s.LogLines, s.Since = Transitioning, "Waiting", "waiting for the compute target", nil, now
	return s
}

// Find gives a version, or an error that names those that there are.
func (e Endpoint) Find(id string) (Version, error) {
	v, ok := e.Version(id)
	if !ok {
		return Version{}, e.noVersion(id)
	}
	return v, nil
}

func (e Endpoint) noVersion(id string) error {
	return apierr.New(apierr.NotFound, "VERSION_NOT_FOUND", "endpoint %s has no version %s; it has %s", e.ID, id, strings.Join(e.versionIDs(), ", "))
}

func (e Endpoint) versionIDs() []string {
	ids := make([]string, len(e.Versions))
	for i, v := range e.Versions {
		ids[i] = v.ID
	}
	return ids
}

// WorkloadName gives the resource name of a version's workload: one of its own
// for each incarnation of endpoint and version, at most 63 characters at the end.
func WorkloadName(computeTarget, endpointID, versionID, versionUID string) string {
	const most = 25
	short := func(s string) string { return strings.TrimRight(s[:min(len(s), most)], "-") }
	uid := strings.ToLower(versionUID)
	id := short(endpointID) + "-" + short(versionID) + "-" + uid[max(0, len(uid)-10):]
	return computeTarget + "/" + resourcename.Format("workloads", id)
}

func percent(hundredths int) float64 { return float64(hundredths) / 100 }
