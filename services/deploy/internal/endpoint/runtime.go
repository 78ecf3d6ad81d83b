package endpoint

import (
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
)

// RuntimeKind is what answers in the replicas of a version.
type RuntimeKind string

// The kinds of runtimes.
const (
	Script      RuntimeKind = "SCRIPT"
	ONNX        RuntimeKind = "ONNX"
	ScikitLearn RuntimeKind = "SCIKIT_LEARN"
	Custom      RuntimeKind = "CUSTOM"
)

// DefaultBatchDelay is how long a request waits for others where it is not said.
const DefaultBatchDelay = 2 * time.Millisecond

const (
	maxWorkers    = 256
	maxBatchSize  = 4096
	minBatchDelay = 100 * time.Microsecond
	maxBatchDelay = 10 * time.Second
	maxMemoryGB   = 10_000
)

// Runtime is what answers in the replicas of a version, and how. At most the
// settings of its kind are there.
type Runtime struct {
	// Kind is empty in what was stored before there were runtimes: a script.
	Kind   RuntimeKind    `json:"kind"`
	Script *ScriptRuntime `json:"script,omitempty"`
	ONNX   *ONNXRuntime   `json:"onnx,omitempty"`
	Custom *CustomRuntime `json:"custom,omitempty"`
}

// ScriptRuntime says how Python workers run; zero means as it is without.
type ScriptRuntime struct {
	Workers           int     `json:"workers,omitempty"`
	ThreadsPerWorker  int     `json:"threadsPerWorker,omitempty"`
	Preload           bool    `json:"preload,omitempty"`
	MaxWorkerMemoryGB float64 `json:"maxWorkerMemoryGB,omitempty"`
}

// ONNXRuntime says how ONNX Runtime runs a model.
type ONNXRuntime struct {
	ExecutionProviders []string `json:"executionProviders,omitempty"`
	// MaxBatchSize is 0 where requests are not batched.
	MaxBatchSize  int           `json:"maxBatchSize,omitempty"`
	MaxBatchDelay time.Duration `json:"maxBatchDelay,omitempty"`
}

// CustomRuntime names a server of the user's own.
type CustomRuntime struct {
	Command        []string `json:"command,omitempty"`
	Image          string   `json:"image,omitempty"`
	Port           int      `json:"port,omitempty"`
	GRPC           bool     `json:"grpc,omitempty"`
	HealthRoute    string   `json:"healthRoute,omitempty"`
	ReadinessRoute string   `json:"readinessRoute,omitempty"`
	ScoringRoute   string   `json:"scoringRoute,omitempty"`
}

// RuntimeInput is Runtime as a user writes it; an empty Kind means that it
// follows from the rest.
type RuntimeInput struct {
	Kind   RuntimeKind
	Script *ScriptRuntime
	ONNX   *ONNXInput
	Custom *CustomRuntime
}

// ONNXInput is ONNXRuntime as a user writes it.
type ONNXInput struct {
	ExecutionProviders []string
	MaxBatchSize       int
	MaxBatchDelay      *time.Duration
}

// RuntimeKind is what answers in the version's replicas.
func (s Spec) RuntimeKind() RuntimeKind { return s.Runtime.kind() }

func (r Runtime) kind() RuntimeKind {
	if r.Kind == "" {
		return Script
	}
	return r.Kind
}

// normal leaves out settings that say nothing.
func (r Runtime) normal() Runtime {
	r.Kind = r.kind()
	if r.Script != nil && *r.Script == (ScriptRuntime{}) {
		r.Script = nil
	}
	if r.ONNX != nil && len(r.ONNX.ExecutionProviders) == 0 && r.ONNX.MaxBatchSize == 0 {
		r.ONNX = nil
	}
	return r
}

// runtime checks what is said of the runtime, or finds what it follows to be.
func (in SpecInput) runtime(field string, v *apierr.Violations) Runtime {
	at := field + ".runtime"
	given := in.Runtime
	r := Runtime{Kind: given.Kind}
	if r.Kind == "" {
		r.Kind = in.follows()
	}
	if r.Kind == "" {
		v.Add(field+".entry_script", "must be given: the path of the scoring script, one of source_files. %s", in.withoutScript())
		return Runtime{Kind: Script}
	}
	in.entryScript(field, r.Kind, v)
	if given.Script != nil {
		fits(at+".script", r.Kind, v, Script, ScikitLearn)
		r.Script = given.Script.checked(at+".script", v)
	}
	if given.ONNX != nil {
		fits(at+".onnx", r.Kind, v, ONNX)
		r.ONNX = given.ONNX.runtime(at+".onnx", v)
	}
	if given.Custom != nil {
		fits(at+".custom", r.Kind, v, Custom)
		r.Custom = given.Custom.checked(at+".custom", v)
	}
	switch {
	case r.Kind == Custom && given.Custom == nil:
		v.Add(at+".custom", "must be given with runtime.kind CUSTOM: at least command or image")
	case (r.Kind == ONNX || r.Kind == ScikitLearn) && !in.ModelsUnknown && len(in.Models) != 1:
		v.Add(field+".models", "must be one model with runtime.kind %s, not %d", r.Kind, len(in.Models))
	}
	return r.normal()
}

// follows gives the kind that the rest of the input means; "" when it means none.
func (in SpecInput) follows() RuntimeKind {
	switch {
	case in.EntryScript != "" || in.ModelsUnknown:
		return Script
	case in.Runtime.Custom != nil:
		return Custom
	case in.Runtime.ONNX != nil:
		return ONNX
	case len(in.Models) == 1:
		return servedAlone(in.Framework)
	}
	return ""
}

