package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/peertest"
)

// effect is all that a configuration can have an effect on.
type effect struct {
	converted *deployv1.ConvertConfigResponse
	keys      peertest.Keys
	endpoint  *deployv1.Endpoint
	version   *deployv1.EndpointVersion
	route     *deployv1.Route
	workload  *computev1.WorkloadSpec
}

// deployed converts configurations and deploys what they say.
func (b *bed) deployed(id, deployment, inference string) effect {
	b.t.Helper()
	ctx := b.t.Context()
	r, err := b.endpoints.ConvertConfig(ctx, &deployv1.ConvertConfigRequest{
		Parent: "workspaces/default", DeploymentConfig: []byte(deployment), InferenceConfig: []byte(inference),
		Files: map[string][]byte{"conda.yml": []byte("dependencies: [numpy]"), "steps": []byte("RUN true")},
	})
	b.check(err)
	if len(r.GetViolations()) > 0 {
		b.t.Fatalf("violations: %v", r.GetViolations())
	}
	wanted := b.version(nil)
	v := r.GetVersion()
	v.EntryScript, v.SourceFiles = wanted.GetEntryScript(), wanted.GetSourceFiles()
	e := r.GetEndpoint()
	e.ComputeTarget = "local"
	o, err := b.endpoints.CreateEndpoint(ctx, &deployv1.CreateEndpointRequest{
		Parent: "workspaces/default", EndpointId: id, Endpoint: e, VersionId: r.GetVersionId(), Version: v, Keys: r.GetKeys(),
	})
	b.check(err)
	made := &deployv1.Endpoint{}
	b.succeeds(o, made)
	route := b.route(made.GetName())
	keys, _ := b.auth.Keys(made.GetName())
	return effect{
		converted: r, keys: keys, endpoint: made, version: made.GetVersions()[0],
		route: route, workload: b.compute.Spec(route.GetVersions()[0].GetWorkload()),
	}
}

// route gives the route of an endpoint as routers get it.
func (b *bed) route(endpoint string) *deployv1.Route {
	b.t.Helper()
	stream, err := b.routes.WatchRoutes(b.t.Context(), &deployv1.WatchRoutesRequest{})
	b.check(err)
	for {
		answer, err := stream.Recv()
		b.check(err)
		if r := answer.GetChanged(); r.GetEndpoint() == endpoint {
			return r
		}
	}
}

type fieldTest struct {
	field, deployment, inference string
	// see gives what the field is to have an effect on.
	see  func(effect) any
	want any
}

