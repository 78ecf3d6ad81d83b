package legacyconfig_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/legacyconfig"
)

func read(deployment, inference string) legacyconfig.Result {
	return legacyconfig.Read(legacyconfig.Input{Deployment: []byte(deployment), Inference: []byte(inference)})
}

const everything = `{
  "ComputeType": "aksEndpoint", "computeTargetName": "cluster",
  "authEnabled": "False", "gpuCores": 1, "appInsightsEnabled": true, "dataCollection": {"storageEnabled": true},
  "containerResourceRequirements": {"cpu": "0.5", "memoryInGB": 1, "cpuLimit": 2, "memoryInGBLimit": 1.5},
  "tokenAuthEnabled": false, "scoringTimeoutMs": 5000, "maxConcurrentRequestsPerContainer": 4, "maxQueueWaitMs": 250, "numReplicas": 3,
  "keys": {"primaryKey": "0123456789abcdef", "secondaryKey": "fedcba9876543210"},
  "livenessProbeRequirements": {"periodSeconds": 5, "initialDelaySeconds": 30, "timeoutSeconds": 3, "successThreshold": 2, "failureThreshold": 4},
  "namespace": "prod", "versionName": "versiona", "trafficPercentile": 20.5, "madeUp": 1
}`

func TestEveryField(t *testing.T) {
	inference := "entryScript: .\\src\\score.py\nsourceDirectory: ./code\nruntime: python\nenvironment:\n  name: e\n  environmentVariables: {A: 1, B: 'x y', C: }\n"
	d := func(v time.Duration) *time.Duration { return &v }
	telemetry := true
	want := legacyconfig.Result{
		Auth: endpoint.AuthNone, Telemetry: &telemetry, VersionID: "versiona", ComputeTarget: "cluster", SourceDirectory: "./code",
		PrimaryKey: "0123456789abcdef", SecondaryKey: "fedcba9876543210",
		Version: endpoint.VersionInput{Percentile: 20.5, Spec: endpoint.SpecInput{
			EntryScript: "src/score.py", Environment: map[string]string{"A": "1", "B": "x y"},
			CPU: 0.5, CPULimit: 2, MemoryGB: 1, MemoryLimitGB: 1.5, GPUs: 1, Replicas: 3, CollectModelData: true, Namespace: "prod",
			ScoringTimeout: d(5 * time.Second), MaxQueueWait: d(250 * time.Millisecond), MaxConcurrent: 4,
			ProbePeriod: d(5 * time.Second), ProbeDelay: d(30 * time.Second), ProbeTimeout: d(3 * time.Second), SuccessThreshold: 2, FailureThreshold: 4,
		}},
	}
	got := read(everything, inference)
	ignored := names(got.Ignored)
	got.Ignored = nil
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	wantIgnored := []string{"environment.name", "madeUp"}
	if diff := gocmp.Diff(wantIgnored, ignored); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
}