// servedAlone gives the kind that serves models of a framework without a script;
// "" when there is none. Frameworks are words of people: case and dashes do not matter.
func servedAlone(framework string) RuntimeKind {
	switch strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(framework)) {
	case "onnx":
		return ONNX
	case "scikitlearn", "sklearn":
		return ScikitLearn
	}
	return ""
}

// withoutScript says what is missing for a version without an entry script.
func (in SpecInput) withoutScript() string {
	const what = "A single model is served without one when it is registered with the framework Onnx or ScikitLearn (--model-framework), or when the version says with which runtime (onnx or scikitLearn)"
	switch {
	case len(in.Models) == 0:
		return what + "; this version has no model"
	case len(in.Models) > 1:
		return what + "; this version has several models"
	case in.Framework == "":
		return what + "; model " + in.Models[0].Model + " has no framework"
	}
	return what + "; model " + in.Models[0].Model + " has the framework " + in.Framework
}

func (in SpecInput) entryScript(field string, kind RuntimeKind, v *apierr.Violations) {
	switch {
	case kind == Script && in.EntryScript == "" && in.ModelsUnknown && in.Runtime.Kind == "":
		// What is wrong with the models is said already; with them there may be no need of a script.
	case kind == Script:
		checkScript(field, in.SourceFiles, in.EntryScript, v)
	case in.EntryScript != "":
		v.Add(field+".entry_script", "must be left out with runtime.kind %s, which runs no script; give runtime.kind SCRIPT to run it", kind)
	}
}

// fits refuses settings of another kind than the one that is chosen.
func fits(field string, kind RuntimeKind, v *apierr.Violations, of ...RuntimeKind) {
	if !slices.Contains(of, kind) {
		v.Add(field, "has no effect with runtime.kind %s; leave it out, or give another kind", kind)
	}
}

func (s ScriptRuntime) checked(field string, v *apierr.Violations) *ScriptRuntime {
	upTo(field+".workers", s.Workers, maxWorkers, v)
	upTo(field+".threads_per_worker", s.ThreadsPerWorker, maxWorkers, v)
	amount(field+".max_worker_memory_gb", s.MaxWorkerMemoryGB, 0, 0.01, maxMemoryGB, v)
	return &s
}

func upTo(field string, given, most int, v *apierr.Violations) {
	if given < 0 || given > most {
		v.Add(field, "must be 0 to %d, not %d", most, given)
	}
}

// executionProviders are those that there are, by the word that users write.
func executionProviders() []string { return []string{"CUDA", "TensorRT", "OpenVINO", "CPU"} }

func (in ONNXInput) runtime(field string, v *apierr.Violations) *ONNXRuntime {
	out := &ONNXRuntime{}
	for i, name := range in.ExecutionProviders {
		known := slices.IndexFunc(executionProviders(), func(p string) bool { return strings.EqualFold(p, name) })
		switch {
		case known < 0:
			v.Add(field+".execution_providers", "has %q; there are %s", name, strings.Join(executionProviders(), ", "))
		case slices.Contains(out.ExecutionProviders, executionProviders()[known]):
			v.Add(field+".execution_providers", "has %s more than once, at %d again", executionProviders()[known], i)
		default:
			out.ExecutionProviders = append(out.ExecutionProviders, executionProviders()[known])
		}
	}
	upTo(field+".batching.max_size", in.MaxBatchSize, maxBatchSize, v)
	if d := in.MaxBatchDelay; d != nil && (*d < minBatchDelay || *d > maxBatchDelay) {
		v.Add(field+".batching.max_delay", "must be %s to %s, not %s", minBatchDelay, maxBatchDelay, *d)
	}
	if in.MaxBatchSize < 2 {
		if in.MaxBatchDelay != nil {
			v.Add(field+".batching.max_delay", "has no effect without batching.max_size of at least 2")
		}
		return out
	}
	out.MaxBatchSize, out.MaxBatchDelay = in.MaxBatchSize, DefaultBatchDelay
	if in.MaxBatchDelay != nil {
		out.MaxBatchDelay = *in.MaxBatchDelay
	}
	return out
}

func (c CustomRuntime) checked(field string, v *apierr.Violations) *CustomRuntime {
	if len(c.Command) == 0 && c.Image == "" {
		v.Add(field+".command", "must be given: the program that serves, with its arguments; or an image, where replicas are containers")
	}
	for i, word := range c.Command {
		if strings.ContainsRune(word, 0) || i == 0 && strings.TrimSpace(word) == "" {
			v.Add(field+".command", "has a word that is no program or argument at %d", i)
		}
	}
	if strings.ContainsAny(c.Image, " \t\r\n\x00") {
		v.Add(field+".image", "must not hold white space, %q does", c.Image)
	}
	upTo(field+".port", c.Port, 65535, v)
	route(field+".health_route", c.HealthRoute, v)
	route(field+".readiness_route", c.ReadinessRoute, v)
	route(field+".scoring_route", c.ScoringRoute, v)
	return &c
}

func route(field, given string, v *apierr.Violations) {
	if given != "" && (!strings.HasPrefix(given, "/") || strings.ContainsAny(given, " \t\r\n\x00#")) {
		v.Add(field, "must be a path that begins with a slash, without white space or #, not %q", given)
	}
}
