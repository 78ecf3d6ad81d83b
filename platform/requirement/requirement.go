package requirement

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Requirement is one line of what pip understands: a package, its extras, the
// versions that are right, and where it applies.
type Requirement struct {
	// Name is the package as it was written; Key compares names.
	Name   string
	Extras []string
	// Versions are the conditions; none means any version.
	Versions Specifiers
	// URL is where the package comes from instead of an index; empty for none.
	URL string
	// Marker says where the requirement applies; its zero value is everywhere.
	Marker Marker
}

const maxRequirement = 4096

var (
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?`)
	wholeName    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	separators   = regexp.MustCompile(`[-_.]+`)
	errEmpty     = errors.New("it is empty")
	errNoPackage = errors.New("it must begin with the name of a package")
)

// Key gives the form of a package's name in which names are compared.
func Key(name string) string { return strings.ToLower(separators.ReplaceAllString(name, "-")) }

// Parse reads a requirement, for example
// "scikit-learn[alldeps]>=1.2,<2; python_version >= '3.9'".
func Parse(text string) (Requirement, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return Requirement{}, errEmpty
	case len(text) > maxRequirement:
		return Requirement{}, fmt.Errorf("it has %d characters, at most %d are possible", len(text), maxRequirement)
	}
	var r Requirement
	r.Name = namePattern.FindString(text)
	if r.Name == "" {
		return Requirement{}, errNoPackage
	}
	rest := strings.TrimSpace(text[len(r.Name):])
	var err error
	if r.Extras, rest, err = cutExtras(rest); err != nil {
		return Requirement{}, err
	}
	if url, ok := strings.CutPrefix(rest, "@"); ok {
		return r.fromURL(strings.TrimSpace(url))
	}
	conditions, marker, marked := strings.Cut(rest, ";")
	if marked {
		if r.Marker, err = ParseMarker(marker); err != nil {
			return Requirement{}, err
		}
	}
	if r.Versions, err = parseConditions(strings.TrimSpace(conditions)); err != nil {
		return Requirement{}, err
	}
	return r, nil
}

// cutExtras takes "[a,b]" off the beginning.
func cutExtras(text string) (extras []string, rest string, err error) {
	if !strings.HasPrefix(text, "[") {
		return nil, text, nil
	}
	inside, rest, ok := strings.Cut(text[1:], "]")
	if !ok {
		return nil, "", errors.New("the bracket of its extras is not closed")
	}
	if strings.TrimSpace(inside) == "" {
		return nil, strings.TrimSpace(rest), nil
	}
	for extra := range strings.SplitSeq(inside, ",") {
		extra = strings.TrimSpace(extra)
		if !wholeName.MatchString(extra) {
			return nil, "", fmt.Errorf("%q is not the name of an extra", extra)
		}
		extras = append(extras, extra)
	}
	return extras, strings.TrimSpace(rest), nil
}

func (r Requirement) fromURL(text string) (Requirement, error) {
	// A URL may hold a semicolon; the marker's has a space before it.
	url, marker, marked := strings.Cut(text, " ;")
	if marked {
		var err error
		if r.Marker, err = ParseMarker(marker); err != nil {
			return Requirement{}, err
		}
	}
	r.URL = strings.TrimSpace(url)
	if r.URL == "" || strings.ContainsAny(r.URL, " \t") {
		return Requirement{}, fmt.Errorf("%q is not a URL", r.URL)
	}
	return r, nil
}

func parseConditions(text string) (Specifiers, error) {
	if inside, ok := strings.CutPrefix(text, "("); ok {
		inside, ok = strings.CutSuffix(inside, ")")
		if !ok {
			return nil, errors.New("the parenthesis of its versions is not closed")
		}
		text = inside
	}
	if text != "" && !strings.ContainsAny(text[:1], "=<>!~") {
		return nil, fmt.Errorf("%q is not expected after the name: versions follow as in >=1.2,<2", text)
	}
	return ParseSpecifiers(text)
}

// String gives the requirement in pip's words.
func (r Requirement) String() string {
	text := r.Name
	if len(r.Extras) > 0 {
		text += "[" + strings.Join(r.Extras, ",") + "]"
	}
	if r.URL != "" {
		text += " @ " + r.URL
	} else {
		text += r.Versions.String()
	}
	if marker := r.Marker.String(); marker != "" {
		if r.URL != "" {
			text += " "
		}
		text += "; " + marker
	}
	return text
}
