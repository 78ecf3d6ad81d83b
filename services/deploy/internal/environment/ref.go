package environment

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/platform/resourcename"
)

var (
	namePattern        = regexp.MustCompile(`^[a-zA-Z0-9][-a-zA-Z0-9._]{0,254}$`)
	versionPattern     = resourcename.NewPattern("workspaces/{workspace}/environments/{environment}/versions/{version}")
	environmentPattern = resourcename.NewPattern("workspaces/{workspace}/environments/{environment}")
)

// Ref points to a version of an environment; Number 0 means the newest.
type Ref struct {
	Name   string
	Number int64
}

// ParseRef reads "environment", "environment:version" or a resource name, with a
// number or "latest" as version. The error says what is wrong, without naming a field.
func ParseRef(workspace, text string) (Ref, error) {
	name, number, versioned := strings.Cut(text, ":")
	if strings.Contains(text, "/") {
		var err error
		if name, number, err = parseResourceName(workspace, text); err != nil {
			return Ref{}, err
		}
		versioned = number != ""
	}
	if !namePattern.MatchString(name) {
		return Ref{}, fmt.Errorf("%q is no environment: give environment:version, the environment's name alone for its newest version, or a resource name", text)
	}
	if !versioned || number == Latest {
		return Ref{Name: name}, nil
	}
	n, err := ParseNumber(number)
	if err != nil {
		return Ref{}, err
	}
	return Ref{Name: name, Number: n}, nil
}

// ParseNumber reads a version's number.
func ParseNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("%q is no version of an environment: versions are 1, 2, 3, … or %q", text, Latest)
	}
	return n, nil
}

func parseResourceName(workspace, text string) (name, number string, err error) {
	if resourcename.Workspace(text) != workspace {
		return "", "", fmt.Errorf("%q is not in the workspace %s", text, workspace)
	}
	if values, err := versionPattern.Parse(text); err == nil {
		return values.Get("environment"), values.Get("version"), nil
	}
	if values, err := environmentPattern.Parse(text); err == nil {
		return values.Get("environment"), "", nil
	}
	return "", "", fmt.Errorf("%q must have the form %s", text, versionPattern)
}
