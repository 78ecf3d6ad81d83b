package model

import "github.com/fairlead/fairlead/services/deploy/internal/reference"

var kind = reference.NewKind("model", "a", "models")

// Ref points to a version of a model; Number 0 means the newest.
type Ref struct {
	Model  string
	Number int64
}

// ParseRef reads "model", "model:version" or a resource name, with a number or
// "latest" as version. The error says what is wrong, without naming a field.
func ParseRef(workspace, text string) (Ref, error) {
	r, err := kind.Parse(workspace, text)
	return Ref{Model: r.Name, Number: r.Number}, err
}

// ParseNumber reads a version's number.
func ParseNumber(text string) (int64, error) { return kind.ParseNumber(text) }
