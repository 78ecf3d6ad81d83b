package router

import (
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"

	"github.com/fairlead/fairlead/services/router/internal/controltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	endpoint = "workspaces/default/endpoints/diabetes"
	workload = "workspaces/default/computeTargets/local/workloads/diabetes-v1"
	keyOne   = "first-key-of-diabetes"
	keyTwo   = "second-key-of-diabetes"
)

// start runs a router until the test ends or stop is called, which waits.
func start(t *testing.T, plane *controltest.Plane, path string) (s *Service, stop func()) {
	t.Helper()
	config := NewDefaultConfig()
	config.Listen, config.SnapshotPath, config.DrainTimeout = "127.0.0.1:0", path, 10*time.Second
	conn := plane.Conn()
	s, err := New(t.Context(), config, Deps{Logger: slog.New(slog.DiscardHandler), Deploy: conn, Compute: conn, Auth: conn})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ended := false
	go func() { done <- s.Run(ctx) }()
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func awaitReady(t *testing.T, s *Service) {
	t.Helper()
	select {
	case <-s.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the router never became ready")
	}
}

// tell makes the endpoint exist with one replica.
func tell(t *testing.T, plane *controltest.Plane, handler http.HandlerFunc) (address string) {
	replica := httptest.NewServer(handler)
	t.Cleanup(replica.Close)
	address = replica.Listener.Addr().String()
	plane.SetKeys(endpoint, keyOne)
	plane.SetWorkload(&computev1.Workload{
		Name: workload, Spec: &computev1.WorkloadSpec{EnvironmentVariables: map[string]string{"PASSWORD": "open-sesame"}},
		Replicas: []*computev1.Replica{
			{Id: "r1", Address: address, State: computev1.Replica_STATE_READY, MaxConcurrentRequests: 2},
			{Id: "r2", State: computev1.Replica_STATE_STARTING},
		},
	})
	plane.SetRoute(&deployv1.Route{
		Endpoint: endpoint, EndpointUid: "u", DefaultVersion: "v1",
		Versions: []*deployv1.RouteVersion{{Version: "v1", Share: 10_000, Workload: workload, RequestSettings: &deployv1.RequestSettings{
			ScoringTimeout: durationpb.New(10 * time.Second), MaxQueueWait: durationpb.New(time.Second), MaxConcurrentRequestsPerReplica: 2,
		}}},
	})
	return address
}

func score(t *testing.T, s *Service, key string) (status int, body string) {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.Addr().String()+"/api/v1/service/diabetes/score", strings.NewReader("[1]"))
	r.Header.Set("Authorization", "Bearer "+key)
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func awaitStatus(t *testing.T, s *Service, key string, want int) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		status, body := score(t, s, key)
		if status == want {
			return time.Since(begin)
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("status = %d %s, want %d", status, body, want)
		}
	}
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

func TestServesAndFollowsKeys(t *testing.T) {
	plane := controltest.New(t)
	tell(t, plane, hello)
	s, _ := start(t, plane, "")
	awaitReady(t, s)
	if status, body := score(t, s, keyOne); status != 200 || body != "hello" {
		t.Fatalf("answer = %d %s", status, body)
	}
	if status, _ := score(t, s, keyTwo); status != 401 {
		t.Errorf("a key that does not exist yet: %d, want 401", status)
	}
	plane.SetKeys(endpoint, keyTwo)
	if took := awaitStatus(t, s, keyTwo, 200); took > time.Second {
		t.Errorf("a new key was effective after %v", took)
	}
	if status, _ := score(t, s, keyOne); status != 401 {
		t.Errorf("the key before: %d, want 401", status)
	}
	plane.DropRoute(endpoint)
	awaitStatus(t, s, keyTwo, 404)
}

func TestServesWithTheControlPlaneDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "router", "routes")
	plane := controltest.New(t)
	tell(t, plane, hello)
	s, stop := start(t, plane, path)
	awaitReady(t, s)
	plane.Stop()
	if status, body := score(t, s, keyOne); status != 200 {
		t.Fatalf("with the control plane down: %d %s", status, body)
	}
	stop()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"open-sesame", keyOne} {
		if strings.Contains(string(content), secret) {
			t.Errorf("%s is in the snapshot", secret)
		}
	}

	s, stop = start(t, plane, path)
	awaitReady(t, s)
	if status, body := score(t, s, keyOne); status != 200 || body != "hello" {
		t.Errorf("after a restart: %d %s", status, body)
	}
	if status, _ := score(t, s, keyTwo); status != 401 {
		t.Errorf("a wrong key after a restart: %d, want 401", status)
	}
	// The control plane comes back and knows more.
	plane.SetKeys(endpoint, keyTwo)
	plane.Start()
	awaitStatus(t, s, keyTwo, 200)
	stop()

	if err := os.WriteFile(path, content[:len(content)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, plane, path)
	awaitReady(t, s)
	awaitStatus(t, s, keyTwo, 200)
}

