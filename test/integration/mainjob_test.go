package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// TestMainJob goes through the main job with the old product's arithmetic of
// traffic, while clients that may not see a failure score all the time.
func TestMainJob(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		config := inferenceConfig(t, script)
		i.Run("model", "deploy", "-n", "shop", "-m", modelID, "--ic", config, "--ct", "local",
			"--dc", deploymentConfig(t, map[string]any{
				"computeType": "AKSENDPOINT", "versionName": "versiona", "trafficPercentile": 20,
				"maxQueueWaitMs": 10_000,
			}))
		keys := keysOf(t, i, "shop")
		for _, key := range []string{keys.GetPrimaryKey(), keys.GetSecondaryKey()} {
			if v := mustScore(t, i, "shop", key, nil).Version(); v != "versiona" {
				t.Errorf("version %q answered, want versiona", v)
			}
		}
		if out := i.Run("endpoint", "run", "-n", "shop", "-d", `{"n": 7}`); !strings.Contains(out, `"n": 7`) {
			t.Errorf("endpoint run prints %q", out)
		}
		clients := startTraffic(t, i, "shop", keys.GetPrimaryKey())
		wantShares(t, clients, map[string]int{"versiona": 1000})

		i.Run("endpoint", "create-version", "-n", "shop", "--vn", "versionb", "-m", modelID, "--ic", config, "--tp", "10")
		wantShares(t, clients, map[string]int{"versiona": 900, "versionb": 100})
		for _, version := range []string{"versiona", "versionb"} {
			chosen := http.Header{"Azureml-Model-Deployment": {version}}
			if v := mustScore(t, i, "shop", keys.GetPrimaryKey(), chosen).Version(); v != version {
				t.Errorf("version %q answered, %s was asked", v, version)
			}
		}
		clients.awaitMore(t, 50)

		i.Run("endpoint", "update-version", "-n", "shop", "--vn", "versionb", "--tp", "40", "--is-default", "--cvt")
		wantShares(t, clients, map[string]int{"versiona": 200, "versionb": 800})
		wantTraffic(t, i, "versionb", "versionb", map[string]float64{"versiona": 20, "versionb": 80})

		i.Run("endpoint", "delete-version", "-n", "shop", "--vn", "versionb")
		wantShares(t, clients, map[string]int{"versiona": 1000})
		wantTraffic(t, i, "versiona", "", map[string]float64{"versiona": 100})
		clients.awaitMore(t, 50)
		clients.end(t)

		i.Run("endpoint", "delete", "-n", "shop")
		answer, err := i.Score(testContext(t), "shop", keys.GetPrimaryKey(), nil, nil)
		if err != nil || answer.Status != http.StatusNotFound {
			t.Errorf("a deleted endpoint answers %v, %v; want 404", answer, err)
		}
	})
}

// wantShares measures 1,000 requests: each share is within half a percent of want.
func wantShares(t *testing.T, clients *traffic, want map[string]int) {
	t.Helper()
	got := clients.measure(1000)
	clients.mustNotHaveFailed(t)
	for version := range got {
		if _, ok := want[version]; !ok {
			t.Errorf("%d requests went to %q, which should get none", got[version], version)
		}
	}
	for version, n := range want {
		if d := got[version] - n; d < -5 || d > 5 {
			t.Errorf("%s got %d of 1,000 requests, want %d ± 5", version, got[version], n)
		}
	}
}

// wantTraffic checks what endpoint show says.
func wantTraffic(t *testing.T, i *harness.Installation, defaultVersion, control string, shares map[string]float64) {
	t.Helper()
	e := showEndpoint(t, i, "shop")
	want := &deployv1.Endpoint{
		Name: endpointName("shop"), State: deployv1.State_STATE_HEALTHY, AuthMode: deployv1.Endpoint_AUTH_MODE_KEY,
		DefaultVersion: defaultVersion, ControlVersion: control,
		ComputeTarget: workspace + "/computeTargets/local",
		ScoringPath:   "/api/v1/service/shop/score", ScoringUri: i.ScoreURL("shop"),
	}
	got := &deployv1.Endpoint{
		Name: e.GetName(), State: e.GetState(), AuthMode: e.GetAuthMode(),
		DefaultVersion: e.GetDefaultVersion(), ControlVersion: e.GetControlVersion(),
		ComputeTarget: e.GetComputeTarget(), ScoringPath: e.GetScoringPath(), ScoringUri: e.GetScoringUri(),
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("endpoint show (-want +got):\n%s", diff)
	}
	traffic, versions := map[string]float64{}, map[string]float64{}
	for _, share := range e.GetTraffic() {
		traffic[share.GetVersion()] = share.GetPercent()
	}
	for _, v := range e.GetVersions() {
		versions[v.GetName()] = v.GetTrafficShare()
		if v.GetState() != deployv1.State_STATE_HEALTHY || v.GetReadyReplicas() != 1 {
			t.Errorf("%s is %v with %d ready replicas, want a healthy one with 1", v.GetName(), v.GetState(), v.GetReadyReplicas())
		}
	}
	if diff := cmp.Diff(shares, traffic); diff != "" {
		t.Errorf("traffic (-want +got):\n%s", diff)
	}
	named := map[string]float64{}
	for version, share := range shares {
		named[versionName("shop", version)] = share
	}
	if diff := cmp.Diff(named, versions); diff != "" {
		t.Errorf("the versions' shares (-want +got):\n%s", diff)
	}
}
