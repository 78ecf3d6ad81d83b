package deploy_test

import (
	"context"
	"strings"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/platform/apierr"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/peertest"
)

const aaaName = endpointName + "/versions/aaa"

// startUpdate begins a change of the version "aaa".
func (b *bed) startUpdate(mask string, change func(*deployv1.EndpointVersion)) (*longrunningpb.Operation, error) {
	v := &deployv1.EndpointVersion{Name: aaaName}
	change(v)
	req := &deployv1.UpdateEndpointVersionRequest{Version: v}
	if mask != "" {
		req.UpdateMask = &fieldmaskpb.FieldMask{Paths: strings.Split(mask, ",")}
	}
	return b.endpoints.UpdateEndpointVersion(b.t.Context(), req)
}

// change makes a change of the version "aaa" and waits for it.
func (b *bed) change(mask string, change func(*deployv1.EndpointVersion)) (*deployv1.EndpointVersion, error) {
	o, err := b.startUpdate(mask, change)
	if err != nil {
		return nil, err
	}
	v := &deployv1.EndpointVersion{}
	b.succeeds(o, v)
	return v, nil
}

// stuck lets workloads that a condition picks out never become ready; others do.
func (b *bed) stuck(pick func(*computev1.WorkloadSpec) bool) {
	b.compute.Behave(func(s *computev1.WorkloadSpec) peertest.Outcome {
		if pick(s) {
			return peertest.Outcome{State: computev1.Workload_STATE_TRANSITIONING, Message: "init() runs"}
		}
		return peertest.Outcome{State: computev1.Workload_STATE_HEALTHY}
	})
}

func cpu(n float64) func(*deployv1.EndpointVersion) {
	return func(v *deployv1.EndpointVersion) { v.Resources = &deployv1.ReplicaResources{Cpu: n} }
}

func TestOneChangeAtATime(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	b.stuck(func(s *computev1.WorkloadSpec) bool { return s.GetVersion() == "bbb" })
	ctx := t.Context()
	running, err := b.endpoints.CreateEndpointVersion(ctx, &deployv1.CreateEndpointVersionRequest{Parent: endpointName, VersionId: "bbb", Version: b.version(nil)})
	b.check(err)
	if got := b.get().GetRunningOperation(); got != running.GetName() {
		t.Errorf("running: %q", got)
	}
	endpoint := &deployv1.Endpoint{Name: endpointName, Description: "new"}
	changes := map[string]func(validateOnly bool) error{
		"create": func(validateOnly bool) error {
			_, err := b.endpoints.CreateEndpointVersion(ctx, &deployv1.CreateEndpointVersionRequest{Parent: endpointName, VersionId: "ccc", Version: b.version(nil), ValidateOnly: validateOnly})
			return err
		},
		"update": func(validateOnly bool) error {
			v := &deployv1.EndpointVersion{Name: aaaName, Replicas: 2}
			_, err := b.endpoints.UpdateEndpointVersion(ctx, &deployv1.UpdateEndpointVersionRequest{Version: v, ValidateOnly: validateOnly})
			return err
		},
		"traffic": func(validateOnly bool) error {
			v := &deployv1.EndpointVersion{Name: aaaName, TrafficPercentile: 20}
			_, err := b.endpoints.UpdateEndpointVersion(ctx, &deployv1.UpdateEndpointVersionRequest{Version: v, ValidateOnly: validateOnly})
			return err
		},
		"delete": func(validateOnly bool) error {
			_, err := b.endpoints.DeleteEndpointVersion(ctx, &deployv1.DeleteEndpointVersionRequest{Name: aaaName, ValidateOnly: validateOnly})
			return err
		},
		"endpoint": func(validateOnly bool) error {
			_, err := b.endpoints.UpdateEndpoint(ctx, &deployv1.UpdateEndpointRequest{Endpoint: endpoint, ValidateOnly: validateOnly})
			return err
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			e := refused(t, change(false), "OPERATION_IN_PROGRESS", running.GetName(), "--wait")
			if e.Kind != apierr.Conflict || e.Metadata["operation"] != running.GetName() {
				t.Errorf("got %+v", e)
			}
			if err := change(true); err != nil {
				t.Errorf("only to validate: %v", err)
			}
		})
	}
	_, err = b.endpoints.RollbackEndpointVersion(ctx, &deployv1.RollbackEndpointVersionRequest{Name: aaaName, Revision: 1})
	refused(t, err, "OPERATION_IN_PROGRESS")
	o, err := b.endpoints.DeleteEndpoint(ctx, &deployv1.DeleteEndpointRequest{Name: endpointName})
	b.check(err)
	if e := apierr.FromStatus(status.ErrorProto(b.wait(running).GetError())); e == nil || e.Kind != apierr.Cancelled || e.Reason != "ENDPOINT_DELETED" {
		t.Errorf("the running operation ended with %+v", e)
	}
	if o = b.wait(o); o.GetError() != nil {
		t.Error(o.GetError())
	}
}

