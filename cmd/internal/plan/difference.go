package plan

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Difference is one field that changes. Before and After are JSON, empty for not set.
type Difference struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// specOf gives a version without its traffic and without what the server says of it.
func specOf(v *deployv1.EndpointVersion) *deployv1.EndpointVersion {
	fields := []string{"source_files"}
	for _, name := range manifest.VersionFields() {
		if name != "traffic_percentile" && name != "type" {
			fields = append(fields, string(name))
		}
	}
	out := deployment.Changed(v, fields)
	out.Name = ""
	return out
}

// differences compares two versions field by field; source files by their digests.
func differences(before, after *deployv1.EndpointVersion) []Difference {
	return compare(versionFields(before), versionFields(after))
}

func endpointDifferences(before, after *deployv1.Endpoint) []Difference {
	return compare(flat(ownFields(before)), flat(ownFields(after)))
}

// newEndpoint gives all that an endpoint has itself, as differences from nothing.
func newEndpoint(e *deployv1.Endpoint) []Difference {
	own := ownFields(e)
	own.ComputeTarget = resourcename.Last(e.GetComputeTarget())
	return compare(map[string]string{}, flat(own))
}

// ownFields gives an endpoint without its versions and what the server says of it.
func ownFields(e *deployv1.Endpoint) *deployv1.Endpoint {
	return &deployv1.Endpoint{
		Description: e.GetDescription(), Tags: e.GetTags(), Properties: e.GetProperties(), AuthMode: e.GetAuthMode(), TelemetryEnabled: e.GetTelemetryEnabled(),
	}
}

func compare(before, after map[string]string) []Difference {
	all := maps.Clone(before)
	maps.Copy(all, after)
	var out []Difference
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if before[field] != after[field] {
			out = append(out, Difference{Field: field, Before: before[field], After: after[field]})
		}
	}
	return out
}

func versionFields(v *deployv1.EndpointVersion) map[string]string {
	plain := proto.CloneOf(v)
	plain.SourceFiles = nil
	out := flat(plain)
	for _, f := range v.GetSourceFiles() {
		out["sourceFiles."+f.GetPath()] = f.GetSha256()[:min(12, len(f.GetSha256()))]
	}
	return out
}

// flat gives the fields of a message by their paths, as JSON.
func flat(m proto.Message) map[string]string {
	out := map[string]string{}
	text, err := protojson.Marshal(m)
	if err != nil {
		return out // a message that came from the server always marshals
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return out
	}
	flatten("", fields, out)
	return out
}

func flatten(prefix string, fields map[string]any, out map[string]string) {
	for name, value := range fields {
		if inner, ok := value.(map[string]any); ok {
			flatten(prefix+name+".", inner, out)
			continue
		}
		text, err := json.Marshal(value)
		if err != nil { // what came from JSON goes back to it
			continue
		}
		out[prefix+name] = word(string(text))
	}
}

// word writes enumerations as files have them.
func word(text string) string {
	for _, prefix := range []string{`"AUTH_MODE_`, `"TYPE_`, `"KIND_`, `"PROTOCOL_`} {
		if strings.HasPrefix(text, prefix) {
			return `"` + manifest.Word(text, prefix)
		}
	}
	return text
}
