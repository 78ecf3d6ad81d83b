// Package deployment turns what a user gives to deploy (configuration files of
// the old product, flags, a script with its files) into a request, and gathers
// everything that is wrong with it, so that it can be told at once.
//
// Flags win over files. Nothing here changes anything at the server.
package deployment

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Flags are what the command line says about a version and its endpoint.
type Flags struct {
	Models, ModelFiles                 []string
	InferenceConfig, DeploymentConfig  string
	EntryScript, SourceDirectory       string
	VersionName, Target                string
	Tags, Properties                   []string
	Description                        string
	PrimaryKey, SecondaryKey           string
	Environment, EnvironmentVersion    string
	AuthEnabled, TokenAuthEnabled      bool
	Telemetry                          bool
	IsDefault, Control                 bool
	percentile                         float64
	cpu, cpuLimit, memory, memoryLimit float64
	gpus, replicas, concurrency        int32
	timeoutMs, queueWaitMs             int64
	periodSeconds, delaySeconds        int64
	probeTimeoutSeconds                int64
	successes, failures                int32
	autoscale, collect                 bool
	least, most, utilization           int32
	refreshSeconds                     int64
	namespace                          string
	runtime                            string

	set   *pflag.FlagSet
	whole bool // the flags of a version are bound, not those of its script alone
}

// BindScript adds the flags that say what runs: models, script, environment.
func (f *Flags) BindScript(fs *pflag.FlagSet) {
	f.set = fs
	fs.StringArrayVarP(&f.Models, "model", "m", nil, "model, as name:version or name (its newest); repeat for more")
	fs.StringArrayVarP(&f.ModelFiles, "model-metadata-file", "f", nil, "`FILE` that \"model register -t\" wrote; repeat for more")
	fs.StringVar(&f.InferenceConfig, "ic", "", "inference configuration `FILE`, JSON or YAML (--inference-config-file)")
	fs.StringVar(&f.EntryScript, "es", "", "script with init() and run() (--entry-script)")
	fs.StringVar(&f.SourceDirectory, "sd", "", "folder with the script and what it needs (--source-directory)")
	fs.StringVarP(&f.Environment, "environment-name", "e", "", "environment of the script, as name or name:version")
	fs.StringVar(&f.runtime, "runtime", "", "what answers: script, onnx, scikitLearn; default by script and model (custom servers: \"fairlead apply\")")
	fs.StringVar(&f.EnvironmentVersion, "ev", "", "version of the environment (--environment-version); default its newest")
}

// BindVersion adds the flags that say what a version runs and how.
func (f *Flags) BindVersion(fs *pflag.FlagSet) {
	f.BindScript(fs)
	f.whole = true
	fs.StringVar(&f.DeploymentConfig, "dc", "", "deployment configuration `FILE`, JSON or YAML (--deploy-config-file)")
	fs.StringVar(&f.VersionName, "vn", "", "name of the version (--version-name)")
	fs.Float64Var(&f.percentile, "tp", 0, "traffic percentile, 0 to 100 (--traffic-percentile)")
	fs.StringVarP(&f.Description, "description", "d", "", "for people")
	f.bindSettings(fs)
	f.bindScaling(fs)
}

func (f *Flags) bindScaling(fs *pflag.FlagSet) {
	fs.Int32Var(&f.replicas, "nr", 0, "number of replicas, where it does not follow the load (--num-replicas)")
	fs.BoolVar(&f.autoscale, "as", false, "let the number of replicas follow the load (--autoscale-enabled)")
	fs.Int32Var(&f.least, "mi", 0, "least number of replicas; 0 lets it fall asleep (--autoscale-min-replicas)")
	fs.Int32Var(&f.most, "ma", 0, "greatest number of replicas (--autoscale-max-replicas)")
	fs.Int64Var(&f.refreshSeconds, "ar", 0, "seconds between two decisions on the number of replicas (--autoscale-refresh-seconds)")
	fs.Int32Var(&f.utilization, "at", 0, "wanted utilization of replicas in percent (--autoscale-target-utilization)")
	fs.BoolVar(&f.collect, "md", false, "let the script's data collectors write (--collect-model-data)")
	fs.StringVar(&f.namespace, "namespace", "", "Kubernetes namespace of the replicas")
}