func TestCancel(t *testing.T) {
	cancel := func(b *bed, o *longrunningpb.Operation) error {
		_, err := b.operations.CancelOperation(b.t.Context(), &longrunningpb.CancelOperationRequest{Name: o.GetName()})
		return err
	}
	ended := func(t *testing.T, b *bed, o *longrunningpb.Operation, words string) {
		t.Helper()
		if e := apierr.FromStatus(status.ErrorProto(b.wait(o).GetError())); e == nil || e.Reason != "CANCELLED" || !strings.Contains(e.Message, words) {
			t.Errorf("the operation ended with %+v", e)
		}
	}
	t.Run("an update goes back", func(t *testing.T) {
		b := newBed(t, nil)
		b.create(cpu(1))
		b.stuck(func(s *computev1.WorkloadSpec) bool { return s.GetResources().GetCpu() == 2 })
		o, err := b.startUpdate("", cpu(2))
		b.check(err)
		if v := b.get().GetVersions()[0]; v.GetServingRevision() != 1 || v.GetRevision() != 2 {
			t.Errorf("revision %d, serving %d", v.GetRevision(), v.GetServingRevision())
		}
		b.check(cancel(b, o))
		ended(t, b, o, "goes back to what revision 1 runs, as revision 3")
		b.eventually("the old specification serves", func() bool {
			v := b.get().GetVersions()[0]
			return v.GetState() == deployv1.State_STATE_HEALTHY && v.GetServingRevision() == 3 && v.GetResources().GetCpu() == 1
		})
		b.check(cancel(b, o)) // once more changes nothing
		if all := b.revisions(); len(all) != 3 || !all[1].GetCancelled() || all[0].GetCancelled() || all[2].GetCancelled() {
			t.Errorf("revisions %v", all)
		}
	})
	t.Run("an added version goes away", func(t *testing.T) {
		b := newBed(t, nil)
		b.create(nil)
		b.stuck(func(s *computev1.WorkloadSpec) bool { return s.GetVersion() == "bbb" })
		o, err := b.endpoints.CreateEndpointVersion(t.Context(), &deployv1.CreateEndpointVersionRequest{Parent: endpointName, VersionId: "bbb", Version: b.version(nil)})
		b.check(err)
		b.check(cancel(b, o))
		ended(t, b, o, "bbb is removed again")
		if n := len(b.get().GetVersions()); n != 1 {
			t.Errorf("%d versions", n)
		}
	})
	t.Run("the only version stays", func(t *testing.T) {
		b := newBed(t, nil)
		b.stuck(func(*computev1.WorkloadSpec) bool { return true })
		o, err := b.endpoints.CreateEndpoint(t.Context(), b.createRequest(nil))
		b.check(err)
		refused(t, cancel(b, o), "CANNOT_CANCEL", "delete the endpoint")
	})
}

func (b *bed) revisions() []*deployv1.EndpointVersionRevision {
	b.t.Helper()
	r, err := b.endpoints.ListEndpointVersionRevisions(b.t.Context(), &deployv1.ListEndpointVersionRevisionsRequest{Parent: aaaName})
	b.check(err)
	return r.GetRevisions()
}

