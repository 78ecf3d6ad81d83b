package endpoint_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const maxVersions = 6

func source() endpoint.SpecInput {
	return endpoint.SpecInput{
		EntryScript: "score.py",
		SourceFiles: []bundle.File{{Path: "score.py", SHA256: strings.Repeat("a", 64), Size: 10}},
	}
}

func create(t interface{ Fatalf(string, ...any) }, change func(*endpoint.Creation)) endpoint.Change {
	in := endpoint.Creation{
		Workspace: "default", ID: "diabetes", UID: "ee1", ComputeTarget: "workspaces/default/computeTargets/local",
		Version: endpoint.NewVersion{ID: "aaa", UID: "uid-aaa", Operation: "op-aaa", Input: endpoint.VersionInput{Spec: source()}},
	}
	if change != nil {
		change(&in)
	}
	c, err := endpoint.Create(in, start)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	return c
}

func add(t interface{ Fatalf(string, ...any) }, e endpoint.Endpoint, id string, change func(*endpoint.VersionInput)) endpoint.Change {
	in := endpoint.VersionInput{Spec: source()}
	if change != nil {
		change(&in)
	}
	c, err := e.AddVersion(endpoint.NewVersion{ID: id, UID: "uid-" + id, Operation: "op-" + id, Input: in}, maxVersions, start)
	if err != nil {
		t.Fatalf("add %s: %v", id, err)
	}
	return c
}

// healthy makes the given versions answer.
func healthy(e endpoint.Endpoint, ids ...string) endpoint.Endpoint {
	o := endpoint.Observation{Statuses: map[string]endpoint.Status{}}
	for _, id := range ids {
		v, _ := e.Version(id)
		o.Statuses[id] = endpoint.Status{State: endpoint.Healthy, Ready: 1, AppliedRevision: v.Revision, AppliedGeneration: v.Revision}
	}
	c, _ := e.Observe(o, limits, start)
	return c.Endpoint
}

var limits = endpoint.Limits{Unschedulable: 5 * time.Minute, Deploy: 20 * time.Minute}

// input gives the version back as a user would send it unchanged.
func input(e endpoint.Endpoint, id string) endpoint.VersionInput {
	v, _ := e.Version(id)
	return endpoint.VersionInput{
		Description: v.Description, Tags: v.Tags, Spec: source(),
		Percentile: float64(v.Percentile) / 100, Default: e.DefaultVersion == id, Role: e.Role(id),
	}
}

func shares(e endpoint.Endpoint) string {
	var parts []string
	for _, s := range e.Shares {
		parts = append(parts, fmt.Sprintf("%s=%g", s.Version, float64(s.Share)/100))
	}
	return strings.Join(parts, " ")
}

func verbs(facts []endpoint.Fact) []string {
	var all []string
	for _, f := range facts {
		all = append(all, strings.TrimPrefix(f.Version+"."+f.Verb, "."))
	}
	return all
}

