package endpoint_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// changed makes version "aaa" run something else.
func changed(t interface{ Fatalf(string, ...any) }, e endpoint.Endpoint, operation string, cpu float64) endpoint.Change {
	in := input(e, "aaa")
	in.Spec.CPU = cpu
	c, err := e.UpdateVersion("aaa", operation, in, start)
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	return c
}

func numbers(c endpoint.Change) []int64 {
	var all []int64
	for _, r := range c.Revisions {
		all = append(all, r.Number)
	}
	return all
}

func TestRevisionsFollowWhatAVersionRuns(t *testing.T) {
	first := create(t, nil)
	if diff := cmp.Diff([]int64{1}, numbers(first)); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	e := healthy(first.Endpoint, "aaa")
	traffic, err := e.UpdateVersion("aaa", "op", endpoint.VersionInput{Spec: source(), Percentile: 20, Default: true, Tags: map[string]string{"a": "b"}}, start)
	if err != nil || len(traffic.Revisions) != 0 {
		t.Errorf("traffic and tags are no revision: %v %v", numbers(traffic), err)
	}
	second := changed(t, e, "op-2", 2)
	if diff := cmp.Diff([]int64{2}, numbers(second)); diff != "" {
		t.Errorf("updated (-want +got):\n%s", diff)
	}
	if v, _ := second.Endpoint.Version("aaa"); v.Serving != 1 || v.Revision != 2 || second.Endpoint.Running() != "op-2" {
		t.Errorf("while it starts: %+v", v)
	}
	v, _ := second.Endpoint.Version("aaa")
	failed := endpoint.Status{State: endpoint.Failed, Message: "init() raised", LogLines: []string{"Traceback"}, Ready: 1, AppliedRevision: 2}
	c, _ := second.Endpoint.Observe(endpoint.Observation{Statuses: map[string]endpoint.Status{"aaa": failed}}, limits, start)
	if diff := cmp.Diff([]endpoint.Mark{{VersionUID: v.UID, Number: 2, Failure: "init() raised"}}, c.Marks); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if v, _ := c.Endpoint.Version("aaa"); v.Serving != 1 || c.Endpoint.Share("aaa") != 10_000 {
		t.Errorf("the old revision must go on: %+v", v)
	}
	deleted, err := add(t, c.Endpoint, "bbb", nil).Endpoint.DeleteVersion("aaa", "op-3", start)
	if err != nil || cmp.Diff([]string{v.UID}, deleted.Forgotten) != "" {
		t.Errorf("revisions of a deleted version stay: %v %v", deleted.Forgotten, err)
	}
}

func TestRollback(t *testing.T) {
	e := healthy(create(t, nil).Endpoint, "aaa")
	v1, _ := e.Version("aaa")
	to := endpoint.Revision{VersionUID: v1.UID, Number: 1, Spec: v1.Spec}
	if _, err := e.Rollback("aaa", "op", to, start); apierr.FromStatus(err).Reason != "NOTHING_TO_ROLL_BACK" {
		t.Errorf("to what it runs: %v", err)
	}
	e = healthy(changed(t, e, "op-2", 2).Endpoint, "aaa")
	c, err := e.Rollback("aaa", "op-3", to, start)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := c.Endpoint.Version("aaa")
	if !v.Spec.Equal(v1.Spec) || v.Revision != 3 || v.Serving != 2 || !c.Endpoint.Runs("op-3") {
		t.Errorf("rolled back to %+v", v)
	}
	if _, err := e.Rollback("nnn", "op", to, start); apierr.KindOf(err) != apierr.NotFound {
		t.Errorf("an unknown version: %v", err)
	}
}