func (f *Flags) bindSettings(fs *pflag.FlagSet) {
	fs.Float64Var(&f.cpu, "cc", 0, "processors of a replica, for example 0.5 (--cpu-cores)")
	fs.Float64Var(&f.cpuLimit, "ccl", 0, "limit of processors (--cpu-cores-limit)")
	fs.Float64Var(&f.memory, "gb", 0, "memory of a replica in GB (--memory-gb)")
	fs.Float64Var(&f.memoryLimit, "gbl", 0, "limit of memory in GB (--memory-gb-limit)")
	fs.Int32Var(&f.gpus, "gc", 0, "GPUs of a replica (--gpu-cores)")
	fs.Int64Var(&f.timeoutMs, "tm", 0, "scoring timeout in ms (--timeout-ms)")
	fs.Int32Var(&f.concurrency, "rm", 0, "requests that a replica works on at once (--replica-max-concurrent-requests)")
	fs.Int64Var(&f.queueWaitMs, "mr", 0, "how long a request may wait for a replica, in ms (--max-request-wait-time)")
	fs.Int64Var(&f.periodSeconds, "ps", 0, "liveness probe: seconds between two (--period-seconds)")
	fs.Int64Var(&f.delaySeconds, "id", 0, "liveness probe: seconds before the first (--initial-delay-seconds)")
	fs.Int64Var(&f.probeTimeoutSeconds, "ts", 0, "liveness probe: seconds that one may take (--timeout-seconds)")
	fs.Int32Var(&f.successes, "st", 0, "liveness probe: successes until healthy (--success-threshold)")
	fs.Int32Var(&f.failures, "ft", 0, "liveness probe: failures until unhealthy (--failure-threshold)")
}

// BindLabels adds the flags for labels that are set at creation.
func (f *Flags) BindLabels(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.Tags, "tag", nil, "label KEY=VALUE; repeat for more")
	fs.StringArrayVar(&f.Properties, "property", nil, "fact KEY=VALUE that cannot change; repeat for more")
}

// BindEndpoint adds the flags that a new endpoint has besides its version's.
func (f *Flags) BindEndpoint(fs *pflag.FlagSet) {
	fs.StringVar(&f.Target, "ct", "", "compute target (--compute-target); default local")
	f.bindAccess(fs)
	fs.StringVar(&f.PrimaryKey, "kp", "", "primary key, instead of a random one (--primary-key)")
	fs.StringVar(&f.SecondaryKey, "ks", "", "secondary key, instead of a random one (--secondary-key)")
}

func (f *Flags) bindAccess(fs *pflag.FlagSet) {
	fs.BoolVar(&f.AuthEnabled, "ae", true, "whether scoring needs a key (--auth-enabled)")
	fs.BoolVar(&f.TokenAuthEnabled, "token-auth-enabled", false, "whether scoring needs a token instead of a key")
	fs.BoolVar(&f.Telemetry, "ai", false, "keep a record of each request (--enable-app-insights)")
}

// BindAccess adds the flags of an endpoint that can change.
func (f *Flags) BindAccess(fs *pflag.FlagSet) {
	f.bindAccess(fs)
	fs.StringVar(&f.PrimaryKey, "kp", "", "new primary key (--primary-key)")
	fs.StringVar(&f.SecondaryKey, "ks", "", "new secondary key (--secondary-key)")
}

// BindRole adds the flags for a version's role beside others.
func (f *Flags) BindRole(fs *pflag.FlagSet) {
	fs.BoolVar(&f.IsDefault, "is-default", false, "give it the traffic that no version claims")
	fs.BoolVar(&f.Control, "cvt", false, "make it the control version (--control-version-type)")
}

// Changed says whether a flag was given.
func (f *Flags) Changed(flag string) bool { return f.set != nil && f.set.Changed(flag) }