func TestRevisions(t *testing.T) {
	b := newBed(t, nil)
	b.create(cpu(1))
	if _, err := b.change("tags", func(v *deployv1.EndpointVersion) { v.Tags = map[string]string{"a": "b"} }); err != nil {
		t.Fatal(err)
	}
	_, err := b.change("resources.cpu,environment_variables", func(v *deployv1.EndpointVersion) {
		v.Resources, v.EnvironmentVariables = &deployv1.ReplicaResources{Cpu: 2}, map[string]string{"X": "1"}
	})
	b.check(err)
	b.compute.Behave(func(s *computev1.WorkloadSpec) peertest.Outcome {
		if s.GetResources().GetCpu() == 3 {
			return peertest.Outcome{State: computev1.Workload_STATE_FAILED, Message: "init() raised", LogLines: []string{"Traceback"}}
		}
		return peertest.Outcome{State: computev1.Workload_STATE_HEALTHY}
	})
	o, err := b.startUpdate("resources.cpu", cpu(3))
	b.check(err)
	failed := b.wait(o)
	if text := failed.GetError().GetMessage(); !strings.Contains(text, "init() raised") || !strings.Contains(text, "Traceback") {
		t.Errorf("the update failed with %v", failed.GetError())
	}
	type seen struct {
		Revision    int64
		Serving     bool
		Failed      bool
		CreatedBy   string
		Differences []string
	}
	var got []seen
	for _, r := range b.revisions() {
		s := seen{Revision: r.GetRevision(), Serving: r.GetServing(), Failed: r.GetFailure() != "", CreatedBy: r.GetCreatedBy()}
		for _, d := range r.GetDifferences() {
			s.Differences = append(s.Differences, d.GetField()+": "+d.GetBefore()+" > "+d.GetAfter())
		}
		got = append(got, s)
	}
	want := []seen{
		{3, false, true, "service:router", []string{"resources.cpu: 2 > 3"}},
		{2, true, false, "service:router", []string{`environmentVariables.X:  > "1"`, "resources.cpu: 1 > 2"}},
		{1, false, false, "service:router", nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.rollsBack()
}

// rollsBack goes from revision 3, which has failed, to 2, which served, and on to 1.
func (b *bed) rollsBack() {
	b.t.Helper()
	rollback := func(to int64) *deployv1.EndpointVersion {
		b.t.Helper()
		o, err := b.endpoints.RollbackEndpointVersion(b.t.Context(), &deployv1.RollbackEndpointVersionRequest{Name: aaaName, Revision: to})
		b.check(err)
		v := &deployv1.EndpointVersion{}
		b.succeeds(o, v)
		return v
	}
	if v := rollback(0); v.GetRevision() != 4 || v.GetResources().GetCpu() != 2 || v.GetTags()["a"] != "b" || v.GetServingRevision() != 4 {
		b.t.Errorf("back to %v", v)
	}
	if v := rollback(1); v.GetRevision() != 5 || v.GetResources().GetCpu() != 1 || len(v.GetEnvironmentVariables()) != 0 {
		b.t.Errorf("back to %v", v)
	}
	_, err := b.endpoints.RollbackEndpointVersion(b.t.Context(), &deployv1.RollbackEndpointVersionRequest{Name: aaaName, Revision: 1})
	refused(b.t, err, "NOTHING_TO_ROLL_BACK")
	_, err = b.endpoints.RollbackEndpointVersion(b.t.Context(), &deployv1.RollbackEndpointVersionRequest{Name: aaaName, Revision: 99})
	refused(b.t, err, "REVISION_NOT_FOUND")
}

func TestTheLastRevisionsAreKept(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	for n := range 24 {
		_, err := b.change("", func(v *deployv1.EndpointVersion) { v.Replicas = int32(n%2) + 2 })
		b.check(err)
	}
	all := b.revisions()
	if len(all) != 20 || all[0].GetRevision() != 25 || all[19].GetRevision() != 6 {
		t.Errorf("%d revisions, from %d to %d", len(all), all[0].GetRevision(), all[len(all)-1].GetRevision())
	}
	o, err := b.endpoints.DeleteEndpoint(t.Context(), &deployv1.DeleteEndpointRequest{Name: endpointName})
	b.check(err)
	b.wait(o)
	left, _, err := b.store.List(t.Context(), "revisions")
	b.check(err)
	if len(left) != 0 {
		t.Errorf("%d revisions are left behind", len(left))
	}
}

func TestARollbackNeedsItsModels(t *testing.T) {
	b := newBed(t, nil)
	b.register()
	b.register()
	b.create(func(v *deployv1.EndpointVersion) { v.Models = []string{"ridge:1"} })
	_, err := b.change("models", func(v *deployv1.EndpointVersion) { v.Models = []string{"ridge"} })
	b.check(err)
	if got := b.get().GetVersions()[0].GetModels(); len(got) != 1 || !strings.HasSuffix(got[0], "/versions/2") {
		t.Errorf("the newest model is %v", got)
	}
	_, err = b.models.DeleteModelVersion(t.Context(), &deployv1.DeleteModelVersionRequest{Name: "workspaces/default/models/ridge/versions/1"})
	b.check(err)
	_, err = b.endpoints.RollbackEndpointVersion(t.Context(), &deployv1.RollbackEndpointVersionRequest{Name: aaaName})
	refused(t, err, "REVISION_INCOMPLETE", "ridge")
}

// What does not concern a replica's process replaces no replica.
func TestChangesThatReplaceNoReplica(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	template := func() *computev1.WorkloadSpec {
		s := b.compute.Spec(b.compute.Workloads()[0])
		s.Replicas = 0
		return s
	}
	before := template().String()
	changes := map[string]func(*deployv1.EndpointVersion){
		"replicas":  func(v *deployv1.EndpointVersion) { v.Replicas = 4 },
		"autoscale": func(v *deployv1.EndpointVersion) { v.Autoscale = &deployv1.Autoscale{MaxReplicas: 3} },
		"request_settings.scoring_timeout": func(v *deployv1.EndpointVersion) {
			v.RequestSettings = &deployv1.RequestSettings{ScoringTimeout: durationpb.New(5e9)}
		},
		"request_settings.max_queue_wait": func(v *deployv1.EndpointVersion) {
			v.RequestSettings = &deployv1.RequestSettings{MaxQueueWait: durationpb.New(5e9)}
		},
		"tags":               func(v *deployv1.EndpointVersion) { v.Tags = map[string]string{"x": "y"} },
		"traffic_percentile": func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 50 },
	}
	for mask, change := range changes {
		_, err := b.change(mask, change)
		b.check(err)
		if diff := cmp.Diff(before, template().String()); diff != "" {
			t.Errorf("%s (-before +after):\n%s", mask, diff)
		}
	}
	_, err := b.endpoints.UpdateEndpoint(context.Background(), &deployv1.UpdateEndpointRequest{Endpoint: &deployv1.Endpoint{Name: endpointName, AuthMode: deployv1.Endpoint_AUTH_MODE_TOKEN}})
	b.check(err)
	if diff := cmp.Diff(before, template().String()); diff != "" {
		t.Errorf("auth mode (-before +after):\n%s", diff)
	}
}