func TestTrafficArithmetic(t *testing.T) {
	e := create(t, func(c *endpoint.Creation) { c.Version.Input.Percentile = 20 }).Endpoint
	e = healthy(e, "aaa")
	if got := shares(e); got != "aaa=100" {
		t.Errorf("the first version gets %s", got)
	}
	e = add(t, e, "bbb", func(in *endpoint.VersionInput) { in.Percentile = 10 }).Endpoint
	if got := shares(e); got != "aaa=100 bbb=0" {
		t.Errorf("before b answers: %s", got)
	}
	e = healthy(e, "aaa", "bbb")
	if got := shares(e); got != "aaa=90 bbb=10" {
		t.Errorf("with b: %s", got)
	}
	in := input(e, "bbb")
	in.Percentile, in.Default, in.Role = 40, true, endpoint.Control
	c, err := e.UpdateVersion("bbb", "op", in, start)
	if err != nil {
		t.Fatal(err)
	}
	if got := shares(c.Endpoint); got != "aaa=20 bbb=80" {
		t.Errorf("with b as default: %s", got)
	}
	if diff := cmp.Diff([]string{"bbb.updated", "bbb.promoted", "bbb.promoted", "traffic-changed"}, verbs(c.Facts)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if v, _ := c.Endpoint.Version("bbb"); v.Pending != nil || v.Revision != 1 {
		t.Errorf("a change of traffic must be done at once: %+v", v)
	}
	c, err = c.Endpoint.DeleteVersion("bbb", "op", start)
	if err != nil {
		t.Fatal(err)
	}
	if got := shares(c.Endpoint); got != "aaa=100" || c.Endpoint.DefaultVersion != "aaa" {
		t.Errorf("without b: %s, default %s", got, c.Endpoint.DefaultVersion)
	}
}

func TestANewDefaultTakesNothingBeforeItAnswers(t *testing.T) {
	e := healthy(create(t, nil).Endpoint, "aaa")
	e = healthy(add(t, e, "bbb", func(in *endpoint.VersionInput) { in.Percentile = 10 }).Endpoint, "aaa", "bbb")
	e = add(t, e, "ccc", func(in *endpoint.VersionInput) { in.Default = true }).Endpoint
	if got := shares(e); got != "aaa=90 bbb=10 ccc=0" {
		t.Errorf("while c starts: %s", got)
	}
	e = healthy(e, "aaa", "bbb", "ccc")
	if got := shares(e); got != "aaa=0 bbb=10 ccc=90" {
		t.Errorf("once c answers: %s", got)
	}
}

func TestSuccessorOfADeletedDefault(t *testing.T) {
	e := healthy(create(t, nil).Endpoint, "aaa")
	e = add(t, e, "bbb", nil).Endpoint
	e = add(t, e, "ccc", nil).Endpoint
	tests := []struct {
		name     string
		endpoint func() endpoint.Endpoint
		want     string
	}{
		{"the control", func() endpoint.Endpoint {
			return add(t, healthy(e, "bbb"), "ddd", func(in *endpoint.VersionInput) { in.Role = endpoint.Control }).Endpoint
		}, "version ddd is now the default: it is the control version"},
		{"else the oldest healthy one", func() endpoint.Endpoint { return healthy(e, "ccc") }, "version ccc is now the default: it is the oldest healthy version"},
		{"else the oldest", func() endpoint.Endpoint { return e }, "version bbb is now the default: it is the oldest version, and none is healthy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := tt.endpoint().DeleteVersion("aaa", "op", start)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.want}, c.Steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if c.Facts[1].Verb != "promoted" || c.Facts[1].Message != tt.want {
				t.Errorf("the event says %+v", c.Facts[1])
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	one := healthy(create(t, nil).Endpoint, "aaa")
	full := one
	for _, id := range []string{"bb1", "cc1", "dd1", "ee1", "ff1"} {
		full = add(t, full, id, nil).Endpoint
	}
	deleting, err := one.BeginDeletion("op-delete", start)
	if err != nil {
		t.Fatal(err)
	}
	addTo := func(e endpoint.Endpoint, id string, percentile float64) error {
		_, err := e.AddVersion(endpoint.NewVersion{ID: id, Input: endpoint.VersionInput{Spec: source(), Percentile: percentile}}, maxVersions, start)
		return err
	}
	update := func(e endpoint.Endpoint, id string, change func(*endpoint.VersionInput)) error {
		in := input(e, "aaa")
		change(&in)
		_, err := e.UpdateVersion(id, "op", in, start)
		return err
	}
	tests := []struct {
		name   string
		err    error
		reason string
		words  []string
	}{
		{"a seventh version", addTo(full, "gg1", 0), "TOO_MANY_VERSIONS", []string{"6 versions", "aaa, bb1, cc1, dd1, ee1, ff1"}},
		{"a name that is taken", addTo(one, "aaa", 0), "VERSION_ALREADY_EXISTS", []string{"version aaa"}},
		{"a sum over 100", addTo(add(t, one, "bbb", func(in *endpoint.VersionInput) { in.Percentile = 70.5 }).Endpoint, "ccc", 29.51), "INVALID_ARGUMENT",
			[]string{"version.traffic_percentile", "100.01", "aaa 0, bbb 70.5, ccc 29.51"}},
		{"three decimals", addTo(one, "bbb", 0.125), "INVALID_ARGUMENT", []string{"two decimals"}},
		{"the default can't be given up", update(one, "aaa", func(in *endpoint.VersionInput) { in.Default = false }), "INVALID_ARGUMENT",
			[]string{"version.is_default", "set is_default to true on the version"}},
		{"an unknown version", update(one, "zz", func(*endpoint.VersionInput) {}), "VERSION_NOT_FOUND", []string{"no version zz", "it has aaa"}},
		{"the last version", second(one.DeleteVersion("aaa", "op", start)), "LAST_VERSION", []string{"delete the endpoint"}},
		{"an endpoint that is being deleted", addTo(deleting.Endpoint, "bbb", 0), "ENDPOINT_DELETING", []string{"op-delete"}},
		{"deleting it again", second(deleting.Endpoint.BeginDeletion("op", start)), "ENDPOINT_DELETING", []string{"op-delete"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, ok := errors.AsType[*apierr.Error](tt.err)
			if !ok || e.Reason != tt.reason {
				t.Fatalf("got %#v, want reason %s", tt.err, tt.reason)
			}
			for _, w := range tt.words {
				if !strings.Contains(e.Message, w) {
					t.Errorf("%q does not say %q", e.Message, w)
				}
			}
		})
	}
}

func second(_ endpoint.Change, err error) error { return err }

func TestAllViolationsAtOnce(t *testing.T) {
	zero, long := time.Duration(0), 301*time.Second
	_, err := endpoint.Create(endpoint.Creation{
		ID: "No", Version: endpoint.NewVersion{ID: "v_1", Input: endpoint.VersionInput{
			Percentile: 101,
			Spec: endpoint.SpecInput{
				EntryScript: "score.txt", SourceFiles: []bundle.File{{Path: "../x"}, {Path: "d"}, {Path: "d/y"}},
				CPU: 2, CPULimit: 1, MemoryGB: -1, MemoryLimitGB: -1, GPUs: -1, Replicas: -1,
				ScoringTimeout: &long, MaxQueueWait: &zero, MaxConcurrent: -1, ProbePeriod: &zero, FailureThreshold: -1,
				Models:      []endpoint.ModelRef{{Model: "m", Version: 1}, {Model: "m", Version: 1}},
				Environment: map[string]string{"A B": "x"},
			},
		}},
	}, start)
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, v := range e.Violations {
		fields = append(fields, v.Field)
	}
	want := []string{
		"endpoint_id", "version_id", "version.resources.memory_gb",
		"version.request_settings.scoring_timeout", "version.request_settings.max_concurrent_requests_per_replica",
		"version.request_settings.max_queue_wait", "version.liveness_probe.period", "version.liveness_probe.failure_threshold",
		"version.resources.cpu_limit", "version.resources.memory_limit_gb", "version.resources.gpus", "version.replicas", "version.models",
		"version.source_files", "version.source_files", "version.entry_script", "version.environment_variables", "version.traffic_percentile",
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("violations (-want +got):\n%s\n%v", diff, err)
	}
}

func TestDefaultsAreFilledIn(t *testing.T) {
	v := create(t, nil).Endpoint.Versions[0]
	want := endpoint.Spec{
		EntryScript: "score.py", SourceFiles: source().SourceFiles, CPU: 0.1, MemoryGB: 0.5, Replicas: 1,
		Requests: endpoint.Requests{ScoringTimeout: time.Minute, MaxConcurrent: 1, MaxQueueWait: 500 * time.Millisecond},
		Liveness: endpoint.Probe{Period: 10 * time.Second, InitialDelay: 310 * time.Second, Timeout: 2 * time.Second, SuccessThreshold: 1, FailureThreshold: 3},
	}
	if diff := cmp.Diff(want, v.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

func TestOperationsEnd(t *testing.T) {
	status := func(s endpoint.State, applied int64) endpoint.Status {
		return endpoint.Status{State: s, Message: "the cause", LogLines: []string{"Traceback", "ValueError: x"}, AppliedRevision: applied}
	}
	tests := []struct {
		name   string
		status endpoint.Status
		after  time.Duration
		ended  bool
		reason string
		words  string
	}{
		{"healthy", status(endpoint.Healthy, 1), 0, true, "", ""},
		{"healthy, but of an earlier revision", status(endpoint.Healthy, 0), 0, false, "", ""},
		{"failed, with cause and log", status(endpoint.Failed, 1), 0, true, "VERSION_FAILED", "version aaa failed: the cause\nTraceback\nValueError: x"},
		{"no room yet", status(endpoint.Unschedulable, 1), 4 * time.Minute, false, "", ""},
		{"no room for too long", status(endpoint.Unschedulable, 1), 5 * time.Minute, true, "UNSCHEDULABLE", "found no room on its compute target for 5m0s: the cause"},
		{"slow", status(endpoint.Transitioning, 1), 19 * time.Minute, false, "", ""},
		{"too slow", status(endpoint.Transitioning, 1), 20 * time.Minute, true, "DEPLOYMENT_TIMED_OUT", "it is TRANSITIONING: the cause"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := create(t, nil).Endpoint
			o := endpoint.Observation{Statuses: map[string]endpoint.Status{"aaa": tt.status}}
			c, _ := e.Observe(o, limits, start)
			if tt.after > 0 {
				wake := c.Endpoint.Wake(limits)
				if due := !wake.After(start.Add(tt.after)); due != tt.ended {
					t.Errorf("wakes at %v", wake.Sub(start))
				}
				c, _ = c.Endpoint.Observe(o, limits, start.Add(tt.after))
			}
			if ended := len(c.Ended) == 1; ended != tt.ended {
				t.Fatalf("ended: %+v", c.Ended)
			}
			if !tt.ended {
				return
			}
			if tt.reason == "" && c.Ended[0].Err != nil || tt.reason != "" && (c.Ended[0].Err == nil || c.Ended[0].Err.Reason != tt.reason || !strings.Contains(c.Ended[0].Err.Message, tt.words)) {
				t.Errorf("ended with %+v", c.Ended[0].Err)
			}
			if again, changed := c.Endpoint.Observe(o, limits, start.Add(tt.after)); changed || len(again.Ended) > 0 {
				t.Errorf("a second look changes something: %+v", again)
			}
		})
	}
}

func TestDeletingAVersionEndsItsOperation(t *testing.T) {
	e := healthy(create(t, nil).Endpoint, "aaa")
	e = add(t, e, "bbb", nil).Endpoint
	c, err := e.DeleteVersion("bbb", "op-delete", start)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Ended) != 1 || c.Ended[0].Operation != "op-bbb" || c.Ended[0].Err.Reason != "VERSION_DELETED" {
		t.Errorf("ended: %+v", c.Ended)
	}
	b, _ := e.Version("bbb")
	c, _ = c.Endpoint.Observe(endpoint.Observation{Gone: map[string]bool{b.Workload: true}}, limits, start)
	if diff := cmp.Diff([]endpoint.Ended{{Operation: "op-delete"}}, c.Ended); diff != "" || len(c.Endpoint.Retired) != 0 {
		t.Errorf("once the workload is gone (-want +got):\n%s", diff)
	}
}

func TestPropertiesAreOnlyAdded(t *testing.T) {
	e := create(t, func(c *endpoint.Creation) { c.Version.Input.Properties = map[string]string{"aaa": "1"} }).Endpoint
	in := input(e, "aaa")
	in.Properties = map[string]string{"bbb": "2"}
	c, err := e.UpdateVersion("aaa", "op", in, start)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := c.Endpoint.Version("aaa")
	if diff := cmp.Diff(map[string]string{"aaa": "1", "bbb": "2"}, v.Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	in.Properties = map[string]string{"aaa": "3"}
	if _, err := e.UpdateVersion("aaa", "op", in, start); apierr.KindOf(err) != apierr.InvalidArgument || !strings.Contains(err.Error(), "version.properties.a") {
		t.Errorf("got %v", err)
	}
}

func TestWorkloadName(t *testing.T) {
	long := strings.Repeat("a", 24) + "-" + strings.Repeat("b", 7)
	name := endpoint.WorkloadName("workspaces/w/computeTargets/local", long, long, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
	id := name[strings.LastIndex(name, "/")+1:]
	if len(id) > 63 || strings.Contains(id, "--") || !strings.HasSuffix(id, "-ffq69g5fav") || strings.ToLower(id) != id {
		t.Errorf("got %q", id)
	}
}
