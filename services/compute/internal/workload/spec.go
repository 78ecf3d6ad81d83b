package workload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

// Spec is what is wanted of a workload.
type Spec struct {
	Replicas       int               `json:"replicas"`
	Request        resource.Amount   `json:"request"`
	Limit          resource.Amount   `json:"limit,omitzero"` // zero means none
	Source         []File            `json:"source,omitempty"`
	EntryScript    string            `json:"entryScript"`
	Models         []Model           `json:"models,omitempty"`
	Environment    map[string]string `json:"environment,omitempty"`
	ScoringTimeout time.Duration     `json:"scoringTimeout"`
	MaxConcurrent  int               `json:"maxConcurrent"`
	Liveness       Probe             `json:"liveness"`
	DrainTimeout   time.Duration     `json:"drainTimeout"`
	Endpoint       string            `json:"endpoint,omitempty"`
	Version        string            `json:"version,omitempty"`
	// Namespace is that of Kubernetes.
	Namespace string `json:"namespace,omitempty"`
	// Python is what the interpreter must have; nil asks nothing.
	Python *Python `json:"python,omitempty"`
	// CollectModelData says that the script's data collectors write.
	CollectModelData bool `json:"collectModelData,omitempty"`
	// Runtime is what answers; nil means a script.
	Runtime *Runtime `json:"runtime,omitempty"`
}

// Python is what a script asks of the interpreter that runs it.
type Python struct {
	Environment     string   `json:"environment,omitempty"` // environment:version, for messages
	Version         string   `json:"version,omitempty"`     // or its beginning: "3.11"
	Pip             []string `json:"pip,omitempty"`         // requirements, and options of pip
	Conda           []string `json:"conda,omitempty"`       // conda's match specifications
	CondaChannels   []string `json:"condaChannels,omitempty"`
	InterpreterPath string   `json:"interpreterPath,omitempty"`
	UserManaged     bool     `json:"userManaged,omitempty"` // packages are taken as they are
	BaseImage       string   `json:"baseImage,omitempty"`
}

// File is a file by content.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Model is a registered model as a replica sees it.
type Model struct {
	Name    string `json:"name"`
	Version int64  `json:"version"`
	Files   []File `json:"files"`
}

// Probe says when a replica is given up.
type Probe struct {
	Period           time.Duration `json:"period"`
	InitialDelay     time.Duration `json:"initialDelay"`
	Timeout          time.Duration `json:"timeout"`
	SuccessThreshold int           `json:"successThreshold"`
	FailureThreshold int           `json:"failureThreshold"`
}

// WithDefaults gives s with the old product's defaults for what is not given.
func (s Spec) WithDefaults() Spec {
	s.ScoringTimeout = orElse(s.ScoringTimeout, time.Minute)
	s.DrainTimeout = orElse(s.DrainTimeout, 30*time.Second)
	s.MaxConcurrent = orElse(s.MaxConcurrent, 1)
	s.Liveness.Period = orElse(s.Liveness.Period, 10*time.Second)
	s.Liveness.InitialDelay = orElse(s.Liveness.InitialDelay, 310*time.Second)
	s.Liveness.Timeout = orElse(s.Liveness.Timeout, 2*time.Second)
	s.Liveness.SuccessThreshold = orElse(s.Liveness.SuccessThreshold, 1)
	s.Liveness.FailureThreshold = orElse(s.Liveness.FailureThreshold, 3)
	return s
}

func orElse[T time.Duration | int](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// Digests gives the contents of all files, of the source and of models.
func (s Spec) Digests() []string {
	var out []string
	for _, f := range s.Source {
		out = append(out, f.SHA256)
	}
	for _, m := range s.Models {
		for _, f := range m.Files {
			out = append(out, f.SHA256)
		}
	}
	return out
}

// Settings are what of a spec can change while a replica runs.
type Settings struct {
	Liveness     Probe
	DrainTimeout time.Duration
}

// Settings gives the spec's.
func (s Spec) Settings() Settings {
	return Settings{Liveness: s.Liveness, DrainTimeout: s.DrainTimeout}
}

// Template identifies what one replica runs. Specs have the same that differ in
// the number of replicas and in their Settings only. Nor does the scoring timeout
// count: routers keep it.
func (s Spec) Template() string {
	s.Replicas, s.ScoringTimeout, s.DrainTimeout, s.Liveness = 0, 0, 0, Probe{}
	data, err := json.Marshal(s)
	if err != nil { // no field of Spec can fail to marshal
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:12])
}

