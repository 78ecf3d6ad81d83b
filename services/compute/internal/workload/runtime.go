package workload

import (
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
)

// RuntimeKind is what answers in a replica, by the scorer's word for it.
type RuntimeKind string

// The kinds of runtimes.
const (
	Script      RuntimeKind = "script"
	ONNX        RuntimeKind = "onnx"
	ScikitLearn RuntimeKind = "scikit-learn"
	Custom      RuntimeKind = "custom"
)

// Runtime is what answers in a replica, with the settings of its kind. One that
// is nil is a script without settings, so that what was stored before there were
// others keeps its template.
type Runtime struct {
	Kind    RuntimeKind    `json:"kind"`
	Workers Workers        `json:"workers,omitzero"` // of script and scikit-learn
	ONNX    ONNXSettings   `json:"onnx,omitzero"`
	Custom  CustomSettings `json:"custom,omitzero"`
}

// Workers says how Python workers run; zero means as it is without.
type Workers struct {
	Count          int   `json:"count,omitempty"`
	Threads        int   `json:"threads,omitempty"`
	Preload        bool  `json:"preload,omitempty"`
	MaxMemoryBytes int64 `json:"maxMemoryBytes,omitempty"`
}

// ONNXSettings say how ONNX Runtime runs the model.
type ONNXSettings struct {
	ExecutionProviders []string      `json:"executionProviders,omitempty"`
	MaxBatchSize       int           `json:"maxBatchSize,omitempty"` // below 2 nothing is batched
	MaxBatchDelay      time.Duration `json:"maxBatchDelay,omitempty"`
}

// CustomSettings name a server of the user's own.
type CustomSettings struct {
	Command        []string `json:"command,omitempty"`
	Image          string   `json:"image,omitempty"`
	Port           int      `json:"port,omitempty"`
	GRPC           bool     `json:"grpc,omitempty"`
	HealthRoute    string   `json:"healthRoute,omitempty"`
	ReadinessRoute string   `json:"readinessRoute,omitempty"`
	ScoringRoute   string   `json:"scoringRoute,omitempty"`
}

// RuntimeKind is what answers in the workload's replicas.
func (s Spec) RuntimeKind() RuntimeKind {
	if s.Runtime == nil {
		return Script
	}
	return s.Runtime.Kind
}

// Workers are the settings of the Python workers.
func (s Spec) Workers() Workers {
	if s.Runtime == nil {
		return Workers{}
	}
	return s.Runtime.Workers
}

// validateRuntime checks that the spec has what its runtime needs.
func (s Spec) validateRuntime(bad *apierr.Violations) {
	switch kind := s.RuntimeKind(); kind {
	case Script:
		s.validateScript(bad)
	case ONNX, ScikitLearn:
		if len(s.Models) != 1 {
			bad.Add("spec.models", "must be one model for the runtime %s, not %d", kind, len(s.Models))
		}
	case Custom:
		if len(s.Runtime.Custom.Command) == 0 && s.Runtime.Custom.Image == "" {
			bad.Add("spec.runtime.custom.command", "must be given, or an image")
		}
	}
}

// ProcessRefusal says why a target whose replicas are processes cannot run the
// spec; "" when it can.
func (s Spec) ProcessRefusal() string {
	if s.RuntimeKind() != Custom || s.Runtime.Custom.Image == "" {
		return ""
	}
	return "names the image " + s.Runtime.Custom.Image + ", but replicas of this compute target are processes of its machine, not containers; " +
		"give the server's program and arguments as command, or choose a target that runs containers"
}