func TestCancelOfADeletion(t *testing.T) {
	e := healthy(create(t, nil).Endpoint, "aaa")
	e = healthy(add(t, e, "bbb", nil).Endpoint, "aaa", "bbb")
	c, err := e.DeleteVersion("bbb", "op-delete", start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Endpoint.Cancel("op-delete", nil, start); apierr.FromStatus(err).Reason != "CANNOT_CANCEL" {
		t.Errorf("got %v", err)
	}
	if err := c.Endpoint.Busy(); apierr.FromStatus(err).Reason != "OPERATION_IN_PROGRESS" {
		t.Errorf("while it goes: %v", err)
	}
}

// A version that never served has nothing to go back to: the operation ends, and
// the version can be changed again.
func TestCancelWithoutARevisionThatServed(t *testing.T) {
	e := changed(t, create(t, nil).Endpoint, "op-2", 2).Endpoint
	if _, _, ok := e.CancelNeeds("op-2"); ok {
		t.Error("it has served")
	}
	c, err := e.Cancel("op-2", nil, start)
	if err != nil || len(c.Ended) != 1 || c.Ended[0].Err.Kind != apierr.Cancelled || c.Endpoint.Running() != "" {
		t.Errorf("got %+v, %v", c.Ended, err)
	}
}

func TestAutoscaleIsChecked(t *testing.T) {
	n := func(v int) *int { return &v }
	d := func(v time.Duration) *time.Duration { return &v }
	tests := []struct {
		name     string
		replicas int
		in       *endpoint.AutoscaleInput
		want     *endpoint.Autoscale
		bad      []string
	}{
		{"fixed", 3, nil, nil, nil},
		{"defaults", 0, &endpoint.AutoscaleInput{}, &endpoint.Autoscale{Min: 1, Max: 10, Target: 70, RefreshPeriod: time.Second, IdleTime: time.Minute}, nil},
		{"to zero", 0, &endpoint.AutoscaleInput{Min: n(0), Max: 2, Target: 100, RefreshPeriod: d(time.Hour), IdleTime: d(24 * time.Hour)},
			&endpoint.Autoscale{Min: 0, Max: 2, Target: 100, RefreshPeriod: time.Hour, IdleTime: 24 * time.Hour}, nil},
		{"both", 2, &endpoint.AutoscaleInput{}, nil, []string{"version.replicas"}},
		{"everything wrong", 0, &endpoint.AutoscaleInput{Min: n(11), Target: 101, RefreshPeriod: d(0), IdleTime: d(25 * time.Hour)}, nil, []string{
			"version.autoscale.refresh_period", "version.autoscale.idle_time", "version.autoscale.min_replicas", "version.autoscale.target_utilization_percent"}},
		{"more than there can be", 0, &endpoint.AutoscaleInput{Max: 1001, Min: n(-1)}, nil, []string{"version.autoscale.min_replicas", "version.autoscale.max_replicas"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := source()
			in.Replicas, in.Autoscale = tt.replicas, tt.in
			var v apierr.Violations
			spec := in.Spec("version", &v)
			var fields []string
			for _, bad := range v {
				fields = append(fields, bad.Field)
			}
			if diff := cmp.Diff(tt.bad, fields); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, spec.Autoscale); tt.bad == nil && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is asked, revisions count up by one, the serving one is never newer
// than the newest, and an operation that is given runs or has ended.
func TestRevisionInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := create(t, nil).Endpoint
		kept := map[int64]endpoint.Spec{1: mustVersion(e).Spec}
		for i := range rapid.IntRange(1, 20).Draw(t, "steps") {
			before := mustVersion(e)
			operation := "op-" + string(rune('a'+i))
			var c endpoint.Change
			var err error
			switch rapid.SampledFrom([]string{"update", "healthy", "failed", "rollback", "cancel"}).Draw(t, "what") {
			case "update":
				c = changed(t, e, operation, float64(rapid.IntRange(1, 4).Draw(t, "cpu")))
			case "healthy":
				c = endpoint.Change{Endpoint: healthy(e, "aaa")}
			case "failed":
				status := endpoint.Status{State: endpoint.Failed, AppliedRevision: before.Revision}
				c, _ = e.Observe(endpoint.Observation{Statuses: map[string]endpoint.Status{"aaa": status}}, limits, start)
			case "rollback":
				number := rapid.Int64Range(1, before.Revision).Draw(t, "to")
				c, err = e.Rollback("aaa", operation, endpoint.Revision{Number: number, Spec: kept[number]}, start)
			case "cancel":
				serving := endpoint.Revision{Number: before.Serving, Spec: kept[before.Serving]}
				_, _, ok := e.CancelNeeds(e.Running())
				if c, err = e.Cancel(e.Running(), nil, start); ok {
					c, err = e.Cancel(e.Running(), &serving, start)
				}
			}
			if err != nil {
				continue
			}
			e = c.Endpoint
			after := mustVersion(e)
			if got := after.Revision - before.Revision; got != int64(len(c.Revisions)) || got > 1 {
				t.Fatalf("the revision went from %d to %d with %d new", before.Revision, after.Revision, len(c.Revisions))
			}
			for _, r := range c.Revisions {
				kept[r.Number] = r.Spec
			}
			if !kept[after.Revision].Equal(after.Spec) || after.Serving > after.Revision {
				t.Fatalf("revision %d, serving %d, runs %+v", after.Revision, after.Serving, after.Spec)
			}
			if before.Pending != nil && !e.Runs(before.Pending.Operation) && len(c.Ended) == 0 && c.Facts != nil {
				t.Fatalf("%s was lost", before.Pending.Operation)
			}
		}
	})
}

func mustVersion(e endpoint.Endpoint) endpoint.Version {
	v, _ := e.Version("aaa")
	return v
}