func deploymentFields() []fieldTest {
	return []fieldTest{
		{"computeType", `"computeType": "local"`, "", func(e effect) any { return e.version.GetAutoscale() == nil }, true},
		{"autoScaler.autoscaleEnabled", `"autoScaler": {"autoscaleEnabled": false}, "numReplicas": 2`, "", func(e effect) any { return e.workload.GetReplicas() }, int32(2)},
		{"autoScaler.minReplicas", `"autoScaler": {"minReplicas": 3}`, "", func(e effect) any { return e.workload.GetReplicas() }, int32(3)},
		{"autoScaler.minReplicas 0", `"autoScaler": {"minReplicas": 0}`, "", func(e effect) any { return e.route.GetVersions()[0].GetHoldWhenEmpty() }, true},
		{"autoScaler.maxReplicas", `"autoScaler": {"maxReplicas": 4}`, "", func(e effect) any { return e.version.GetAutoscale().GetMaxReplicas() }, int32(4)},
		{"autoScaler.refreshPeriodInSeconds", `"autoScaler": {"refreshPeriodInSeconds": 5}`, "", func(e effect) any { return e.version.GetAutoscale().GetRefreshPeriod().AsDuration() }, 5 * time.Second},
		{"autoScaler.targetUtilization", `"autoScaler": {"targetUtilization": 50}`, "", func(e effect) any { return e.version.GetAutoscale().GetTargetUtilizationPercent() }, int32(50)},
		{"dataCollection.storageEnabled", `"dataCollection": {"storageEnabled": true}`, "", func(e effect) any { return e.workload.GetCollectModelData() }, true},
		{"authEnabled", `"authEnabled": false`, "", func(e effect) any { return e.route.GetAuthMode() }, deployv1.Endpoint_AUTH_MODE_NONE},
		{"tokenAuthEnabled", `"tokenAuthEnabled": true`, "", func(e effect) any { return e.route.GetAuthMode() }, deployv1.Endpoint_AUTH_MODE_TOKEN},
		{"containerResourceRequirements.cpu", `"containerResourceRequirements": {"cpu": 0.5}`, "", func(e effect) any { return e.workload.GetResources().GetCpu() }, 0.5},
		{"containerResourceRequirements.memoryInGB", `"containerResourceRequirements": {"memoryInGB": 2}`, "", func(e effect) any { return e.workload.GetResources().GetMemoryBytes() }, int64(2 << 30)},
		{"containerResourceRequirements.cpuLimit", `"containerResourceRequirements": {"cpuLimit": 2}`, "", func(e effect) any { return e.workload.GetResources().GetCpuLimit() }, 2.0},
		{"containerResourceRequirements.memoryInGBLimit", `"containerResourceRequirements": {"memoryInGBLimit": 3}`, "", func(e effect) any { return e.workload.GetResources().GetMemoryLimitBytes() }, int64(3 << 30)},
		{"gpuCores", `"gpuCores": 1`, "", func(e effect) any { return e.workload.GetResources().GetGpus() }, int32(1)},
		{"appInsightsEnabled", `"appInsightsEnabled": true`, "", func(e effect) any { return e.route.GetTelemetryEnabled() }, true},
		{"scoringTimeoutMs", `"scoringTimeoutMs": 1500`, "", func(e effect) any {
			return e.route.GetVersions()[0].GetRequestSettings().GetScoringTimeout().AsDuration()
		}, 1500 * time.Millisecond},
		{"maxConcurrentRequestsPerContainer", `"maxConcurrentRequestsPerContainer": 4`, "", func(e effect) any { return e.workload.GetMaxConcurrentRequests() }, int32(4)},
		{"maxQueueWaitMs", `"maxQueueWaitMs": 700`, "", func(e effect) any {
			return e.route.GetVersions()[0].GetRequestSettings().GetMaxQueueWait().AsDuration()
		}, 700 * time.Millisecond},
		{"numReplicas", `"numReplicas": 2`, "", func(e effect) any { return e.workload.GetReplicas() }, int32(2)},
		{"keys.primaryKey", `"keys": {"primaryKey": "0123456789abcdef"}`, "", func(e effect) any { return e.keys.Primary }, "0123456789abcdef"},
		{"keys.secondaryKey", `"keys": {"secondaryKey": "fedcba9876543210"}`, "", func(e effect) any { return e.keys.Secondary }, "fedcba9876543210"},
		{"livenessProbeRequirements.periodSeconds", `"livenessProbeRequirements": {"periodSeconds": 7}`, "", func(e effect) any { return e.workload.GetLivenessProbe().GetPeriod().AsDuration() }, 7 * time.Second},
		{"livenessProbeRequirements.initialDelaySeconds", `"livenessProbeRequirements": {"initialDelaySeconds": 20}`, "", func(e effect) any { return e.workload.GetLivenessProbe().GetInitialDelay().AsDuration() }, 20 * time.Second},
		{"livenessProbeRequirements.timeoutSeconds", `"livenessProbeRequirements": {"timeoutSeconds": 4}`, "", func(e effect) any { return e.workload.GetLivenessProbe().GetTimeout().AsDuration() }, 4 * time.Second},
		{"livenessProbeRequirements.successThreshold", `"livenessProbeRequirements": {"successThreshold": 2}`, "", func(e effect) any { return e.workload.GetLivenessProbe().GetSuccessThreshold() }, int32(2)},
		{"livenessProbeRequirements.failureThreshold", `"livenessProbeRequirements": {"failureThreshold": 5}`, "", func(e effect) any { return e.workload.GetLivenessProbe().GetFailureThreshold() }, int32(5)},
		{"namespace", `"namespace": "prod"`, "", func(e effect) any { return e.workload.GetNamespace() }, "prod"},
		{"namespace here", `"namespace": "prod"`, "", func(e effect) any {
			return strings.Contains(strings.Join(e.version.GetNotices(), ""), "namespace prod has no effect")
		}, true},
		{"computeTargetName", `"computeTargetName": "cluster"`, "", func(e effect) any { return e.converted.GetComputeTargetId() }, "cluster"},
		{"versionName", `"versionName": "versiona"`, "", func(e effect) any { return e.route.GetDefaultVersion() }, "versiona"},
		{"trafficPercentile", `"trafficPercentile": 20.5`, "", func(e effect) any { return e.version.GetTrafficPercentile() }, 20.5},
	}
}