func TestNotReadyWithoutAnything(t *testing.T) {
	plane := controltest.New(t)
	plane.Stop()
	s, stop := start(t, plane, "")
	if status, body := score(t, s, keyOne); status != 503 || !strings.Contains(body, "starting") {
		t.Errorf("answer = %d %s, want 503", status, body)
	}
	select {
	case <-s.Ready():
		t.Error("ready without routes")
	default:
	}
	stop()
}

func TestFinishesRequestsBeforeItStops(t *testing.T) {
	plane := controltest.New(t)
	arrived, finish := make(chan struct{}), make(chan struct{})
	tell(t, plane, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-finish
		io.WriteString(w, "finished")
	})
	s, stop := start(t, plane, "")
	awaitReady(t, s)
	done := make(chan string, 1)
	go func() {
		_, body := score(t, s, keyOne)
		done <- body
	}()
	<-arrived
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		t.Fatal("stopped while a request was running")
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	if body := <-done; body != "finished" {
		t.Errorf("answer = %q", body)
	}
	<-stopped
}

func TestRouteTable(t *testing.T) {
	plane := controltest.New(t)
	address := tell(t, plane, hello)
	s, _ := start(t, plane, "")
	awaitReady(t, s)
	r := &registrar{}
	s.Register(r)
	got, err := r.server.GetRouteTable(t.Context(), &routerv1.GetRouteTableRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetUpdateTime() == nil {
		t.Error("no update time")
	}
	got.UpdateTime = nil
	want := &routerv1.RouteTable{Fresh: true, Entries: []*routerv1.RouteEntry{{
		Endpoint: endpoint, Keys: 1, Versions: []*routerv1.RouteEntryVersion{{
			Version: "v1", Percent: 100,
			Replicas: []*routerv1.RouteReplica{{Replica: "r1", Address: address, MaxConcurrentRequests: 2}},
		}},
	}}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// registrar takes the service that is registered.
type registrar struct{ server routerv1.RouterServiceServer }

func (r *registrar) RegisterService(_ *grpc.ServiceDesc, impl any) {
	r.server = impl.(routerv1.RouterServiceServer)
}

func TestConfig(t *testing.T) {
	if err := NewDefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	err := Config{Listen: "nowhere", DrainTimeout: -1}.Validate()
	for _, want := range []string{"listen", "max body bytes", "drain timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestServesTokensWithTheControlPlaneDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "router", "routes")
	plane := controltest.New(t)
	tell(t, plane, hello)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	token := func(generation int) string {
		made := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"aud": endpoint, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "endpoint_uid": "u", "generation": generation,
		})
		made.Header["kid"] = "k1"
		text, err := made.SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	plane.SetTokenKey("k1", public)
	plane.SetRoute(&deployv1.Route{
		Endpoint: endpoint, EndpointUid: "u", DefaultVersion: "v1", AuthMode: deployv1.Endpoint_AUTH_MODE_TOKEN,
		Versions: []*deployv1.RouteVersion{{Version: "v1", Share: 10_000, Workload: workload}},
	})
	s, stop := start(t, plane, path)
	awaitReady(t, s)
	awaitStatus(t, s, token(0), 200)
	if status, _ := score(t, s, keyOne); status != 401 {
		t.Errorf("a key for an endpoint in token mode: %d, want 401", status)
	}
	plane.RevokeTokens(endpoint, "u", 1)
	if took := awaitStatus(t, s, token(0), 401); took > time.Second {
		t.Errorf("the revocation was effective after %v", took)
	}
	plane.Stop()
	stop()

	s, _ = start(t, plane, path)
	awaitReady(t, s)
	if status, body := score(t, s, token(1)); status != 200 {
		t.Errorf("a token after a restart with the control plane down: %d %s", status, body)
	}
	if status, body := score(t, s, token(0)); status != 401 || !strings.Contains(body, "revoked") {
		t.Errorf("a revoked token after a restart: %d %s, want 401", status, body)
	}
}
