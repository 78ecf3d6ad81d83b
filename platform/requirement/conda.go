package requirement

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Conda is a package as conda's match specifications name it.
type Conda struct {
	Channel string
	Name    string
	Build   string // empty means any
	// Alternatives are sets of conditions of which one must hold; none lets every
	// version through.
	Alternatives []Specifiers
	text         string
}

var (
	condaName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*`)
	condaBuild = regexp.MustCompile(`^[A-Za-z0-9_.*+-]+$`)
)

// ParseConda reads a match specification, for example "numpy", "numpy=1.24",
// "numpy>=1.2,<2", "numpy 1.24.*", "conda-forge::numpy=1.24=py311_0".
func ParseConda(text string) (Conda, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return Conda{}, errEmpty
	case len(text) > maxRequirement:
		return Conda{}, fmt.Errorf("it has %d characters, at most %d are possible", len(text), maxRequirement)
	case strings.Contains(text, "["):
		return Conda{}, errors.New("conditions in brackets are not read: write name>=version,<version")
	}
	c := Conda{text: text}
	rest := text
	if channel, after, ok := strings.Cut(text, "::"); ok {
		if channel == "" {
			return Conda{}, errors.New("the channel before :: is missing")
		}
		c.Channel, rest = channel, after
	}
	c.Name = condaName.FindString(rest)
	if c.Name == "" {
		return Conda{}, errNoPackage
	}
	rest = strings.TrimSpace(rest[len(c.Name):])
	if rest == "" || rest == "*" {
		return c, nil
	}
	return c.withVersion(rest)
}

// withVersion reads what follows the name: "=1.24", "=1.24=build", ">=1.2,<2", "1.24.* build".
func (c Conda) withVersion(rest string) (Conda, error) {
	var version string
	switch fields := strings.Fields(rest); {
	case len(fields) == 2 && !strings.HasSuffix(fields[0], ",") && !strings.ContainsAny(fields[1][:1], "=<>!~,|") && isPlain(fields[0]):
		version, c.Build = fields[0], fields[1]
	default:
		version = strings.Join(fields, "")
	}
	if fuzzy, ok := strings.CutPrefix(version, "="); ok && !strings.HasPrefix(fuzzy, "=") {
		before, build, built := strings.Cut(fuzzy, "=")
		version = "=" + before
		if built {
			version, c.Build = "=="+before, build
			if strings.HasSuffix(before, "*") {
				version = "=" + before
			}
		}
	}
	if c.Build == "*" {
		c.Build = ""
	}
	if c.Build != "" && !condaBuild.MatchString(c.Build) {
		return Conda{}, fmt.Errorf("%q is not a build", c.Build)
	}
	for alternative := range strings.SplitSeq(version, "|") {
		set, err := condaConditions(alternative)
		if err != nil {
			return Conda{}, err
		}
		if len(set) == 0 { // one that always holds
			c.Alternatives = nil
			return c, nil
		}
		c.Alternatives = append(c.Alternatives, set)
	}
	return c, nil
}

func isPlain(version string) bool { return !strings.ContainsAny(version[:1], "<>!~") }

func condaConditions(text string) (Specifiers, error) {
	var out Specifiers
	for part := range strings.SplitSeq(text, ",") {
		s, err := condaCondition(part)
		if err != nil {
			return nil, err
		}
		if s != nil {
			out = append(out, *s)
		}
	}
	return out, nil
}

// condaCondition turns one of conda's conditions into pip's; nil holds always.
func condaCondition(text string) (*Specifier, error) {
	op, version := "", text
	for _, known := range append(operators(), "=") {
		if rest, ok := strings.CutPrefix(text, known); ok {
			op, version = known, rest
			break
		}
	}
	version = strings.TrimSpace(version)
	if version == "" {
		return nil, fmt.Errorf("%q needs a version", text)
	}
	if version == "*" {
		return nil, nil
	}
	prefix := strings.TrimSuffix(strings.TrimSuffix(version, "*"), ".")
	wild := prefix != version
	switch {
	case op == "=" || op == "" && wild || op == "==" && wild:
		op, version = "==", prefix+".*"
	case op == "!=" && wild:
		version = prefix + ".*"
	case wild:
		version = prefix // conda takes >=1.2.* for >=1.2
	case op == "":
		op = "=="
	}
	s, err := newSpecifier(op, version)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// Allows says whether a version satisfies the specification.
func (c Conda) Allows(v Version) bool {
	for _, set := range c.Alternatives {
		if set.Allow(v) {
			return true
		}
	}
	return len(c.Alternatives) == 0
}

// String gives the specification as it was written.
func (c Conda) String() string { return c.text }