func inferenceFields() []fieldTest {
	environment := func(e effect) *deployv1.EnvironmentVersion { return e.converted.GetEnvironment() }
	return []fieldTest{
		{"sourceDirectory", "", `"sourceDirectory": "./src"`, func(e effect) any { return e.converted.GetSourceDirectory() }, "./src"},
		{"environment.environmentVariables", "", `"environment": {"environmentVariables": {"A": "1"}}`, func(e effect) any { return e.workload.GetEnvironmentVariables()["A"] }, "1"},
		{"environment.name", "", `"environment": {"name": "mine", "python": {"userManagedDependencies": true}}`, func(e effect) any { return e.converted.GetEnvironmentId() }, "mine"},
		{"environment.docker.baseImage", "", `"environment": {"docker": {"baseImage": "img"}}`, func(e effect) any { return environment(e).GetDocker().GetBaseImage() }, "img"},
		{"environment.docker.baseDockerfile", "", `"environment": {"docker": {"baseDockerfile": "FROM x"}}`, func(e effect) any { return environment(e).GetDocker().GetBaseDockerfile() }, "FROM x"},
		{"environment.docker.baseImageRegistry", "", `"environment": {"docker": {"baseImage": "i", "baseImageRegistry": {"address": "r", "username": "u"}}}`, func(e effect) any {
			r := environment(e).GetDocker().GetRegistry()
			return r.GetAddress() + " " + r.GetUsername()
		}, "r u"},
		{"environment.docker.shmSize", "", `"environment": {"docker": {"shmSize": "2g"}}`, func(e effect) any { return environment(e).GetDocker().GetShmSize() }, "2g"},
		{"environment.docker.arguments", "", `"environment": {"docker": {"arguments": ["--init"]}}`, func(e effect) any { return strings.Join(environment(e).GetDocker().GetArguments(), " ") }, "--init"},
		{"environment.python.condaDependencies", "", `"environment": {"python": {"condaDependencies": {"channels": ["c"], "dependencies": ["python=3.11", {"pip": ["x", "y"]}]}}}`, func(e effect) any {
			p := environment(e).GetPython()
			return fmt.Sprint(p.GetCondaChannels(), p.GetCondaDependencies(), p.GetPipRequirements())
		}, "[c] [python=3.11] [x y]"},
		{"environment.python.condaDependenciesFile", "", `"environment": {"python": {"condaDependenciesFile": "conda.yml"}}`, func(e effect) any { return environment(e).GetPython().GetCondaFile() }, "dependencies: [numpy]"},
		{"environment.python.interpreterPath", "", `"environment": {"python": {"interpreterPath": "/opt/p"}}`, func(e effect) any { return environment(e).GetPython().GetInterpreterPath() }, "/opt/p"},
		{"environment.python.userManagedDependencies", "", `"environment": {"python": {"userManagedDependencies": "True"}}`, func(e effect) any { return environment(e).GetPython().GetUserManaged() }, true},
		{"environment.inferencingStackVersion", "", `"environment": {"inferencingStackVersion": "latest"}`, func(e effect) any { return environment(e).GetInferencingStackVersion() }, "latest"},
		{"condaFile", "", `"condaFile": "conda.yml"`, func(e effect) any { return environment(e).GetPython().GetCondaFile() }, "dependencies: [numpy]"},
		{"extraDockerfileSteps", "", `"extraDockerfileSteps": "steps", "baseImage": "img"`, func(e effect) any { return environment(e).GetDocker().GetBaseDockerfile() }, "FROM img\nRUN true"},
		{"baseImage", "", `"baseImage": "img"`, func(e effect) any { return environment(e).GetDocker().GetBaseImage() }, "img"},
		{"baseImageRegistry", "", `"baseImage": "i", "baseImageRegistry": {"address": "r"}`, func(e effect) any { return environment(e).GetDocker().GetRegistry().GetAddress() }, "r"},
	}
}

