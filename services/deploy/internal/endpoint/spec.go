package endpoint

import (
	"cmp"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
)

// What a field has when it is not given.
const (
	DefaultCPU            = 0.1
	DefaultMemoryGB       = 0.5
	DefaultScoringTimeout = 60 * time.Second
	DefaultQueueWait      = 500 * time.Millisecond
	DefaultProbePeriod    = 10 * time.Second
	DefaultProbeDelay     = 310 * time.Second
	DefaultProbeTimeout   = 2 * time.Second

	// MaxScoringTimeout is the longest that a request may take.
	MaxScoringTimeout = 300 * time.Second
)

var (
	namePattern      = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	namespacePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	variablePattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Spec is what a version runs, with every default filled in.
type Spec struct {
	Models        []ModelRef        `json:"models,omitempty"`
	SourceFiles   []bundle.File     `json:"sourceFiles,omitempty"`
	EntryScript   string            `json:"entryScript"`
	Environment   map[string]string `json:"environment,omitempty"`
	CPU           float64           `json:"cpu"`
	CPULimit      float64           `json:"cpuLimit,omitempty"`
	MemoryGB      float64           `json:"memoryGB"`
	MemoryLimitGB float64           `json:"memoryLimitGB,omitempty"`
	GPUs          int               `json:"gpus,omitempty"`
	// Replicas is the fixed number; 0 when Autoscale says how many.
	Replicas  int        `json:"replicas,omitempty"`
	Autoscale *Autoscale `json:"autoscale,omitempty"`
	Requests  Requests   `json:"requests"`
	Liveness  Probe      `json:"liveness"`
	// Packages is the resource name of the environment that the script runs in;
	// empty means what the node has.
	Packages         string `json:"packages,omitempty"`
	CollectModelData bool   `json:"collectModelData,omitempty"`
	// Namespace is that of Kubernetes; empty means one per workspace.
	Namespace string `json:"namespace,omitempty"`
	// Runtime is what answers in the replicas.
	Runtime Runtime `json:"runtime,omitzero"`
}

// ModelRef is one version of a registered model.
type ModelRef struct {
	Model   string `json:"model"`
	Version int64  `json:"version"`
}

// Requests say how requests are admitted.
type Requests struct {
	ScoringTimeout time.Duration `json:"scoringTimeout"`
	MaxConcurrent  int           `json:"maxConcurrent"`
	MaxQueueWait   time.Duration `json:"maxQueueWait"`
}

// Probe says when a replica that does not answer is replaced.
type Probe struct {
	Period           time.Duration `json:"period"`
	InitialDelay     time.Duration `json:"initialDelay"`
	Timeout          time.Duration `json:"timeout"`
	SuccessThreshold int           `json:"successThreshold"`
	FailureThreshold int           `json:"failureThreshold"`
}

// SpecInput is a Spec as a user writes it: zero and nil mean not given, except
// that a duration of zero that is given is refused.
type SpecInput struct {
	Models []ModelRef
	// ModelsUnknown says that not all of the models were found, which is refused elsewhere.
	ModelsUnknown bool
	// Framework is that of the only model.
	Framework     string
	Runtime       RuntimeInput
	SourceFiles   []bundle.File
	EntryScript   string
	Environment   map[string]string
	CPU           float64
	CPULimit      float64
	MemoryGB      float64
	MemoryLimitGB float64
	GPUs          int
	Replicas      int
	Autoscale     *AutoscaleInput

	Packages         string
	CollectModelData bool
	Namespace        string

	ScoringTimeout *time.Duration
	MaxConcurrent  int
	MaxQueueWait   *time.Duration

	ProbePeriod      *time.Duration
	ProbeDelay       *time.Duration
	ProbeTimeout     *time.Duration
	SuccessThreshold int
	FailureThreshold int
}

// Spec checks the input and fills in the defaults. Violations name fields below field.
func (in SpecInput) Spec(field string, v *apierr.Violations) Spec {
	at := func(name string) string { return field + "." + name }
	s := Spec{
		Models: in.Models, SourceFiles: in.SourceFiles, EntryScript: in.EntryScript, Environment: in.Environment,
		CPU:      amount(at("resources.cpu"), in.CPU, DefaultCPU, 0.001, 1000, v),
		MemoryGB: amount(at("resources.memory_gb"), in.MemoryGB, DefaultMemoryGB, 0.01, 10_000, v),
		GPUs:     in.GPUs,
		Packages: in.Packages, CollectModelData: in.CollectModelData, Namespace: in.Namespace,
		Requests: Requests{
			ScoringTimeout: duration(at("request_settings.scoring_timeout"), in.ScoringTimeout, DefaultScoringTimeout, v),
			MaxConcurrent:  count(at("request_settings.max_concurrent_requests_per_replica"), in.MaxConcurrent, 1, v),
			MaxQueueWait:   duration(at("request_settings.max_queue_wait"), in.MaxQueueWait, DefaultQueueWait, v),
		},
		Liveness: Probe{
			Period:           duration(at("liveness_probe.period"), in.ProbePeriod, DefaultProbePeriod, v),
			InitialDelay:     delay(at("liveness_probe.initial_delay"), in.ProbeDelay, v),
			Timeout:          duration(at("liveness_probe.timeout"), in.ProbeTimeout, DefaultProbeTimeout, v),
			SuccessThreshold: count(at("liveness_probe.success_threshold"), in.SuccessThreshold, 1, v),
			FailureThreshold: count(at("liveness_probe.failure_threshold"), in.FailureThreshold, 3, v),
		},
	}
	s.CPULimit = limit(at("resources.cpu_limit"), in.CPULimit, "cpu", s.CPU, v)
	s.MemoryLimitGB = limit(at("resources.memory_limit_gb"), in.MemoryLimitGB, "memory_gb", s.MemoryGB, v)
	if in.GPUs < 0 || in.GPUs > 1000 {
		v.Add(at("resources.gpus"), "must be 0 to 1000, not %d", in.GPUs)
	}
	s.Replicas, s.Autoscale = in.scaling(field, v)
	if in.Namespace != "" && !namespacePattern.MatchString(in.Namespace) {
		v.Add(at("namespace"), "must hold only lower-case letters, digits and dashes, start and end with a letter or digit, and be at most 63 characters long, not %q", in.Namespace)
	}
	checkModels(at("models"), in.Models, v)
	bundle.Check(at("source_files"), in.SourceFiles, v)
	s.Runtime = in.runtime(field, v)
	checkEnvironment(at("environment_variables"), in.Environment, v)
	return s
}

// Equal tells whether two specifications run the same.
func (s Spec) Equal(o Spec) bool {
	return reflect.DeepEqual(s.normal(), o.normal())
}

func (s Spec) normal() Spec {
	s.Models = slices.Clone(s.Models)
	s.SourceFiles = slices.SortedFunc(slices.Values(s.SourceFiles), func(a, b bundle.File) int { return cmp.Compare(a.Path, b.Path) })
	s.Environment = maps.Clone(s.Environment)
	s.Runtime = s.Runtime.normal()
	if len(s.Models) == 0 {
		s.Models = nil
	}
	if len(s.SourceFiles) == 0 {
		s.SourceFiles = nil
	}
	if len(s.Environment) == 0 {
		s.Environment = nil
	}
	return s
}

func amount(field string, given, byDefault, low, high float64, v *apierr.Violations) float64 {
	switch {
	case given == 0:
		return byDefault
	case math.IsNaN(given) || given < 0:
		v.Add(field, "must be greater than 0")
	case given < low || given > high:
		v.Add(field, "must be %g to %g, not %g", low, high, given)
	}
	return given
}

func limit(field string, given float64, of string, request float64, v *apierr.Violations) float64 {
	switch {
	case given == 0:
	case math.IsNaN(given) || math.IsInf(given, 0) || given < 0:
		v.Add(field, "must be greater than 0, or left out for no limit")
	case given < request:
		v.Add(field, "must be greater than or equal to %s (%g), not %g", of, request, given)
	}
	return given
}

func count(field string, given, byDefault int, v *apierr.Violations) int {
	if given == 0 {
		return byDefault
	}
	if given < 0 {
		v.Add(field, "must be greater than 0")
	}
	return given
}

func duration(field string, given *time.Duration, byDefault time.Duration, v *apierr.Violations) time.Duration {
	if given == nil {
		return byDefault
	}
	switch {
	case *given <= 0:
		v.Add(field, "must be greater than 0")
	case *given < time.Millisecond || *given > MaxScoringTimeout:
		v.Add(field, "must be %s to %s, not %s", time.Millisecond, MaxScoringTimeout, *given)
	}
	return *given
}

// delay allows more than the other durations: the default is above their limit.
func delay(field string, given *time.Duration, v *apierr.Violations) time.Duration {
	if given == nil {
		return DefaultProbeDelay
	}
	switch {
	case *given <= 0:
		v.Add(field, "must be greater than 0")
	case *given > time.Hour:
		v.Add(field, "must not be longer than an hour, not %s", *given)
	}
	return *given
}

func checkModels(field string, models []ModelRef, v *apierr.Violations) {
	if len(models) > 1000 {
		v.Add(field, "has %d models; a replica holds at most 1000", len(models))
	}
	seen := map[ModelRef]bool{}
	for _, m := range models {
		if seen[m] {
			v.Add(field, "has %s:%d more than once", m.Model, m.Version)
		}
		seen[m] = true
	}
}

func checkScript(field string, files []bundle.File, script string, v *apierr.Violations) {
	_, there := bundle.Find(files, script)
	at := field + ".entry_script"
	switch {
	case script == "":
		v.Add(at, "must be given: the path of the scoring script, one of source_files")
	case !strings.HasSuffix(script, ".py"):
		v.Add(at, "must end in .py, %q does not", script)
	case !there:
		v.Add(at, "%q must be one of source_files", script)
	}
}

func checkEnvironment(field string, variables map[string]string, v *apierr.Violations) {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if !VariableName(name) {
			v.Add(field, "has the name %q; names hold letters, digits and underscores and do not start with a digit", name)
		}
		if strings.ContainsRune(variables[name], 0) {
			v.Add(field+"."+name, "must not hold a zero byte")
		}
	}
}

// VariableName tells whether name can be that of an environment variable.
func VariableName(name string) bool { return variablePattern.MatchString(name) }

// CheckName checks the name of an endpoint or version.
func CheckName(field, name string, v *apierr.Violations) {
	if !namePattern.MatchString(name) || len(name) < 3 || len(name) > 32 {
		v.Add(field, "must start with a lower-case letter, hold only lower-case letters, digits and dashes, end with a letter or digit, and be 3 to 32 characters long, not %q", name)
	}
}

// hundredths reads a percentile with two decimals.
func hundredths(field string, percentile float64, v *apierr.Violations) int {
	if math.IsNaN(percentile) || percentile < 0 || percentile > 100 {
		v.Add(field, "must be 0 to 100, not %g", percentile)
		return 0
	}
	scaled := math.Round(percentile * 100)
	if math.Abs(scaled-percentile*100) > 1e-6 {
		v.Add(field, "must have at most two decimals, not %g", percentile)
	}
	return int(scaled)
}

func compareText(a, b string) int { return cmp.Compare(a, b) }