// ChangesVersion says whether a flag was given that says what a version runs or
// how.
func (f *Flags) ChangesVersion() bool {
	flags := []string{"model", "model-metadata-file", "ic", "dc", "ev"}
	for _, s := range settings() {
		if strings.HasPrefix(s.path, "version.") && s.flag != "description" {
			flags = append(flags, s.flag)
		}
	}
	return slices.ContainsFunc(flags, f.Changed)
}

// setting is one thing that a flag, a key of the old files and a field of the
// API all speak of.
type setting struct {
	flag  string
	key   string // in the old files; empty when they do not have it
	path  string // in the API request
	apply func(f *Flags, d *Draft)
}

// settings lists them, in the order in which they are reported.
func settings() []setting {
	return slices.Concat(versionSettings(), scalingSettings(), probeSettings())
}

func versionSettings() []setting {
	return []setting{
		{"es", "entryScript", "version.entry_script", nil},
		{"sd", "sourceDirectory", "version.source_files", nil},
		{"vn", "versionName", "version_id", func(f *Flags, d *Draft) { d.VersionID = f.VersionName }},
		{"tp", "trafficPercentile", "version.traffic_percentile", func(f *Flags, d *Draft) { d.Version.TrafficPercentile = f.percentile }},
		{"description", "", "version.description", func(f *Flags, d *Draft) { d.Version.Description = f.Description }},
		{"is-default", "", "version.is_default", func(f *Flags, d *Draft) { d.Version.IsDefault = f.IsDefault }},
		{"cvt", "", "version.type", func(f *Flags, d *Draft) { d.Version.Type = roleOf(f.Control) }},
		{"cc", "containerResourceRequirements.cpu", "version.resources.cpu", func(f *Flags, d *Draft) { d.resources().Cpu = f.cpu }},
		{"ccl", "containerResourceRequirements.cpuLimit", "version.resources.cpu_limit", func(f *Flags, d *Draft) { d.resources().CpuLimit = f.cpuLimit }},
		{"gb", "containerResourceRequirements.memoryInGB", "version.resources.memory_gb", func(f *Flags, d *Draft) { d.resources().MemoryGb = f.memory }},
		{"gbl", "containerResourceRequirements.memoryInGBLimit", "version.resources.memory_limit_gb", func(f *Flags, d *Draft) { d.resources().MemoryLimitGb = f.memoryLimit }},
		{"gc", "gpuCores", "version.resources.gpus", func(f *Flags, d *Draft) { d.resources().Gpus = f.gpus }},
		{"tm", "scoringTimeoutMs", "version.request_settings.scoring_timeout", func(f *Flags, d *Draft) { d.requests().ScoringTimeout = milliseconds(f.timeoutMs) }},
		{"rm", "maxConcurrentRequestsPerContainer", "version.request_settings.max_concurrent_requests_per_replica", func(f *Flags, d *Draft) { d.requests().MaxConcurrentRequestsPerReplica = f.concurrency }},
		{"mr", "maxQueueWaitMs", "version.request_settings.max_queue_wait", func(f *Flags, d *Draft) { d.requests().MaxQueueWait = milliseconds(f.queueWaitMs) }},
		{"ct", "computeTargetName", "endpoint.compute_target", func(f *Flags, d *Draft) { d.Endpoint.ComputeTarget = f.Target }},
		{"ae", "authEnabled", "endpoint.auth_mode", func(f *Flags, d *Draft) { d.access(f) }},
		{"token-auth-enabled", "tokenAuthEnabled", "endpoint.auth_mode", func(f *Flags, d *Draft) { d.access(f) }},
		{"ai", "appInsightsEnabled", "endpoint.telemetry_enabled", func(f *Flags, d *Draft) { d.Endpoint.TelemetryEnabled = f.Telemetry }},
		{"environment-name", "environment", "version.environment", func(f *Flags, d *Draft) { d.environment(f) }},
		{"namespace", "namespace", "version.namespace", func(f *Flags, d *Draft) { d.Version.Namespace = f.namespace }},
		{"md", "dataCollection.storageEnabled", "version.collect_model_data", func(f *Flags, d *Draft) { d.Version.CollectModelData = f.collect }},
		{"runtime", "", "version.runtime", func(f *Flags, d *Draft) { d.runtime(f) }},
		{"kp", "keys.primaryKey", "keys.primary_key", func(f *Flags, d *Draft) { d.keys().PrimaryKey = f.PrimaryKey }},
		{"ks", "keys.secondaryKey", "keys.secondary_key", func(f *Flags, d *Draft) { d.keys().SecondaryKey = f.SecondaryKey }},
	}
}

