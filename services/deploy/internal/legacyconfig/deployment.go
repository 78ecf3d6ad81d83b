package legacyconfig

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

var (
	namespacePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	keyPattern       = regexp.MustCompile(`^[!-~]{16,256}$`)
)

const (
	maxTimeoutMs  = 300_000
	maxCount      = 1_000_000
	maxReplicas   = 1000
	minCPU        = 0.001
	maxCPU        = 1000
	minMemoryGB   = 0.01
	maxMemoryGB   = 10_000
	maxDelay      = 3600
	maxRefresh    = 3600
	maxProbe      = 300
	noAutoScaling = "not used, since the number of replicas is fixed"
)

func (r *Result) deployment(top section) {
	r.computeType(top)
	if target, ok := top.text("computeTargetName"); ok {
		r.ComputeTarget = target
	}
	r.auth(top)
	r.resources(top)
	r.requests(top)
	r.replicas(top, scales(top))
	r.probe(top.section("livenessProbeRequirements"))
	r.version(top)
	r.telemetry(top)
	const aci = "it belongs to Azure Container Instances, which are not used"
	for _, key := range []string{"location", "cname", "dnsNameLabel", "vaultBaseUrl", "keyName", "keyVersion", "vnetName", "subnetName"} {
		top.ignore(key, aci)
	}
	for _, key := range []string{"sslEnabled", "sslCertificate", "sslKey"} {
		top.ignore(key, "TLS is set where requests arrive, not for a single service")
	}
	top.ignore("description", "the file never had it; give it by -d")
	top.ignore("tags", "the file never had it; give it by --tag")
	top.ignore("properties", "the file never had it; give it by --property")
	top.ignore("port", "all endpoints share the address of the data plane")
	top.ignore("computeTarget", "the key is not known; did you mean computeTargetName?")
	top.rest("the key is not known")
}

func (r *Result) computeType(top section) {
	given, ok := top.text("computeType")
	field := top.name("computeType")
	switch strings.ToLower(strings.TrimSpace(given)) {
	case "aks", "aksendpoint":
	case "local":
		r.ignore(field, "the version runs on the compute target local, or on the one that is named when it is deployed")
	case "aci":
		r.ignore(field, "Azure Container Instances are not used; the version runs on the compute target that is named when it is deployed")
	case "":
		if !ok && !top.has("computeType") {
			r.violate(field, "must be given (aks, aksendpoint, aci or local): need to specify computeType in the deployment configuration")
		}
	default:
		r.violate(field, fmt.Sprintf("unknown deployment type: %s; aks, aksendpoint, aci and local are known", given))
	}
}

func (r *Result) auth(top section) {
	keys, keysGiven := top.boolean("authEnabled")
	tokens, _ := top.boolean("tokenAuthEnabled")
	switch {
	case tokens && keysGiven && keys:
		r.violate(top.name("tokenAuthEnabled"), "authEnabled and tokenAuthEnabled cannot both be true")
	case tokens:
		r.Auth = endpoint.AuthToken
	case keysGiven && !keys:
		r.Auth = endpoint.AuthNone
	case keysGiven:
		r.Auth = endpoint.AuthKey
	}
	s := top.section("keys")
	r.PrimaryKey = r.key(s, "primaryKey")
	r.SecondaryKey = r.key(s, "secondaryKey")
	if r.PrimaryKey != "" && r.PrimaryKey == r.SecondaryKey {
		r.violate(s.name("secondaryKey"), "must differ from primaryKey")
		r.SecondaryKey = ""
	}
	s.rest("the key is not known")
}

func (r *Result) key(s section, name string) string {
	text, ok := s.text(name)
	if ok && !keyPattern.MatchString(text) {
		r.violate(s.name(name), "must be 16 to 256 visible ASCII characters without spaces")
		return ""
	}
	return text
}

func (r *Result) resources(top section) {
	spec := &r.Version.Spec
	s := top.section("containerResourceRequirements")
	spec.CPU, _ = s.number("cpu", minCPU, maxCPU)
	spec.MemoryGB, _ = s.number("memoryInGB", minMemoryGB, maxMemoryGB)
	spec.CPULimit = r.limit(s, "cpuLimit", "cpu", spec.CPU, endpoint.DefaultCPU)
	spec.MemoryLimitGB = r.limit(s, "memoryInGBLimit", "memoryInGB", spec.MemoryGB, endpoint.DefaultMemoryGB)
	s.rest("the key is not known")
	spec.GPUs, _ = top.integer("gpuCores", 0, maxReplicas)
}

// limit reads a limit, which must not be below the request.
func (r *Result) limit(s section, name, request string, requested, byDefault float64) float64 {
	n, ok := s.number(name, minCPU, maxMemoryGB)
	if !ok {
		return 0
	}
	if requested == 0 {
		requested = byDefault
	}
	if n < requested {
		r.violate(s.name(name), fmt.Sprintf("must be greater than or equal to %s (%g)", request, requested))
		return 0
	}
	return n
}

func (r *Result) requests(top section) {
	spec := &r.Version.Spec
	spec.ScoringTimeout = milliseconds(top, "scoringTimeoutMs")
	spec.MaxQueueWait = milliseconds(top, "maxQueueWaitMs")
	spec.MaxConcurrent, _ = top.integer("maxConcurrentRequestsPerContainer", 1, maxCount)
}

