package legacyconfig_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/legacyconfig"
)

// acceptance finds the folder of real files.
func acceptance(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("FAIRLEAD_ACCEPTANCE"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if found := filepath.Join(dir, "shared", "acceptance"); exists(found) {
			return found
		}
	}
	t.Skip("the folder of real configuration files is not there; set FAIRLEAD_ACCEPTANCE")
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestRealFilesAreRead(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(acceptance(t), "configs", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r legacyconfig.Result
			if name := filepath.Base(file); strings.Contains(name, "inference") {
				r = legacyconfig.Read(nil, text)
			} else {
				r = legacyconfig.Read(text, nil)
			}
			if len(r.Violations) > 0 {
				t.Errorf("violations: %+v", r.Violations)
			}
			t.Logf("%+v", r)
		})
	}
}

const everything = `{
  "ComputeType": "aksEndpoint", "computeTargetName": "cluster",
  "authEnabled": "False", "gpuCores": 1, "appInsightsEnabled": true, "dataCollection": {"storageEnabled": true},
  "containerResourceRequirements": {"cpu": "0.5", "memoryInGB": 1, "cpuLimit": 2, "memoryInGBLimit": 1.5},
  "scoringTimeoutMs": 5000, "maxConcurrentRequestsPerContainer": 4, "maxQueueWaitMs": 250, "numReplicas": 3,
  "keys": {"primaryKey": "0123456789abcdef", "secondaryKey": "fedcba9876543210"},
  "livenessProbeRequirements": {"periodSeconds": 5, "initialDelaySeconds": 30, "timeoutSeconds": 3, "successThreshold": 2, "failureThreshold": 4},
  "namespace": "prod", "versionName": "versiona", "trafficPercentile": 20.5, "madeUp": 1
}`

func TestEveryField(t *testing.T) {
	inference := "entryScript: .\\src\\score.py\nsourceDirectory: ./code\nruntime: python\nenvironment:\n  name: e\n  environmentVariables: {A: 1, B: 'x y', C: }\n"
	d := func(v time.Duration) *time.Duration { return &v }
	want := legacyconfig.Result{
		Auth: endpoint.AuthNone, VersionID: "versiona", ComputeTarget: "cluster", SourceDirectory: "./code",
		PrimaryKey: "0123456789abcdef", SecondaryKey: "fedcba9876543210",
		Version: endpoint.VersionInput{Percentile: 20.5, Spec: endpoint.SpecInput{
			EntryScript: "src/score.py", Environment: map[string]string{"A": "1", "B": "x y"},
			CPU: 0.5, CPULimit: 2, MemoryGB: 1, MemoryLimitGB: 1.5, GPUs: 1, Replicas: 3,
			ScoringTimeout: d(5 * time.Second), MaxQueueWait: d(250 * time.Millisecond), MaxConcurrent: 4,
			ProbePeriod: d(5 * time.Second), ProbeDelay: d(30 * time.Second), ProbeTimeout: d(3 * time.Second), SuccessThreshold: 2, FailureThreshold: 4,
		}},
	}
	got := legacyconfig.Read([]byte(everything), []byte(inference))
	ignored := names(got.Ignored)
	got.Ignored = nil
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	wantIgnored := []string{"appInsightsEnabled", "dataCollection.storageEnabled", "environment.name", "madeUp", "namespace", "runtime"}
	if diff := gocmp.Diff(wantIgnored, ignored); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
}

func names(findings []legacyconfig.Finding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, f.Field)
	}
	slices.Sort(all)
	return all
}