// same says whether two specs mean the same: as they are stored, an empty list
// is none.
func (s Spec) same(other Spec) bool {
	a, err := json.Marshal(s)
	b, otherErr := json.Marshal(other)
	return err == nil && otherErr == nil && bytes.Equal(a, b)
}

var (
	digestPattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	modelPattern    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}$`)
)

// Validate gives an error that lists all that is wrong with s.
func (s Spec) Validate() error {
	var bad apierr.Violations
	s.validateResources(&bad)
	s.validateTimes(&bad)
	validateFiles(&bad, "spec.source.files", s.Source)
	s.validateRuntime(&bad)
	seen := map[string]int64{}
	for _, m := range s.Models {
		if !modelPattern.MatchString(m.Name) || m.Version < 1 {
			bad.Add("spec.models", "%q version %d is not a model's name and version", m.Name, m.Version)
		}
		if v, ok := seen[m.Name]; ok && v == m.Version {
			bad.Add("spec.models", "%s:%d is there twice", m.Name, m.Version)
		}
		seen[m.Name] = m.Version
		validateFiles(&bad, "spec.models", m.Files)
	}
	for name := range s.Environment {
		if !variablePattern.MatchString(name) {
			bad.Add("spec.environment_variables", "%q is not a variable's name", name)
		}
	}
	return bad.Err()
}

func (s Spec) validateScript(bad *apierr.Violations) {
	if !slices.ContainsFunc(s.Source, func(f File) bool { return f.Path == s.EntryScript }) {
		bad.Add("spec.entry_script", "%q must be one of the source files", s.EntryScript)
	}
}

func (s Spec) validateResources(bad *apierr.Violations) {
	if s.Replicas < 0 {
		bad.Add("spec.replicas", "must be 0 or more, not %d", s.Replicas)
	}
	if s.Request.MilliCPU < 0 || s.Request.MemoryBytes < 0 || s.Request.GPUs < 0 || s.Limit.MilliCPU < 0 || s.Limit.MemoryBytes < 0 {
		bad.Add("spec.resources", "must not be below zero")
	}
	if s.Limit.MilliCPU > 0 && s.Limit.MilliCPU < s.Request.MilliCPU {
		bad.Add("spec.resources.cpu_limit", "must be greater than or equal to cpu: %s is below %s",
			resource.CPU(s.Limit.MilliCPU), resource.CPU(s.Request.MilliCPU))
	}
	if s.Limit.MemoryBytes > 0 && s.Limit.MemoryBytes < s.Request.MemoryBytes {
		bad.Add("spec.resources.memory_limit_bytes", "must be greater than or equal to memory_bytes: %s is below %s",
			resource.Memory(s.Limit.MemoryBytes), resource.Memory(s.Request.MemoryBytes))
	}
}

func (s Spec) validateTimes(bad *apierr.Violations) {
	for field, value := range map[string]time.Duration{
		"spec.scoring_timeout": s.ScoringTimeout, "spec.drain_timeout": s.DrainTimeout,
		"spec.liveness_probe.period": s.Liveness.Period, "spec.liveness_probe.initial_delay": s.Liveness.InitialDelay,
		"spec.liveness_probe.timeout": s.Liveness.Timeout,
	} {
		if value < 0 {
			bad.Add(field, "must be greater than 0, not %s", value)
		}
	}
	if s.MaxConcurrent < 0 || s.Liveness.SuccessThreshold < 0 || s.Liveness.FailureThreshold < 0 {
		bad.Add("spec", "max_concurrent_requests and thresholds must be greater than 0")
	}
}

func validateFiles(bad *apierr.Violations, field string, files []File) {
	seen := map[string]bool{}
	for _, f := range files {
		if !LocalPath(f.Path) {
			bad.Add(field, "%q must be a relative path with slashes, without \".\" or \"..\" parts", f.Path)
		}
		if seen[f.Path] {
			bad.Add(field, "%q is there twice", f.Path)
		}
		seen[f.Path] = true
		if !digestPattern.MatchString(f.SHA256) {
			bad.Add(field, "%q needs its SHA-256 in 64 lower-case hexadecimal digits", f.Path)
		}
		if f.Size < 0 {
			bad.Add(field, "%q cannot have %d bytes", f.Path, f.Size)
		}
	}
}

// LocalPath says whether p stays below the folder that it is relative to.
func LocalPath(p string) bool {
	return p != "" && p != "." && path.Clean(p) == p && !path.IsAbs(p) && p != ".." &&
		!strings.HasPrefix(p, "../") && !strings.ContainsAny(p, "\\\x00")
}
