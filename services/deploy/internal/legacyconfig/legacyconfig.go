// Package legacyconfig reads the deployment and inference configuration files of
// the product that Fairlead replaces.
//
// The reader is tolerant where that is harmless: JSON or YAML, keys and words in
// any case, numbers and truth values in quotes, empty values for not given. It
// reports everything that is wrong, by the key as the file has it, and names
// everything that it does not use, with the reason. It is pure and keeps no
// state.
package legacyconfig

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
)

// Finding is something to know about one key of a file.
type Finding struct {
	Field       string
	Description string
}

// Result is what the files ask for. Fields with a violation are left out.
type Result struct {
	// Auth is empty when the file does not say.
	Auth endpoint.AuthMode
	// VersionID is empty when the file gives none.
	VersionID string
	// Telemetry is nil when the file does not say.
	Telemetry *bool
	// Version has no models and no source files: those are not in the files.
	Version endpoint.VersionInput
	// Environment is what is to be registered; nil when nothing is.
	Environment *Environment
	// EnvironmentRef names a registered environment, name:version or name.
	EnvironmentRef           string
	PrimaryKey, SecondaryKey string
	ComputeTarget            string
	SourceDirectory          string
	Violations               []Finding
	Ignored                  []Finding
	// Missing are the files that are named and whose contents were not given, by
	// the path as it is written.
	Missing []string
}

// Input are the texts to read; each may be empty.
type Input struct {
	Deployment, Inference []byte
	// Files are the contents of files that the inference configuration names, by
	// the path as it is written there; nil for one that does not exist.
	Files map[string][]byte
}

// Read reads the files.
func Read(in Input) Result {
	var r Result
	if top, ok := r.open("deployment_config", in.Deployment); ok {
		r.deployment(top)
	}
	if top, ok := r.open("inference_config", in.Inference); ok {
		r.inference(top, in.Files)
	}
	return r
}

// open parses a file; false when it is empty or cannot be read.
func (r *Result) open(file string, data []byte) (section, bool) {
	n, err := parse(data)
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return section{}, false
	case err != nil:
		r.violate(file, "is neither JSON nor YAML that can be read: "+err.Error())
		return section{}, false
	case n.fields == nil:
		r.violate(file, "must be an object of keys and values")
		return section{}, false
	}
	return newSection(r, "", n), true
}

func (r *Result) violate(field, description string) {
	r.Violations = append(r.Violations, Finding{Field: field, Description: description})
}

func (r *Result) ignore(field, why string) {
	r.Ignored = append(r.Ignored, Finding{Field: field, Description: why})
}

func (r *Result) entryScript(top section) {
	script, ok := top.text("entryScript")
	script = strings.TrimPrefix(strings.ReplaceAll(script, `\`, "/"), "./")
	field := top.name("entryScript")
	switch {
	case !ok && top.has("entryScript"): // said already
	case !ok:
		r.violate(field, "must be given: the path of the scoring script")
	case !strings.HasSuffix(script, ".py"):
		r.violate(field, "must end in .py")
	case strings.HasPrefix(script, "/") || slices.Contains(strings.Split(script, "/"), ".."):
		r.violate(field, "must be a path inside sourceDirectory")
	default:
		r.Version.Spec.EntryScript = script
	}
}

func (r *Result) variables(s section) {
	for _, key := range slices.Sorted(maps.Keys(s.fields)) {
		written := s.fields[key].key
		value, ok := s.text(written)
		if !ok {
			continue
		}
		if !endpoint.VariableName(written) {
			r.violate(s.name(written), "is no name of an environment variable")
			continue
		}
		if r.Version.Spec.Environment == nil {
			r.Version.Spec.Environment = map[string]string{}
		}
		r.Version.Spec.Environment[written] = value
	}
}