func probeSettings() []setting {
	const key, path = "livenessProbeRequirements.", "version.liveness_probe."
	return []setting{
		{"ps", key + "periodSeconds", path + "period", func(f *Flags, d *Draft) { d.probe().Period = seconds(f.periodSeconds) }},
		{"id", key + "initialDelaySeconds", path + "initial_delay", func(f *Flags, d *Draft) { d.probe().InitialDelay = seconds(f.delaySeconds) }},
		{"ts", key + "timeoutSeconds", path + "timeout", func(f *Flags, d *Draft) { d.probe().Timeout = seconds(f.probeTimeoutSeconds) }},
		{"st", key + "successThreshold", path + "success_threshold", func(f *Flags, d *Draft) { d.probe().SuccessThreshold = f.successes }},
		{"ft", key + "failureThreshold", path + "failure_threshold", func(f *Flags, d *Draft) { d.probe().FailureThreshold = f.failures }},
	}
}

func scalingSettings() []setting {
	const key, path = "autoScaler.", "version.autoscale."
	return []setting{
		{"as", key + "autoscaleEnabled", "version.autoscale", func(f *Flags, d *Draft) { d.scaling(f) }},
		{"mi", key + "minReplicas", path + "min_replicas", func(f *Flags, d *Draft) { d.autoscale(f).MinReplicas = &f.least }},
		{"ma", key + "maxReplicas", path + "max_replicas", func(f *Flags, d *Draft) { d.autoscale(f).MaxReplicas = f.most }},
		{"ar", key + "refreshPeriodInSeconds", path + "refresh_period", func(f *Flags, d *Draft) { d.autoscale(f).RefreshPeriod = seconds(f.refreshSeconds) }},
		{"at", key + "targetUtilization", path + "target_utilization_percent", func(f *Flags, d *Draft) { d.autoscale(f).TargetUtilizationPercent = f.utilization }},
		{"nr", "numReplicas", "version.replicas", func(f *Flags, d *Draft) { d.fixed(f) }},
	}
}

// AuthMode is who may score: what the flags say on top of how it is now. ok is
// false when they contradict each other.
func (f *Flags) AuthMode(now deployv1.Endpoint_AuthMode) (mode deployv1.Endpoint_AuthMode, ok bool) {
	const key, token, none = deployv1.Endpoint_AUTH_MODE_KEY, deployv1.Endpoint_AUTH_MODE_TOKEN, deployv1.Endpoint_AUTH_MODE_NONE
	keysGiven, tokensGiven := f.Changed("ae"), f.Changed("token-auth-enabled")
	switch {
	case keysGiven && tokensGiven && f.AuthEnabled && f.TokenAuthEnabled:
		return now, false
	case tokensGiven && f.TokenAuthEnabled:
		return token, true
	case keysGiven && f.AuthEnabled:
		return key, true
	case keysGiven && (now != token || tokensGiven):
		return none, true
	case tokensGiven && now == token:
		return key, true
	}
	return now, true
}

func roleOf(control bool) deployv1.EndpointVersion_Type {
	if control {
		return deployv1.EndpointVersion_TYPE_CONTROL
	}
	return deployv1.EndpointVersion_TYPE_TREATMENT
}

func milliseconds(n int64) *durationpb.Duration {
	return durationpb.New(time.Duration(n) * time.Millisecond)
}

func seconds(n int64) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Second) }
