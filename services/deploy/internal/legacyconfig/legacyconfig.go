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
	// Version has no models and no source files: those are not in the files.
	Version                  endpoint.VersionInput
	PrimaryKey, SecondaryKey string
	ComputeTarget            string
	SourceDirectory          string
	Violations               []Finding
	Ignored                  []Finding
}

// Read reads both files; either may be empty.
func Read(deployment, inference []byte) Result {
	var r Result
	if top, ok := r.open("deployment_config", deployment); ok {
		r.deployment(top)
	}
	if top, ok := r.open("inference_config", inference); ok {
		r.inference(top)
	}
	return r
}

// open parses a file; false when it is empty or cannot be read.
func (r *Result) open(file string, data []byte) (section, bool) {
	n, err := parse(data)
	switch {
	case err != nil:
		r.violate(file, "is neither JSON nor YAML that can be read: "+err.Error())
		return section{}, false
	case n.empty():
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

func (r *Result) inference(top section) {
	r.entryScript(top)
	if dir, ok := top.text("sourceDirectory"); ok {
		r.SourceDirectory = dir
	}
	environment := top.section("environment")
	r.variables(environment.section("environmentVariables"))
	const noImages = "no image is built: the script runs in the Python of the compute target, with the packages that are installed there"
	for _, key := range []string{"docker", "python", "name", "version", "inferencingStackVersion", "spark", "databricks"} {
		environment.ignore(key, noImages)
	}
	environment.rest("it is not used")
	for _, key := range []string{"runtime", "condaFile", "extraDockerfileSteps", "enableGpu", "baseImage", "baseImageRegistry", "cudaVersion"} {
		top.ignore(key, noImages)
	}
	top.ignore("schemaFile", "the schema comes from the script's own declarations")
	top.rest("the key is not known")
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