func TestReplicas(t *testing.T) {
	n := func(v int) *int { return &v }
	second := 2 * time.Second
	tests := []struct {
		name, config string
		replicas     int
		scaling      *endpoint.AutoscaleInput
		ignored      []string
	}{
		{"a cluster scales when nothing is said", "computeType: aks", 0, &endpoint.AutoscaleInput{}, nil},
		{"an endpoint on a cluster too", "computeType: AksEndpoint", 0, &endpoint.AutoscaleInput{}, nil},
		{"a container instance does not", "computeType: aci", 0, nil, []string{"computeType"}},
		{"this machine does not", "computeType: local\nport: 32267", 0, nil, []string{"computeType", "port"}},
		{"this machine when told to", "computeType: local\nautoScaler: {autoscaleEnabled: yes}", 0, &endpoint.AutoscaleInput{}, []string{"computeType"}},
		{"a fixed number", "computeType: aks\nnumReplicas: '2'", 2, nil, nil},
		{"a fixed number beats what is not switched on", "computeType: aks\nnumReplicas: 2\nautoScaler: {maxReplicas: 3}", 2, nil, []string{"autoScaler.maxReplicas"}},
		{"all of it", "computeType: aks\nautoScaler: {autoscaleEnabled: 'True', minReplicas: 0, maxReplicas: 3, refreshPeriodInSeconds: 2, targetUtilization: 50}", 0,
			&endpoint.AutoscaleInput{Min: n(0), Max: 3, Target: 50, RefreshPeriod: &second}, nil},
		{"without its switch", "computeType: aks\nautoScaler: {minReplicas: 2}", 0, &endpoint.AutoscaleInput{Min: n(2)}, nil},
		{"all keys, none given", "computeType: aks\nnumReplicas:\nautoScaler: {autoscaleEnabled: , minReplicas: , maxReplicas: }", 0, &endpoint.AutoscaleInput{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := read(tt.config, "")
			if len(r.Violations) > 0 {
				t.Errorf("violations: %+v", r.Violations)
			}
			if diff := gocmp.Diff(tt.scaling, r.Version.Spec.Autoscale); diff != "" || r.Version.Spec.Replicas != tt.replicas {
				t.Errorf("%d replicas, scaling (-want +got):\n%s", r.Version.Spec.Replicas, diff)
			}
			if diff := gocmp.Diff(tt.ignored, names(r.Ignored)); diff != "" {
				t.Errorf("ignored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAuthentication(t *testing.T) {
	for config, want := range map[string]endpoint.AuthMode{
		"":                       "",
		"authEnabled: true":      endpoint.AuthKey,
		"authEnabled: 'FALSE'":   endpoint.AuthNone,
		"tokenAuthEnabled: true": endpoint.AuthToken,
		"authEnabled: false\ntokenAuthEnabled: true": endpoint.AuthToken,
		"authEnabled: true\ntokenAuthEnabled: false": endpoint.AuthKey,
		"tokenAuthEnabled: false":                    "",
	} {
		if r := read("computeType: aks\n"+config, ""); r.Auth != want || len(r.Violations) > 0 {
			t.Errorf("%q is %q, want %q (%v)", config, r.Auth, want, r.Violations)
		}
	}
}

func TestMergeKeysAreHonoured(t *testing.T) {
	r := read("x: &b {scoringTimeoutMs: 5000, gpuCores: 1}\ny: &c {gpuCores: 2, namespace: prod}\ncomputeType: aks\n<<: [*b, *c]\nScoringTimeoutMs: 7000", "")
	spec := r.Version.Spec
	if *spec.ScoringTimeout != 7*time.Second || spec.GPUs != 1 || spec.Namespace != "prod" || len(r.Violations) > 0 {
		t.Errorf("timeout %s, %d GPUs, namespace %q; violations %v", spec.ScoringTimeout, spec.GPUs, spec.Namespace, r.Violations)
	}
}

func TestEnvironments(t *testing.T) {
	full := `{"entryScript": "score.py", "environment": {"name": "mine", "version": "3", "inferencingStackVersion": "Latest",
		"environmentVariables": {"A": "1"}, "spark": {"packages": []}, "databricks": null,
		"docker": {"baseImage": "img:1", "baseImageRegistry": {"address": "r.example", "username": "u", "password": "p"}, "enabled": true, "sharedVolumes": true, "shmSize": "2g", "arguments": ["--x"]},
		"python": {"interpreterPath": "/opt/python", "userManagedDependencies": "true", "baseCondaEnvironment": "base", "condaDependenciesFile": "env.yml",
			"condaDependencies": {"name": "project", "channels": ["conda-forge"], "dependencies": ["python=3.11", {"pip": ["a", "b>=1"]}]}}}}`
	files := map[string][]byte{"env.yml": []byte("dependencies: []"), "steps": []byte("RUN x"), "absent.yml": nil}
	tests := []struct {
		name, config string
		want         *legacyconfig.Environment
		ref          string
		ignored      []string
		missing      []string
	}{
		{"everything", full, &legacyconfig.Environment{
			Name: "mine", Channels: []string{"conda-forge"}, Conda: []string{"python=3.11"}, Pip: []string{"a", "b>=1"}, CondaFile: "dependencies: []",
			InterpreterPath: "/opt/python", UserManaged: true, BaseImage: "img:1", RegistryAddress: "r.example", RegistryUser: "u",
			ShmSize: "2g", Arguments: []string{"--x"}, StackVersion: "latest",
		}, "", []string{"environment.docker.baseImageRegistry.password", "environment.docker.enabled", "environment.docker.sharedVolumes", "environment.python.baseCondaEnvironment", "environment.spark", "environment.version"}, nil},
		{"the older form", "entryScript: a.py\nruntime: spark-py\ncondaFile: env.yml\nbaseImage: img\nextraDockerfileSteps: steps\nenableGpu: 'True'\ncudaVersion: 10.0\nschemaFile: s.json",
			&legacyconfig.Environment{CondaFile: "dependencies: []", BaseDockerfile: "FROM img\nRUN x"}, "", []string{"cudaVersion", "enableGpu", "runtime", "schemaFile"}, nil},
		{"further steps on an image of a registry", "entryScript: a.py\nbaseImage: team/img:1\nextraDockerfileSteps: steps\nbaseImageRegistry: {address: r.example/, username: u}",
			&legacyconfig.Environment{BaseDockerfile: "FROM r.example/team/img:1\nRUN x"}, "", []string{"baseImageRegistry.username"}, nil},
		{"a registry without an image", "entryScript: a.py\nbaseImageRegistry: {address: r.example}", nil, "", []string{"baseImageRegistry"}, nil},
		{"a registry without an image, in an environment", "entryScript: a.py\nenvironment: {docker: {baseImageRegistry: {address: r.example}}}", nil, "", []string{"environment.docker.baseImageRegistry"}, nil},
		{"a file to send", "entryScript: a.py\ncondaFile: other.yml", nil, "", nil, []string{"other.yml"}},
		{"a file that is not there", "entryScript: a.py\ncondaFile: absent.yml", nil, "", []string{"condaFile"}, nil},
		{"a text for a Dockerfile", `{"entryScript": "a.py", "environment": {"docker": {"baseDockerfile": "FROM x\nRUN y"}}}`, &legacyconfig.Environment{BaseDockerfile: "FROM x\nRUN y"}, "", nil, nil},
		{"one that is registered", "entryScript: a.py\nenvironment: {name: e, version: 2}", nil, "e:2", nil, nil},
		{"its newest", "entryScript: a.py\nenvironment: {name: e}", nil, "e", nil, nil},
		{"a reserved name", "entryScript: a.py\nenvironment: {name: AzureML-Minimal, python: {userManagedDependencies: yes}}", &legacyconfig.Environment{UserManaged: true}, "", []string{"environment.name"}, nil},
		{"all keys, none given", "entryScript: a.py\nruntime: python\ncondaFile:\nextraDockerfileSteps:\nschemaFile:\nenableGpu: False\nbaseImage:\nbaseImageRegistry:", nil, "", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := legacyconfig.Read(legacyconfig.Input{Inference: []byte(tt.config), Files: files})
			if len(r.Violations) > 0 {
				t.Errorf("violations: %+v", r.Violations)
			}
			if diff := gocmp.Diff(tt.want, r.Environment); diff != "" || r.EnvironmentRef != tt.ref {
				t.Errorf("refers to %q, environment (-want +got):\n%s", r.EnvironmentRef, diff)
			}
			if diff := gocmp.Diff(tt.ignored, names(r.Ignored)); diff != "" {
				t.Errorf("ignored (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(tt.missing, r.Missing); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
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
		{"empty objects", "{}", "{}", []legacyconfig.Finding{
			{"computeType", "must be given (aks, aksendpoint, aci or local): need to specify computeType in the deployment configuration"},
			{"entryScript", "must be given: the path of the scoring script"}}},
		{"nothing that is a configuration", "null", "[]", []legacyconfig.Finding{
			{"deployment_config", "must be an object of keys and values"}, {"inference_config", "must be an object of keys and values"}}},
		{"several documents", "computeType: aks\n---\ncomputeType: local", "entryScript: a.py\n---\n", []legacyconfig.Finding{
			{"deployment_config", "is neither JSON nor YAML that can be read: it holds several documents: keep one of them"}}},
		{"a merge of something else", "computeType: aks\n<<: 1", "", []legacyconfig.Finding{
			{"deployment_config", "is neither JSON nor YAML that can be read: << must be followed by an object, or a list of objects"}}},
		{"another compute type", "computeType: Batch", "", []legacyconfig.Finding{{"computeType", "unknown deployment type: Batch; aks, aksendpoint, aci and local are known"}}},
		{"not an object", "- a", "entryScript", []legacyconfig.Finding{
			{"deployment_config", "must be an object of keys and values"}, {"inference_config", "must be an object of keys and values"}}},
		{"both kinds of authentication", "computeType: aks\nauthEnabled: true\ntokenAuthEnabled: true", "",
			[]legacyconfig.Finding{{"tokenAuthEnabled", "authEnabled and tokenAuthEnabled cannot both be true"}}},
		{"an environment in both forms", "", "entryScript: a.py\ncondaFile: c.yml\nenvironment: {docker: {baseImage: a, baseDockerfile: 'FROM b'}}", []legacyconfig.Finding{
			{"condaFile", "cannot be given together with environment, which takes its place; use one of them"},
			{"environment.docker.baseDockerfile", "cannot be given together with baseImage; use one of them"}}},
		{"an environment that makes no sense", "", "entryScript: a.py\nruntime: scala\ncudaVersion: 11\nenvironment: {inferencingStackVersion: 1, python: {condaDependencies: {channels: {a: b}, dependencies: x}}}", []legacyconfig.Finding{
			{"cudaVersion", "cannot be given together with environment, which takes its place; use one of them"},
			{"cudaVersion", "must be 9.0, 9.1 or 10.0, not 11"},
			{"environment.inferencingStackVersion", "must be latest, or left out"},
			{"environment.python.condaDependencies.channels", "must be a list"},
			{"environment.python.condaDependencies.dependencies", "must be a list"},
			{"runtime", "must be python, python-slim or spark-py, not scala"}}},
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
			got := read(tt.deployment, tt.inference).Violations
			slices.SortStableFunc(got, func(a, b legacyconfig.Finding) int { return cmp.Compare(a.Field, b.Field) })
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
		r := legacyconfig.Read(legacyconfig.Input{Deployment: deployment, Inference: inference})
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
