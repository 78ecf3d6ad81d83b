package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/test/harness"
)

const (
	// roundsVariable says how often the process is killed; a release is tested with 20.
	roundsVariable = "FAIRLEAD_CRASH_ROUNDS"
	// seedVariable repeats a run: the same moments and the same changes, as far as
	// the machine lets them be the same.
	seedVariable = "FAIRLEAD_CRASH_SEED"
)

// TestCrash kills the whole installation at random moments while clients change
// everything. What was acknowledged is there afterwards, and its events are too.
func TestCrash(t *testing.T) {
	rounds, seed := number(t, roundsVariable, 5), number(t, seedVariable, time.Now().UnixNano())
	t.Logf("to repeat: %s=%d %s=%d go test ./integration -run TestCrash", roundsVariable, rounds, seedVariable, seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0)) //nolint:gosec // to be repeated

	i := harness.Start(t, harness.AllInOne)
	registerModel(t, i)
	load := newLoad(t, i, seed)
	keys := map[string]string{}
	for _, endpoint := range []string{"shop-a", "shop-b"} {
		keys[endpoint] = deploy(t, i, endpoint, script, nil)
	}
	for round := range rounds {
		pause := 20*time.Millisecond + time.Duration(random.Int64N(int64(700*time.Millisecond)))
		load.run(t, pause, func() { i.Kill("up", syscall.SIGKILL) })
		harness.Eventually(t, 10*time.Second, "no process is left", func() error {
			left, err := i.Processes()
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("round %d: %v", round, left)
			}
			return err
		})
		i.Restart("up")
		for endpoint, key := range keys {
			eventuallyScores(t, i, endpoint, key)
		}
		if t.Failed() {
			return
		}
	}
	awaitHealthy(t, i, "shop-a")
	awaitHealthy(t, i, "shop-b")
	if n := len(i.Replicas()); n < len(keys) {
		t.Errorf("%d replicas run, want one for each endpoint", n)
	}
	for endpoint, key := range keys {
		if got := keysOf(t, i, endpoint).GetPrimaryKey(); got != key {
			t.Errorf("the key of %s changed", endpoint)
		}
		answer, err := i.Score(testContext(t), endpoint, "wrong-wrong-wrong-wrong", nil, nil)
		if err != nil || answer.Status != http.StatusUnauthorized {
			t.Errorf("a wrong key of %s is answered with %v, %v", endpoint, answer, err)
		}
	}
	load.check(t)
}