func milliseconds(s section, key string) *time.Duration {
	n, ok := s.integer(key, 1, maxTimeoutMs)
	if !ok {
		return nil
	}
	d := time.Duration(n) * time.Millisecond
	return &d
}

func seconds(s section, key string, most int) *time.Duration {
	n, ok := s.integer(key, 1, most)
	if !ok {
		return nil
	}
	d := time.Duration(n) * time.Second
	return &d
}

func (r *Result) probe(s section) {
	spec := &r.Version.Spec
	spec.ProbePeriod = seconds(s, "periodSeconds", maxProbe)
	spec.ProbeDelay = seconds(s, "initialDelaySeconds", maxDelay)
	spec.ProbeTimeout = seconds(s, "timeoutSeconds", maxProbe)
	spec.SuccessThreshold, _ = s.integer("successThreshold", 1, maxCount)
	spec.FailureThreshold, _ = s.integer("failureThreshold", 1, maxCount)
	s.rest("the key is not known")
}

// scales tells whether the kind of deployment has replicas that follow the load.
func scales(top section) bool {
	f := top.fields["computetype"]
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(f.value.text)), "aks")
}

// replicas reads how many replicas there are: a fixed number, or by load, which
// is what a cluster does when nothing is said.
func (r *Result) replicas(top section, byLoad bool) {
	fixed, fixedGiven := top.integer("numReplicas", 1, maxReplicas)
	s := top.section("autoScaler")
	enabled, enabledGiven := s.boolean("autoscaleEnabled")
	scaling := r.autoscaler(s)
	switch {
	case enabledGiven && enabled && top.has("numReplicas"):
		r.violate(top.name("numReplicas"), "cannot be given when autoScaler.autoscaleEnabled is true")
	case enabledGiven && !enabled && !top.has("numReplicas"):
		r.violate(top.name("numReplicas"), "must be given when autoScaler.autoscaleEnabled is false: autoscale disabled but numReplicas not provided")
	case fixedGiven:
		r.Version.Spec.Replicas = fixed
		s.unused(noAutoScaling, "minReplicas", "maxReplicas", "refreshPeriodInSeconds", "targetUtilization")
	case top.has("numReplicas"): // what is wrong with it is said
	case enabled || byLoad || s.anyOf("minReplicas", "maxReplicas", "refreshPeriodInSeconds", "targetUtilization"):
		r.Version.Spec.Autoscale = scaling
	}
	s.rest("the key is not known")
}

func (r *Result) autoscaler(s section) *endpoint.AutoscaleInput {
	in := &endpoint.AutoscaleInput{}
	least, leastGiven := s.integer("minReplicas", 0, maxReplicas)
	most, mostGiven := s.integer("maxReplicas", 1, maxReplicas)
	in.RefreshPeriod = seconds(s, "refreshPeriodInSeconds", maxRefresh)
	in.Target, _ = s.integer("targetUtilization", 1, 100)
	if !leastGiven {
		least = endpoint.DefaultMinReplicas
	}
	if !mostGiven {
		most = endpoint.DefaultMaxReplicas
	}
	if least > most && (leastGiven || mostGiven) {
		r.violate(s.name("minReplicas"), fmt.Sprintf("must be less than or equal to maxReplicas (%d), not %d", most, least))
		return nil
	}
	if leastGiven {
		in.Min = &least
	}
	if mostGiven {
		in.Max = most
	}
	return in
}

func (s section) anyOf(keys ...string) bool { return slices.ContainsFunc(keys, s.has) }

// unused names keys that have been checked and have no effect.
func (s section) unused(why string, keys ...string) {
	for _, key := range keys {
		if s.has(key) {
			s.result.ignore(s.name(key), why)
		}
	}
}

func (r *Result) version(top section) {
	if id, ok := top.text("versionName"); ok {
		var v apierr.Violations
		endpoint.CheckName(top.name("versionName"), id, &v)
		if len(v) == 0 {
			r.VersionID = id
		}
		for _, bad := range v {
			r.violate(bad.Field, bad.Description)
		}
	}
	if p, ok := top.parseNumber("trafficPercentile"); ok {
		if p < 0 || p > 100 {
			r.violate(top.name("trafficPercentile"), "cannot be negative or greater than 100")
		} else {
			r.Version.Percentile = math.Round(p*100) / 100
		}
	}
	if ns, ok := top.text("namespace"); ok {
		if !namespacePattern.MatchString(ns) {
			r.violate(top.name("namespace"), "must hold only lower-case letters, digits and dashes, begin and end with a letter or digit, and be at most 63 characters long")
		} else {
			r.Version.Spec.Namespace = ns
		}
	}
}

func (r *Result) telemetry(top section) {
	if on, ok := top.boolean("appInsightsEnabled"); ok {
		r.Telemetry = &on
	}
	s := top.section("dataCollection")
	r.Version.Spec.CollectModelData, _ = s.boolean("storageEnabled")
	s.ignore("eventHubEnabled", "collected data is kept in files; there is no event hub")
	s.rest("the key is not known")
}
