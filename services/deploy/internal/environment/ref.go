package environment

import "github.com/fairlead/fairlead/services/deploy/internal/reference"

var kind = reference.NewKind("environment", "an", "environments")

// Ref points to a version of an environment; Number 0 means the newest.
type Ref = reference.Ref

// ParseRef reads "environment", "environment:version" or a resource name, with a
// number or "latest" as version. The error says what is wrong, without naming a field.
func ParseRef(workspace, text string) (Ref, error) { return kind.Parse(workspace, text) }

// ParseNumber reads a version's number.
func ParseNumber(text string) (int64, error) { return kind.ParseNumber(text) }