func number(t *testing.T, variable string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// load is clients that create and change things, and remember what was acknowledged.
type load struct {
	i    *harness.Installation
	seed int64

	mu       sync.Mutex
	n        int               // makes names unique
	models   map[string]string // acknowledged name by content
	rooms    []string          // acknowledged workspaces
	targets  []string          // acknowledged compute targets
	marks    map[string]int    // the last mark that was acknowledged, by endpoint
	marked   map[string]int    // how many were
	tried    map[string]int    // the last mark that was tried
	versions []string          // acknowledged versions of endpoints, created and deleted
	acks     int
}

func newLoad(t *testing.T, i *harness.Installation, seed int64) *load {
	t.Helper()
	return &load{i: i, seed: seed, models: map[string]string{}, marks: map[string]int{}, marked: map[string]int{}, tried: map[string]int{}}
}

// run lets clients work, and ends them after a kill in the middle.
func (l *load) run(t *testing.T, pause time.Duration, kill func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a := apiOf(l.i)
	before := l.acknowledged()
	var done sync.WaitGroup
	for _, work := range []func(context.Context, api) error{
		l.registerModel, l.createWorkspace, l.createTarget,
		func(ctx context.Context, a api) error { return l.markEndpoint(ctx, a, "shop-a") },
		func(ctx context.Context, a api) error { return l.markEndpoint(ctx, a, "shop-b") },
		l.addVersion,
	} {
		done.Go(func() {
			for work(ctx, a) == nil {
			}
		})
	}
	harness.Eventually(t, 20*time.Second, "the load has begun", func() error {
		if l.acknowledged() == before {
			return fmt.Errorf("nothing is acknowledged yet")
		}
		return nil
	})
	timer := time.NewTimer(pause)
	defer timer.Stop()
	<-timer.C
	kill()
	cancel()
	done.Wait()
}

func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// name makes a name that was not there.
func (l *load) name(prefix string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	return fmt.Sprintf("%s-%d", prefix, l.n)
}

// note remembers what was acknowledged.
func (l *load) note(remember func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks++
	remember()
}

func (l *load) registerModel(ctx context.Context, a api) error {
	name := l.name("model")
	m, err := a.register(ctx, name, "content of "+name)
	if err == nil {
		l.note(func() { l.models[m.GetName()] = digest([]byte("content of " + name)) })
	}
	return err
}

func (l *load) createWorkspace(ctx context.Context, a api) error {
	name := l.name("room")
	w, err := a.workspaces.CreateWorkspace(ctx, &authv1.CreateWorkspaceRequest{WorkspaceId: name})
	if err == nil {
		l.note(func() { l.rooms = append(l.rooms, w.GetName()) })
	}
	return err
}

func (l *load) createTarget(ctx context.Context, a api) error {
	name := l.name("target")
	o, err := a.targets.CreateComputeTarget(ctx, &computev1.CreateComputeTargetRequest{
		Parent: workspace, ComputeTargetId: name,
		ComputeTarget: &computev1.ComputeTarget{NodeCount: 1, Purpose: computev1.ComputeTarget_PURPOSE_DEV_TEST},
	})
	if err == nil {
		l.note(func() { l.targets = append(l.targets, workspace+"/computeTargets/"+name) })
	}
	return a.finish(ctx, o, err)
}

// markEndpoint counts a tag of an endpoint up.
func (l *load) markEndpoint(ctx context.Context, a api, endpoint string) error {
	l.mu.Lock()
	l.tried[endpoint]++
	mark := l.tried[endpoint]
	l.mu.Unlock()
	_, err := a.endpoints.UpdateEndpoint(ctx, &deployv1.UpdateEndpointRequest{
		Endpoint: &deployv1.Endpoint{Name: endpointName(endpoint), Tags: map[string]string{"mark": strconv.Itoa(mark)}},
	})
	if err == nil {
		l.note(func() { l.marks[endpoint], l.marked[endpoint] = mark, l.marked[endpoint]+1 })
	}
	return err
}

// addVersion adds a version of shop-b, waits for it, and deletes it.
func (l *load) addVersion(ctx context.Context, a api) error {
	v, err := a.version(ctx, script)
	if err != nil {
		return err
	}
	name := l.name("v")
	o, err := a.endpoints.CreateEndpointVersion(ctx, &deployv1.CreateEndpointVersionRequest{
		Parent: endpointName("shop-b"), VersionId: name, Version: v,
	})
	if err != nil {
		if status.Code(err) == codes.FailedPrecondition { // it has six: make room
			return l.removeVersion(ctx, a)
		}
		return err
	}
	l.note(func() { l.versions = append(l.versions, versionName("shop-b", name)) })
	return a.finish(ctx, o, nil)
}

// removeVersion deletes the oldest version that a client has added.
func (l *load) removeVersion(ctx context.Context, a api) error {
	list, err := a.endpoints.ListEndpointVersions(ctx, &deployv1.ListEndpointVersionsRequest{Parent: endpointName("shop-b")})
	if err != nil {
		return err
	}
	for _, v := range list.GetVersions() {
		if !v.GetIsDefault() {
			o, err := a.endpoints.DeleteEndpointVersion(ctx, &deployv1.DeleteEndpointVersionRequest{Name: v.GetName()})
			return a.finish(ctx, o, err)
		}
	}
	return nil
}

// check looks for everything that was acknowledged, and reads all events.
func (l *load) check(t *testing.T) {
	t.Helper()
	ctx := testContext(t)
	a := apiOf(l.i)
	for name, content := range l.models {
		m := must(a.models.GetModelVersion(ctx, &deployv1.GetModelVersionRequest{Name: name}))(t)
		if len(m.GetFiles()) != 1 || m.GetFiles()[0].GetSha256() != content {
			t.Errorf("the model %s has other files: %v", name, m.GetFiles())
		}
		read := must(a.artefacts.ReadArtefact(ctx, &deployv1.ReadArtefactRequest{Name: name, Path: m.GetFiles()[0].GetPath()}))(t)
		if digest(read.GetData()) != content {
			t.Errorf("the content of %s is lost", name)
		}
	}
	for _, name := range l.rooms {
		must(a.workspaces.GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: name}))(t)
	}
	for _, name := range l.targets {
		must(a.targets.GetComputeTarget(ctx, &computev1.GetComputeTargetRequest{Name: name}))(t)
	}
	for endpoint, mark := range l.marks {
		e := must(a.endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: endpointName(endpoint)}))(t)
		if got, err := strconv.Atoi(e.GetTags()["mark"]); err != nil || got < mark || got > l.tried[endpoint] {
			t.Errorf("%s has the mark %q, want %d, which was acknowledged, to %d", endpoint, e.GetTags()["mark"], mark, l.tried[endpoint])
		}
	}
	all := watchEvents(t, l.i, &eventsv1.WatchEventsRequest{Parent: "workspaces/-", FromStart: true})
	wantContiguous(t, all)
	l.checkEvents(t, all)
	t.Logf("%d changes were acknowledged; there are %d events", l.acknowledged(), len(all))
}

// checkEvents wants one event for every creation that was acknowledged, and one
// for every mark, also for those that were set without an acknowledgement.
func (l *load) checkEvents(t *testing.T, all []event) {
	t.Helper()
	created, updated := map[string]int{}, map[string]int{}
	for _, e := range all {
		switch e.Type {
		case "fairlead.deploy.model.v1.registered", "fairlead.compute.computetarget.v1.created",
			"fairlead.deploy.version.v1.created", "fairlead.auth.workspace.v1.created":
			created[e.Subject]++
		case "fairlead.deploy.endpoint.v1.updated":
			updated[e.Subject]++
		}
	}
	want, got := map[string]int{}, map[string]int{}
	for name := range l.models {
		want[name], got[name] = 1, created[name]
	}
	for _, name := range slices.Concat(l.rooms, l.targets, l.versions) {
		want[name], got[name] = 1, created[name]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events of creations (-want +got):\n%s", diff)
	}
	for endpoint, marked := range l.marked {
		if n := updated[endpointName(endpoint)]; n < marked || n > l.tried[endpoint] {
			t.Errorf("%s has %d events of updates; %d were acknowledged, %d tried", endpoint, n, marked, l.tried[endpoint])
		}
	}
}
