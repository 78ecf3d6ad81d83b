// Package resourcename builds and reads resource names such as
// workspaces/default/endpoints/diabetes. It is pure; its values are immutable.
package resourcename

import (
	"strings"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Format joins alternating collections and ids to a name.
func Format(segments ...string) string { return strings.Join(segments, "/") }

// Last gives the last segment of name.
func Last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// Workspace gives the id of the workspace that name is in, or "" when it is in none.
func Workspace(name string) string {
	rest, ok := strings.CutPrefix(name, "workspaces/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// Pattern is the shape of a kind of resource name.
type Pattern struct {
	text     string
	segments []string
}

// NewPattern reads a pattern such as "workspaces/{workspace}/models/{model}".
func NewPattern(text string) Pattern {
	return Pattern{text: text, segments: strings.Split(text, "/")}
}

// Values are the variables of a name.
type Values map[string]string

// Get gives the value of a variable of the pattern.
func (v Values) Get(variable string) string { return v[variable] }

// Parse reads a name of this shape; the error names what was expected.
func (p Pattern) Parse(name string) (Values, error) { return p.ParseField("name", name) }

// ParseField is Parse for a name that came in the given request field.
func (p Pattern) ParseField(field, name string) (Values, error) {
	parts := strings.Split(name, "/")
	if len(parts) != len(p.segments) {
		return nil, p.mismatch(field, name)
	}
	values := Values{}
	for i, s := range p.segments {
		if variable, ok := strings.CutPrefix(s, "{"); ok {
			if parts[i] == "" {
				return nil, p.mismatch(field, name)
			}
			values[strings.TrimSuffix(variable, "}")] = parts[i]
		} else if parts[i] != s {
			return nil, p.mismatch(field, name)
		}
	}
	return values, nil
}

// Matches says whether name has this shape.
func (p Pattern) Matches(name string) bool {
	_, err := p.Parse(name)
	return err == nil
}

// String gives the pattern as it was written.
func (p Pattern) String() string { return p.text }

func (p Pattern) mismatch(field, name string) error {
	return apierr.Invalid(apierr.Violation{Field: field, Description: "must have the form " + p.text + ", not " + quote(name)})
}

func quote(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "…"
	}
	return `"` + s + `"`
}