// Every field of the old files that is accepted changes something that can be seen.
func TestEveryLegacyFieldHasAnEffect(t *testing.T) {
	b := newBed(t, nil)
	without := b.deployed("without", `{"computeType": "aks"}`, `{"entryScript": "score.py"}`)
	for i, tt := range append(deploymentFields(), inferenceFields()...) {
		t.Run(tt.field, func(t *testing.T) {
			deployment, inference := `{"computeType": "aks"}`, `{"entryScript": "score.py"}`
			switch {
			case strings.HasPrefix(tt.deployment, `"computeType"`):
				deployment = "{" + tt.deployment + "}"
			case tt.deployment != "":
				deployment = `{"computeType": "aks", ` + tt.deployment + "}"
			default:
				inference = `{"entryScript": "score.py", ` + tt.inference + "}"
			}
			if got := tt.see(b.deployed(fmt.Sprintf("with-%d", i), deployment, inference)); got != tt.want {
				t.Errorf("it has the effect %v, want %v", got, tt.want)
			}
			if before := tt.see(without); before == tt.want {
				t.Errorf("it has no effect: without it is %v too", before)
			}
		})
	}
}

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
		found := filepath.Join(dir, "shared", "acceptance")
		if _, err := os.Stat(found); err == nil {
			return found
		}
	}
	t.Skip("the folder of real configuration files is not there; set FAIRLEAD_ACCEPTANCE")
	return ""
}

type fileTest struct {
	file string
	// want is a part of what the file becomes, as JSON.
	want    string
	ignored string
}

// become gives what a file becomes, as JSON with what was ignored.
func (b *bed) become(path string) (got *deployv1.ConvertConfigResponse, ignored string) {
	b.t.Helper()
	text, err := os.ReadFile(path)
	b.check(err)
	req := &deployv1.ConvertConfigRequest{Parent: "workspaces/default", AbsentFiles: []string{"environments/score_dependencies.yml", "missing.yml"}}
	if strings.Contains(filepath.Base(path), "inference") {
		req.InferenceConfig = text
	} else {
		req.DeploymentConfig = text
	}
	got, err = b.endpoints.ConvertConfig(b.t.Context(), req)
	b.check(err)
	var words []string
	for _, f := range got.GetIgnored() {
		words = append(words, f.GetField())
	}
	got.Ignored = nil
	return got, strings.Join(words, " ")
}

func (b *bed) files(t *testing.T, dir string, tests []fileTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			path := filepath.Join(dir, tt.file)
			if _, err := os.Stat(path); err != nil {
				t.Skip("the file is not there")
			}
			got, ignored := b.become(path)
			want := &deployv1.ConvertConfigResponse{}
			if err := protojson.Unmarshal([]byte(tt.want), want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(protojson.Format(want), protojson.Format(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if ignored != tt.ignored {
				t.Errorf("ignored: %s, want %s", ignored, tt.ignored)
			}
		})
	}
}

