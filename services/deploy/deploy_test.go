package deploy_test

import (
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/store/jetstream"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy"
	"github.com/fairlead/fairlead/services/deploy/internal/peertest"
)

func trim(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (b *bed) update(mask string, change func(*deployv1.EndpointVersion)) (*deployv1.EndpointVersion, error) {
	v := &deployv1.EndpointVersion{Name: endpointName + "/versions/bbb"}
	change(v)
	req := &deployv1.UpdateEndpointVersionRequest{Version: v}
	if mask != "" {
		req.UpdateMask = &fieldmaskpb.FieldMask{Paths: []string{mask}}
	}
	o, err := b.endpoints.UpdateEndpointVersion(b.t.Context(), req)
	if err != nil {
		return nil, err
	}
	out := &deployv1.EndpointVersion{}
	b.succeeds(o, out)
	return out, nil
}

func TestTheWholeCourse(t *testing.T) {
	b := newBed(t, nil)
	b.wholeCourse()
	want := []string{
		"endpoint.v1.created", "version.v1.created", "version.v1.state-changed", "endpoint.v1.state-changed", "endpoint.v1.traffic-changed",
		"version.v1.created", "endpoint.v1.state-changed", "endpoint.v1.traffic-changed",
		"version.v1.state-changed", "endpoint.v1.state-changed", "endpoint.v1.traffic-changed",
		"version.v1.updated", "version.v1.promoted", "version.v1.promoted", "endpoint.v1.traffic-changed",
		"version.v1.deleted", "version.v1.promoted", "endpoint.v1.traffic-changed",
		"endpoint.v1.state-changed", "endpoint.v1.traffic-changed", "version.v1.deleted", "endpoint.v1.deleted",
	}
	if diff := cmp.Diff(want, b.eventLog(endpointName)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestTheWholeCourseOnJetStream runs it over the store that is used in earnest.
func TestTheWholeCourseOnJetStream(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	b := prepare(t, nil)
	server, err := bus.Start(t.Context(), bus.Config{StoreDir: t.TempDir()}, bus.Deps{Logger: log})
	b.check(err)
	t.Cleanup(server.Close)
	conn, err := bus.Connect(t.Context(), bus.Target{Name: "deploy", Embedded: server}, log)
	b.check(err)
	t.Cleanup(conn.Close)
	b.store, err = jetstream.Open(t.Context(), jetstream.Config{Service: "deploy"}, jetstream.Deps{Conn: conn, Logger: log})
	b.check(err)
	b.start()
	b.wholeCourse()
	one := b.register()
	_, err = b.models.DeleteModelVersion(t.Context(), &deployv1.DeleteModelVersionRequest{Name: one.GetName()})
	b.check(err)
	b.stop()
	b.start()
	b.wholeCourse()
}

// wholeCourse takes an endpoint from its creation to its deletion.
func (b *bed) wholeCourse() {
	t := b.t
	m := b.register()
	e := b.create(func(v *deployv1.EndpointVersion) { v.TrafficPercentile, v.Models = 20, []string{m.GetId()} })
	if e.GetState() != deployv1.State_STATE_HEALTHY || traffic(e) != "aaa=100" || e.GetScoringUri() != "http://127.0.0.1:8080/api/v1/service/diabetes/score" {
		t.Errorf("created: %v", e)
	}
	if k, ok := b.auth.Keys(endpointName); !ok || k.UID != e.GetUid() {
		t.Errorf("keys: %+v", k)
	}
	spec := b.compute.Spec(b.compute.Workloads()[0])
	if len(spec.GetModels()) != 1 || spec.GetModels()[0].GetFiles()[0].GetSha256() != digest("weights") || spec.GetResources().GetMemoryBytes() != 1<<29 {
		t.Errorf("the workload is %v", spec)
	}
	b.add("bbb", func(v *deployv1.EndpointVersion) { v.TrafficPercentile = 10 })
	if e = b.get(); traffic(e) != "aaa=90 bbb=10" || e.GetObservedGeneration() != e.GetGeneration() {
		t.Errorf("with bbb: %v", e)
	}
	if _, err := b.update("", func(v *deployv1.EndpointVersion) {
		v.TrafficPercentile, v.IsDefault, v.Type = 40, true, deployv1.EndpointVersion_TYPE_CONTROL
	}); err != nil {
		t.Fatal(err)
	}
	if e = b.get(); traffic(e) != "aaa=20 bbb=80" || e.GetDefaultVersion() != "bbb" || e.GetControlVersion() != "bbb" {
		t.Errorf("with bbb as default: %v", e)
	}
	o, err := b.endpoints.DeleteEndpointVersion(t.Context(), &deployv1.DeleteEndpointVersionRequest{Name: endpointName + "/versions/bbb"})
	b.check(err)
	b.succeeds(o, e)
	if traffic(e) != "aaa=100" || len(b.compute.Workloads()) != 1 {
		t.Errorf("without bbb: %v, workloads %v", e, b.compute.Workloads())
	}
	o, err = b.endpoints.DeleteEndpoint(t.Context(), &deployv1.DeleteEndpointRequest{Name: endpointName})
	b.check(err)
	b.succeeds(o, &emptypb.Empty{})
	if _, ok := b.auth.Keys(endpointName); ok || len(b.compute.Workloads()) > 0 {
		t.Errorf("keys (%v) or workloads %v are left", ok, b.compute.Workloads())
	}
	_, err = b.endpoints.GetEndpoint(t.Context(), &deployv1.GetEndpointRequest{Name: endpointName})
	refused(t, err, "ENDPOINT_NOT_FOUND")
}

func TestAllViolationsInOneAnswer(t *testing.T) {
	b := newBed(t, nil)
	req := b.createRequest(func(v *deployv1.EndpointVersion) {
		v.Models = []string{"nope", "ridge:7", "a b"}
		v.Resources = &deployv1.ReplicaResources{Cpu: 2, CpuLimit: 1}
		v.SourceFiles = append(v.SourceFiles, file("more.py", "not uploaded"), &deployv1.ArtefactFile{Path: "size.py", Sha256: digest(script), SizeBytes: 1})
		v.RequestSettings = &deployv1.RequestSettings{ScoringTimeout: durationpb.New(0)}
	})
	req.Endpoint = &deployv1.Endpoint{ComputeTarget: "cluster"}
	req.Keys = &deployv1.InitialKeys{PrimaryKey: "0123456789abcdef", SecondaryKey: "0123456789abcdef"}
	_, err := b.endpoints.CreateEndpoint(t.Context(), req)
	got := fields(refused(t, err, "INVALID_ARGUMENT", "there is no compute target cluster", "there is no model ridge:7"))
	want := []string{
		"endpoint.compute_target", "keys.secondary_key", "version.models[0]", "version.models[1]", "version.models[2]",
		"version.request_settings.scoring_timeout", "version.resources.cpu_limit", "version.source_files[1].sha256", "version.source_files[2].size_bytes",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	b.create(nil)
	_, err = b.endpoints.CreateEndpoint(t.Context(), req)
	refused(t, err, "INVALID_ARGUMENT")
	_, err = b.endpoints.CreateEndpoint(t.Context(), b.createRequest(nil))
	refused(t, err, "ENDPOINT_ALREADY_EXISTS", "diabetes")
}

func TestValidateOnlyChangesNothing(t *testing.T) {
	b := newBed(t, nil)
	req := b.createRequest(nil)
	req.ValidateOnly = true
	o, err := b.endpoints.CreateEndpoint(t.Context(), req)
	b.check(err)
	e := &deployv1.Endpoint{}
	b.succeeds(o, e)
	if e.GetName() != endpointName || e.GetVersions()[0].GetResources().GetCpu() != 0.1 {
		t.Errorf("would be %v", e)
	}
	if v := e.GetVersions()[0]; e.GetUid()+e.GetEtag()+e.GetRunningOperation()+v.GetUid()+v.GetEtag() != "" {
		t.Errorf("it has what only an endpoint has that is there: %v", e)
	}
	req.Version.SourceFiles = append(req.Version.SourceFiles, file("later.py", "not uploaded yet"))
	_, err = b.endpoints.CreateEndpoint(t.Context(), req)
	b.check(err) // a request can be checked before anything is uploaded for it
	_, err = b.endpoints.GetEndpoint(t.Context(), &deployv1.GetEndpointRequest{Name: endpointName})
	refused(t, err, "ENDPOINT_NOT_FOUND")
	if _, ok := b.auth.Keys(endpointName); ok {
		t.Error("keys were made")
	}
	b.create(nil)
	before := b.get()
	for name, call := range map[string]func() error{
		"delete": func() error {
			_, err := b.endpoints.DeleteEndpoint(t.Context(), &deployv1.DeleteEndpointRequest{Name: endpointName, ValidateOnly: true})
			return err
		},
		"add": func() error {
			_, err := b.endpoints.CreateEndpointVersion(t.Context(), &deployv1.CreateEndpointVersionRequest{Parent: endpointName, VersionId: "bbb", Version: b.version(nil), ValidateOnly: true})
			return err
		},
		"update": func() error {
			_, err := b.endpoints.UpdateEndpoint(t.Context(), &deployv1.UpdateEndpointRequest{Endpoint: &deployv1.Endpoint{Name: endpointName, Description: "x"}, ValidateOnly: true})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := b.get(); after.GetEtag() != before.GetEtag() {
		t.Errorf("changed from %v to %v", before, after)
	}
}

func TestTheSameRequestTwice(t *testing.T) {
	b := newBed(t, nil)
	req := b.createRequest(nil)
	req.RequestId = "6f4e9c8e-2f6e-4f0e-9d7a-0d5a5a2f7c11"
	first, err := b.endpoints.CreateEndpoint(t.Context(), req)
	b.check(err)
	second, err := b.endpoints.CreateEndpoint(t.Context(), req)
	b.check(err)
	if first.GetName() != second.GetName() {
		t.Errorf("two operations: %s and %s", first.GetName(), second.GetName())
	}
	b.wait(first)
	deletion := &deployv1.DeleteEndpointRequest{Name: endpointName, RequestId: req.GetRequestId()}
	first, err = b.endpoints.DeleteEndpoint(t.Context(), deletion)
	b.check(err)
	b.wait(first)
	second, err = b.endpoints.DeleteEndpoint(t.Context(), deletion)
	b.check(err)
	if first.GetName() != second.GetName() || !second.GetDone() {
		t.Errorf("deleted by %s, then %v", first.GetName(), second)
	}
	b.upload("weights")
	register := &deployv1.RegisterModelRequest{Parent: "workspaces/default", ModelId: "ridge", RequestId: req.GetRequestId(), Files: []*deployv1.ArtefactFile{file("m", "weights")}}
	for range 2 {
		m, err := b.models.RegisterModel(t.Context(), register)
		b.check(err)
		if m.GetVersion() != 1 {
			t.Errorf("registered %s", m.GetId())
		}
	}
}

func TestOneOfManyCreationsWins(t *testing.T) {
	b := newBed(t, nil)
	var group sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 8 {
		req := b.createRequest(nil)
		req.Keys = &deployv1.InitialKeys{PrimaryKey: "brought-by-caller-" + strconv.Itoa(i)}
		group.Go(func() {
			_, err := b.endpoints.CreateEndpoint(t.Context(), req)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if apierr.FromStatus(err).Kind != apierr.AlreadyExists {
					t.Errorf("lost with %v", err)
				}
				return
			}
			won++
			if k, _ := b.auth.Keys(endpointName); k.Primary != req.GetKeys().GetPrimaryKey() {
				t.Errorf("the winner brought %s, the key is %s", req.GetKeys().GetPrimaryKey(), k.Primary)
			}
		})
	}
	group.Wait()
	k, _ := b.auth.Keys(endpointName)
	if won != 1 || k.UID != b.get().GetUid() {
		t.Errorf("%d won; the keys are of %s, the endpoint is %s", won, k.UID, b.get().GetUid())
	}
}

func TestCreationFailsWithoutKeysAndCanBeRepeated(t *testing.T) {
	b := newBed(t, nil)
	b.auth.SetDown(true)
	_, err := b.endpoints.CreateEndpoint(t.Context(), b.createRequest(nil))
	refused(t, err, "KEYS_UNAVAILABLE")
	b.auth.SetDown(false)
	b.create(nil)
}

func TestEtagGuards(t *testing.T) {
	b := newBed(t, nil)
	e := b.create(nil)
	update := &deployv1.UpdateEndpointRequest{Endpoint: &deployv1.Endpoint{Name: endpointName, Description: "x", Etag: e.GetEtag()}}
	o, err := b.endpoints.UpdateEndpoint(t.Context(), update)
	b.check(err)
	b.succeeds(o, &deployv1.Endpoint{})
	_, err = b.endpoints.UpdateEndpoint(t.Context(), update)
	refused(t, err, "ETAG_MISMATCH")
}

func TestAFailedVersion(t *testing.T) {
	b := newBed(t, nil)
	b.compute.Behave(func(*computev1.WorkloadSpec) peertest.Outcome {
		return peertest.Outcome{State: computev1.Workload_STATE_FAILED, Reason: "ScriptError", Message: "init() raised ValueError", LogLines: []string{"Traceback", "ValueError: no"}}
	})
	o, err := b.endpoints.CreateEndpoint(t.Context(), b.createRequest(nil))
	b.check(err)
	o = b.wait(o)
	if want := "version aaa failed: init() raised ValueError\nTraceback\nValueError: no"; o.GetError().GetMessage() != want {
		t.Errorf("the operation says %q, want %q", o.GetError().GetMessage(), want)
	}
	e := b.get()
	ready := e.GetVersions()[0].GetConditions()[0]
	if e.GetState() != deployv1.State_STATE_FAILED || e.GetStateMessage() != "version aaa is FAILED: init() raised ValueError" || len(ready.GetLogLines()) != 2 {
		t.Errorf("the endpoint is %v", e)
	}
	if own := e.GetConditions()[0]; own.GetReason() != "ScriptError" || ready.GetReason() != "ScriptError" {
		t.Errorf("the endpoint's reason is %q, the version's is %q", own.GetReason(), ready.GetReason())
	}
	o, err = b.endpoints.DeleteEndpoint(t.Context(), &deployv1.DeleteEndpointRequest{Name: endpointName})
	b.check(err)
	b.succeeds(o, &emptypb.Empty{})
}

func TestAVersionWithoutRoom(t *testing.T) {
	b := newBed(t, func(c *deploy.Config) { c.UnschedulableTimeout = time.Second })
	b.compute.Behave(func(*computev1.WorkloadSpec) peertest.Outcome {
		return peertest.Outcome{State: computev1.Workload_STATE_UNSCHEDULABLE, Message: "asked 8 vCPU; node-0 has 4"}
	})
	o, err := b.endpoints.CreateEndpoint(t.Context(), b.createRequest(nil))
	b.check(err)
	if o = b.wait(o); o.GetError().GetMessage() != "version aaa found no room on its compute target for 1s: asked 8 vCPU; node-0 has 4" {
		t.Errorf("the operation says %q", o.GetError().GetMessage())
	}
	if e := b.get(); e.GetState() != deployv1.State_STATE_UNSCHEDULABLE {
		t.Errorf("the endpoint is %v", e)
	}
}

func TestUpdatesKeepWhatTheyDoNotName(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	b.add("bbb", func(v *deployv1.EndpointVersion) {
		v.Resources = &deployv1.ReplicaResources{Cpu: 1, MemoryGb: 2, MemoryLimitGb: 4}
		v.Tags = map[string]string{"a": "1"}
	})
	tests := []struct {
		name, mask string
		change     func(*deployv1.EndpointVersion)
		want       *deployv1.ReplicaResources
		revision   int64
	}{
		{"a part by mask", "resources.cpu", func(v *deployv1.EndpointVersion) { v.Resources = &deployv1.ReplicaResources{Cpu: 2, MemoryGb: 9} },
			&deployv1.ReplicaResources{Cpu: 2, MemoryGb: 2, MemoryLimitGb: 4}, 2},
		{"a part without a mask", "", func(v *deployv1.EndpointVersion) { v.Resources = &deployv1.ReplicaResources{MemoryGb: 3} },
			&deployv1.ReplicaResources{Cpu: 2, MemoryGb: 3, MemoryLimitGb: 4}, 3},
		{"all of it by mask", "resources", func(v *deployv1.EndpointVersion) { v.Resources = &deployv1.ReplicaResources{Cpu: 3} },
			&deployv1.ReplicaResources{Cpu: 3, MemoryGb: 0.5}, 4},
		{"only tags", "tags", func(v *deployv1.EndpointVersion) { v.Tags = nil }, &deployv1.ReplicaResources{Cpu: 3, MemoryGb: 0.5}, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := b.update(tt.mask, tt.change)
			b.check(err)
			if got := v.GetResources(); got.String() != tt.want.String() || v.GetRevision() != tt.revision {
				t.Errorf("got %v at revision %d, want %v at %d", got, v.GetRevision(), tt.want, tt.revision)
			}
		})
	}
	_, err := b.update("resources.made_up", func(v *deployv1.EndpointVersion) {})
	refused(t, err, "INVALID_ARGUMENT", "resources.made_up")
	_, err = b.update("made_up", func(v *deployv1.EndpointVersion) {})
	refused(t, err, "INVALID_ARGUMENT", "made_up")
	_, err = b.update("", func(v *deployv1.EndpointVersion) {})
	refused(t, err, "INVALID_ARGUMENT", "names nothing to change")
}

func TestReplicasEndAfterRoutersHadTime(t *testing.T) {
	const grace = 300 * time.Millisecond
	b := newBed(t, func(c *deploy.Config) { c.RouteGrace = grace })
	b.create(nil)
	b.add("bbb", nil)
	workloads := b.compute.Workloads()
	asked := time.Now()
	o, err := b.endpoints.DeleteEndpointVersion(t.Context(), &deployv1.DeleteEndpointVersionRequest{Name: endpointName + "/versions/bbb"})
	b.check(err)
	b.succeeds(o, &deployv1.Endpoint{})
	if waited := b.compute.DeletedAt(workloads[1]).Sub(asked); waited < grace {
		t.Errorf("the replicas were told to end after %s", waited)
	}
}

func TestModels(t *testing.T) {
	b := newBed(t, nil)
	one, two := b.register(), b.register()
	if one.GetId() != "ridge:1" || two.GetId() != "ridge:2" || one.GetDigest() != digest("m.pkl:"+digest("weights")+"\n") {
		t.Errorf("registered %v and %v", one, two)
	}
	list, err := b.models.ListModels(t.Context(), &deployv1.ListModelsRequest{Parent: "workspaces/default"})
	b.check(err)
	if len(list.GetModels()) != 1 || list.GetModels()[0].GetId() != "ridge:2" {
		t.Errorf("models: %v", list)
	}
	page, err := b.models.ListModelVersions(t.Context(), &deployv1.ListModelVersionsRequest{Parent: "workspaces/default/models/ridge", PageSize: 1})
	b.check(err)
	rest, err := b.models.ListModelVersions(t.Context(), &deployv1.ListModelVersionsRequest{Parent: "workspaces/default/models/ridge", PageSize: 1, PageToken: page.GetNextPageToken()})
	b.check(err)
	if page.GetModelVersions()[0].GetVersion() != 2 || rest.GetModelVersions()[0].GetVersion() != 1 || rest.GetNextPageToken() != "" {
		t.Errorf("versions: %v then %v", page, rest)
	}
	data, err := b.contents.ReadArtefact(t.Context(), &deployv1.ReadArtefactRequest{Name: one.GetName(), Path: "m.pkl", Offset: 3})
	b.check(err)
	if string(data.GetData()) != "ghts" || data.GetSizeBytes() != 7 {
		t.Errorf("read %v", data)
	}
	updated, err := b.models.UpdateModelVersion(t.Context(), &deployv1.UpdateModelVersionRequest{ModelVersion: &deployv1.ModelVersion{Name: one.GetName(), Tags: map[string]string{"a": "b"}, Etag: one.GetEtag()}})
	b.check(err)
	if updated.GetTags()["a"] != "b" || updated.GetEtag() == one.GetEtag() {
		t.Errorf("updated %v", updated)
	}
	b.create(func(v *deployv1.EndpointVersion) {
		v.Models = []string{"ridge:1", "workspaces/default/models/ridge/versions/latest"}
	})
	data, err = b.contents.ReadArtefact(t.Context(), &deployv1.ReadArtefactRequest{Name: endpointName + "/versions/aaa", Path: "score.py"})
	b.check(err)
	if string(data.GetData()) != script {
		t.Errorf("read of the source %v", data)
	}
	_, err = b.contents.ReadArtefact(t.Context(), &deployv1.ReadArtefactRequest{Name: endpointName + "/versions/aaa", Path: "nothere.py"})
	refused(t, err, "FILE_NOT_FOUND", "version aaa of endpoint diabetes")
	_, err = b.models.DeleteModelVersion(t.Context(), &deployv1.DeleteModelVersionRequest{Name: one.GetName()})
	refused(t, err, "MODEL_IN_USE", endpointName+"/versions/aaa")
	o, err := b.endpoints.DeleteEndpoint(t.Context(), &deployv1.DeleteEndpointRequest{Name: endpointName})
	b.check(err)
	b.wait(o)
	_, err = b.models.DeleteModelVersion(t.Context(), &deployv1.DeleteModelVersionRequest{Name: two.GetName()})
	b.check(err)
	latest, err := b.models.GetModelVersion(t.Context(), &deployv1.GetModelVersionRequest{Name: "workspaces/default/models/ridge/versions/latest"})
	b.check(err)
	if latest.GetVersion() != 1 || b.register().GetVersion() != 3 {
		t.Errorf("the newest is %s", latest.GetId())
	}
	want := []string{"model.v1.registered", "model.v1.registered", "model.v1.updated", "model.v1.deleted", "model.v1.registered"}
	if diff := cmp.Diff(want, b.eventLog("workspaces/default/models/ridge")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestAModelIsNeverGoneWhileItIsUsed lets deployments and deletions of a model race.
func TestAModelIsNeverGoneWhileItIsUsed(t *testing.T) {
	b := newBed(t, nil)
	for range 10 {
		m := b.register()
		req := b.createRequest(func(v *deployv1.EndpointVersion) { v.Models = []string{m.GetId()} })
		var group sync.WaitGroup
		var deployed, deleted error
		group.Go(func() { _, deployed = b.endpoints.CreateEndpoint(t.Context(), req) })
		group.Go(func() {
			_, deleted = b.models.DeleteModelVersion(t.Context(), &deployv1.DeleteModelVersionRequest{Name: m.GetName()})
		})
		group.Wait()
		if (deployed == nil) == (deleted == nil) {
			t.Fatalf("deployed: %v, deleted: %v", deployed, deleted)
		}
		if deployed == nil {
			o, err := b.endpoints.DeleteEndpoint(t.Context(), &deployv1.DeleteEndpointRequest{Name: endpointName})
			b.check(err)
			b.wait(o)
		}
	}
}

func TestLogsAndOldFiles(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	b.add("bbb", nil)
	stream, err := b.endpoints.ReadEndpointLogs(t.Context(), &deployv1.ReadEndpointLogsRequest{Name: endpointName})
	b.check(err)
	var lines []string
	for {
		part, err := stream.Recv()
		if err != nil {
			break
		}
		for _, l := range part.GetLines() {
			lines = append(lines, l.GetVersion()+": "+l.GetText())
		}
	}
	if diff := cmp.Diff([]string{"aaa: init of aaa", "bbb: init of bbb"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	for _, follow := range []bool{false, true} {
		stream, err = b.endpoints.ReadEndpointLogs(t.Context(), &deployv1.ReadEndpointLogsRequest{Name: endpointName, Replica: "zzz", Follow: follow})
		b.check(err)
		for err == nil {
			_, err = stream.Recv()
		}
		refused(t, err, "REPLICA_NOT_FOUND", "no replica zzz")
	}
	r, err := b.endpoints.ConvertConfig(t.Context(), &deployv1.ConvertConfigRequest{
		Parent: "workspaces/default", DeploymentConfig: []byte("computeType: AKSENDPOINT\nversionName: aaa\nauthEnabled: false\ncontainerResourceRequirements: {cpu: 1}\nbogus: 1"),
		InferenceConfig: []byte(`{"entryScript": "score.py"}`),
	})
	b.check(err)
	if r.GetVersionId() != "aaa" || r.GetEndpoint().GetAuthMode() != deployv1.Endpoint_AUTH_MODE_NONE || r.GetVersion().GetResources().GetCpu() != 1 ||
		r.GetVersion().GetEntryScript() != "score.py" || len(r.GetViolations()) != 0 || len(r.GetIgnored()) != 1 {
		t.Errorf("converted to %v", r)
	}
}

func TestUploadsByTheService(t *testing.T) {
	b := newBed(t, nil)
	u, err := b.contents.CreateUpload(t.Context(), &deployv1.CreateUploadRequest{Parent: "workspaces/default", Sha256: digest("abc"), SizeBytes: 3})
	b.check(err)
	_, err = b.contents.WriteUpload(t.Context(), &deployv1.WriteUploadRequest{Name: u.GetName(), Offset: 0, Data: []byte("a")})
	b.check(err)
	b.stop()
	b.start()
	u, err = b.contents.GetUpload(t.Context(), &deployv1.GetUploadRequest{Name: u.GetName()})
	b.check(err)
	if u.GetCommittedBytes() != 1 || u.GetExpireTime() == nil {
		t.Errorf("after a restart: %v", u)
	}
	_, err = b.contents.WriteUpload(t.Context(), &deployv1.WriteUploadRequest{Name: u.GetName(), Offset: 2, Data: []byte("c")})
	if e := refused(t, err, "WRONG_OFFSET"); e.Metadata["committed_bytes"] != "1" {
		t.Errorf("it tells %v", e.Metadata)
	}
	_, err = b.contents.WriteUpload(t.Context(), &deployv1.WriteUploadRequest{Name: u.GetName(), Offset: 1, Data: []byte("xx")})
	if e := refused(t, err, "DIGEST_MISMATCH"); e.Kind != apierr.DataLoss {
		t.Errorf("got %+v", e)
	}
}