func TestViolations(t *testing.T) {
	tests := []struct {
		name                  string
		deployment, inference string
		want                  []legacyconfig.Finding
	}{
		{"both empty", "", "", nil},
		{"no compute type", "{\"numReplicas\": 1}", "", []legacyconfig.Finding{{"computeType", "must be given (aks, aksendpoint, aci or local): need to specify computeType in the deployment configuration"}}},
		{"another compute type", "computeType: Batch", "", []legacyconfig.Finding{{"computeType", "unknown deployment type: Batch; aks, aksendpoint, aci and local are known"}}},
		{"not an object", "- a", "entryScript", []legacyconfig.Finding{
			{"deployment_config", "must be an object of keys and values"}, {"inference_config", "must be an object of keys and values"}}},
		{"both kinds of authentication", "computeType: aks\nauthEnabled: true\ntokenAuthEnabled: true", "",
			[]legacyconfig.Finding{{"tokenAuthEnabled", "authEnabled and tokenAuthEnabled cannot both be true"}}},
		{"tokens", "computeType: aks\ntokenAuthEnabled: true", "",
			[]legacyconfig.Finding{{"tokenAuthEnabled", "token authentication is not available yet; leave it out and use keys (authEnabled)"}}},
		{"autoscale and a fixed number", "computeType: aks\nnumReplicas: 2\nautoScaler: {autoscaleEnabled: true}", "",
			[]legacyconfig.Finding{{"numReplicas", "cannot be given when autoScaler.autoscaleEnabled is true"}}},
		{"neither", "computeType: aks\nautoScaler: {autoscaleEnabled: false}", "",
			[]legacyconfig.Finding{{"numReplicas", "must be given when autoScaler.autoscaleEnabled is false: autoscale disabled but numReplicas not provided"}}},
		{"everything at once", `
computeType: aks
containerResourceRequirements: {cpu: 0, memoryInGB: x, cpuLimit: 0.05, memoryInGBLimit: 0.1}
gpuCores: 1.5
scoringTimeoutMs: 300001
maxConcurrentRequestsPerContainer: -1
maxQueueWaitMs: 0
autoScaler: {minReplicas: 4, maxReplicas: 3, refreshPeriodInSeconds: 0, targetUtilization: 0}
keys: {primaryKey: short}
livenessProbeRequirements: {periodSeconds: 0, timeoutSeconds: [1]}
namespace: No
versionName: A
trafficPercentile: 101
authEnabled: maybe
AuthEnabled: true
`, "entryScript: score.ipynb\nenvironment: {environmentVariables: {'A B': 1}}", []legacyconfig.Finding{
			{"AuthEnabled", "is given more than once"},
			{"authEnabled", `must be true or false, not "maybe"`},
			{"autoScaler.minReplicas", "must be less than or equal to maxReplicas (3), not 4"},
			{"autoScaler.refreshPeriodInSeconds", "must be greater than 0"},
			{"autoScaler.targetUtilization", "must be greater than 0"},
			{"containerResourceRequirements.cpu", "must be greater than 0"},
			{"containerResourceRequirements.cpuLimit", "must be greater than or equal to cpu (0.1)"},
			{"containerResourceRequirements.memoryInGB", `must be a number, not "x"`},
			{"containerResourceRequirements.memoryInGBLimit", "must be greater than or equal to memoryInGB (0.5)"},
			{"entryScript", "must end in .py"},
			{"environment.environmentVariables.A B", "is no name of an environment variable"},
			{"gpuCores", "must be a whole number, not 1.5"},
			{"keys.primaryKey", "must be 16 to 256 visible ASCII characters without spaces"},
			{"livenessProbeRequirements.periodSeconds", "must be greater than 0"},
			{"livenessProbeRequirements.timeoutSeconds", "must be a single value"},
			{"maxConcurrentRequestsPerContainer", "must be greater than 0"},
			{"maxQueueWaitMs", "must be greater than 0"},
			{"namespace", "must hold only lower-case letters, digits and dashes, begin and end with a letter or digit, and be at most 63 characters long"},
			{"scoringTimeoutMs", "must not be greater than 300000"},
			{"trafficPercentile", "cannot be negative or greater than 100"},
			{"versionName", `must start with a lower-case letter, hold only lower-case letters, digits and dashes, end with a letter or digit, and be 3 to 32 characters long, not "A"`},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := legacyconfig.Read([]byte(tt.deployment), []byte(tt.inference)).Violations
			slices.SortFunc(got, func(a, b legacyconfig.Finding) int { return cmp.Compare(a.Field, b.Field) })
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzRead checks that the reader survives everything, and that what it accepts
// keeps the rules of a version.
func FuzzRead(f *testing.F) {
	f.Add([]byte(everything), []byte(`{"entryScript": "score.py"}`))
	f.Add([]byte("computeType: aks\nnumReplicas: 2"), []byte("entryScript: a.py\nenvironment: &a {x: *a}"))
	f.Add([]byte("\xef\xbb\xbf{}"), []byte("<<: [1]"))
	f.Fuzz(func(t *testing.T, deployment, inference []byte) {
		r := legacyconfig.Read(deployment, inference)
		spec := r.Version.Spec
		spec.SourceFiles = []bundle.File{{Path: spec.EntryScript}}
		var v apierr.Violations
		spec.Spec("version", &v)
		for _, bad := range v {
			// The script's own path is checked when it is uploaded.
			if bad.Field != "version.entry_script" && bad.Field != "version.source_files" {
				t.Errorf("accepted, but %s %s", bad.Field, bad.Description)
			}
		}
	})
}