func TestRealFiles(t *testing.T) {
	newBed(t, nil).files(t, filepath.Join(acceptance(t), "configs"), []fileTest{
		{"azureml-examples.local.deploymentconfig.json", `{"endpoint": {}, "version": {}, "keys": {}}`, "computeType port"},
		{"mlops-kubeflow.aksdeploymentconfig.json", `{"endpoint": {}, "version": {"autoscale": {}}, "keys": {}}`, "ComputeTarget"},
		{"nfmoore.aks_deployment_config.yml", `{
			"endpoint": {"authMode": "AUTH_MODE_NONE", "telemetryEnabled": true}, "keys": {},
			"version": {
				"resources": {"cpu": 1, "memoryGb": 0.5}, "collectModelData": true,
				"requestSettings": {"scoringTimeout": "60s", "maxConcurrentRequestsPerReplica": 1, "maxQueueWait": "0.500s"},
				"autoscale": {"minReplicas": 1, "maxReplicas": 3, "targetUtilizationPercent": 70, "refreshPeriod": "1s"}
			}}`, ""},
		{"nfmoore.inference_config.yml", `{"endpoint": {}, "version": {"entryScript": "src/score.py"}, "keys": {}}`, "condaFile"},
		{"pipelines-azureml.deployment-config-aks.yml", `{
			"endpoint": {"authMode": "AUTH_MODE_KEY", "telemetryEnabled": true}, "keys": {},
			"version": {
				"resources": {"cpu": 1, "memoryGb": 0.5}, "requestSettings": {"scoringTimeout": "5s", "maxQueueWait": "0.500s"},
				"autoscale": {"minReplicas": 1, "maxReplicas": 3, "targetUtilizationPercent": 70, "refreshPeriod": "10s"}
			}}`, "sslEnabled"},
		{"pipelines-azureml.inference-config-withenv.json", `{
			"endpoint": {}, "keys": {}, "sourceDirectory": ".", "environmentId": "my-deploy-env",
			"version": {"entryScript": "score.py", "environmentVariables": {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"}},
			"environment": {
				"docker": {"baseImage": "mcr.microsoft.com/azureml/base:intelmpi2018.3-ubuntu16.04"},
				"python": {"condaChannels": ["conda-forge"], "condaDependencies": ["python=3.6.2"],
					"pipRequirements": ["azureml-defaults", "numpy", "scikit-learn", "inference-schema[numpy-support]"]}
			}}`, "environment.docker.sharedVolumes environment.version"},
	})
}

func TestFilesOfTheirKind(t *testing.T) {
	newBed(t, nil).files(t, "testdata", []fileTest{
		{"every-key-mostly-empty.yml", `{"endpoint": {}, "keys": {}, "version": {"autoscale": {}, "resources": {"cpu": 0.25}}}`, ""},
		{"aci.json", `{"endpoint": {"authMode": "AUTH_MODE_KEY"}, "keys": {}, "version": {"resources": {"cpu": 1, "memoryGb": 1.5}}}`,
			"computeType location dnsNameLabel sslEnabled sslCertificate sslKey"},
		{"local.yml", `{"endpoint": {}, "keys": {}, "version": {}}`, "computeType port"},
		{"endpoint.json", `{
			"endpoint": {"authMode": "AUTH_MODE_TOKEN"}, "keys": {}, "versionId": "versiona",
			"version": {"trafficPercentile": 20, "autoscale": {"minReplicas": 0, "maxReplicas": 2}, "namespace": "models", "livenessProbe": {"period": "5s"}}
			}`, ""},
		{"mixed-case-and-words.yml", `{
			"endpoint": {"authMode": "AUTH_MODE_NONE", "telemetryEnabled": true}, "keys": {}, "computeTargetId": "",
			"version": {"replicas": 2, "resources": {"cpu": 0.5, "memoryGb": 1, "gpus": 1}, "collectModelData": true, "requestSettings": {"scoringTimeout": "90s"}}
			}`, "NodeSelector"},
		{"older.inference.json", `{
			"endpoint": {}, "keys": {}, "sourceDirectory": "./code", "version": {"entryScript": "main/score.py"},
			"environment": {"docker": {"baseImage": "registry.example/base:1", "registry": {"address": "registry.example"}}}
			}`, "condaFile schemaFile enableGpu cudaVersion"},
		{"conda-and-pip.inference.yml", `{
			"endpoint": {}, "keys": {}, "version": {"entryScript": "score.py", "environmentVariables": {"LOG_LEVEL": "debug", "WORKERS": "2"}}, "environmentId": "diabetes-env",
			"environment": {"python": {"condaChannels": ["conda-forge", "defaults"], "condaDependencies": ["python=3.9", "scikit-learn=1.0.2"],
				"pipRequirements": ["azureml-defaults>=1.45", "inference-schema"]}, "inferencingStackVersion": "latest"}
			}`, "environment.docker.enabled"},
	})
}
