// Package reference reads how users point to a version of something that is
// registered under a name: name:version, the name alone for its newest version,
// or a resource name.
//
// It is pure; errors say what is wrong, without naming a field.
package reference

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/platform/resourcename"
)

// Latest is the word for the newest version.
const Latest = "latest"

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][-a-zA-Z0-9._]{0,254}$`)

// ValidName tells whether something can be registered under a name.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// Ref points to a version; Number 0 means the newest.
type Ref struct {
	Name   string
	Number int64
}

// Kind is what can be pointed to.
type Kind struct {
	noun, article   string
	version, newest resourcename.Pattern
}

// NewKind makes a kind from its word, the word's article, and the collection
// that resource names have it in.
func NewKind(noun, article, collection string) Kind {
	parent := fmt.Sprintf("workspaces/{workspace}/%s/{%s}", collection, noun)
	return Kind{
		noun: noun, article: article,
		version: resourcename.NewPattern(parent + "/versions/{version}"), newest: resourcename.NewPattern(parent),
	}
}

// Parse reads a reference of a workspace.
func (k Kind) Parse(workspace, text string) (Ref, error) {
	name, number, versioned := strings.Cut(text, ":")
	if strings.Contains(text, "/") {
		var err error
		if name, number, err = k.resource(workspace, text); err != nil {
			return Ref{}, err
		}
		versioned = number != ""
	}
	if !ValidName(name) {
		return Ref{}, fmt.Errorf("%q is no %s: give %s:version, the %s's name alone for its newest version, or a resource name", text, k.noun, k.noun, k.noun)
	}
	if !versioned || number == Latest {
		return Ref{Name: name}, nil
	}
	n, err := k.ParseNumber(number)
	if err != nil {
		return Ref{}, err
	}
	return Ref{Name: name, Number: n}, nil
}

// ParseNumber reads a version's number.
func (k Kind) ParseNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("%q is no version of %s %s: versions are 1, 2, 3, … or %q", text, k.article, k.noun, Latest)
	}
	return n, nil
}

func (k Kind) resource(workspace, text string) (name, number string, err error) {
	if resourcename.Workspace(text) != workspace {
		return "", "", fmt.Errorf("%q is not in the workspace %s", text, workspace)
	}
	if values, err := k.version.Parse(text); err == nil {
		return values.Get(k.noun), values.Get("version"), nil
	}
	if values, err := k.newest.Parse(text); err == nil {
		return values.Get(k.noun), "", nil
	}
	return "", "", fmt.Errorf("%q must have the form %s", text, k.version)
}
