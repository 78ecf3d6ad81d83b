package requirement

import (
	"errors"
	"fmt"
	"strings"
)

// Specifier is one condition on a version, for example ">=1.2".
type Specifier struct {
	operator string
	text     string
	version  Version
	prefix   bool // of the form 1.2.*
}

// Specifiers are conditions that hold together; none lets every version through.
type Specifiers []Specifier

// operators in the order in which they are looked for.
func operators() []string { return []string{"===", "~=", "==", "!=", "<=", ">=", "<", ">"} }

// ParseSpecifiers reads conditions with commas between them.
func ParseSpecifiers(text string) (Specifiers, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var out Specifiers
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue // pip takes a comma at the end
		}
		s, err := parseSpecifier(part)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func parseSpecifier(text string) (Specifier, error) {
	for _, op := range operators() {
		if rest, ok := strings.CutPrefix(text, op); ok {
			return newSpecifier(op, strings.TrimSpace(rest))
		}
	}
	if strings.HasPrefix(text, "=") {
		return Specifier{}, fmt.Errorf("%q: pip compares with ==, not with =", text)
	}
	return Specifier{}, fmt.Errorf("%q must begin with ==, >=, <=, ~=, !=, < or >", text)
}

func newSpecifier(op, text string) (Specifier, error) {
	s := Specifier{operator: op, text: strings.ToLower(text)}
	if text == "" {
		return Specifier{}, fmt.Errorf("%q needs a version after it", op)
	}
	if op == "===" {
		if strings.ContainsAny(text, " \t") {
			return Specifier{}, fmt.Errorf("%q must not hold spaces", text)
		}
		return s, nil
	}
	plain, prefix := strings.CutSuffix(text, ".*")
	v, err := ParseVersion(plain)
	if err != nil {
		return Specifier{}, err
	}
	s.version, s.prefix = v, prefix
	switch {
	case prefix && op != "==" && op != "!=":
		return Specifier{}, fmt.Errorf("%q: a version with .* goes with == and != only", op+text)
	case prefix && (v.isPre() || v.post.set || v.local != ""):
		return Specifier{}, fmt.Errorf("%q: only a plain release can be followed by .*", op+text)
	case v.local != "" && op != "==" && op != "!=":
		return Specifier{}, fmt.Errorf("%q: a local version (after +) goes with == and != only", op+text)
	case op == "~=" && len(v.release) < 2:
		return Specifier{}, errors.New("~= needs a version with at least two parts, for example ~=1.2")
	}
	return s, nil
}

// String gives the condition without spaces.
func (s Specifier) String() string { return s.operator + s.text }

// String gives all conditions with commas between them.
func (s Specifiers) String() string {
	parts := make([]string, len(s))
	for i, one := range s {
		parts[i] = one.String()
	}
	return strings.Join(parts, ",")
}

// Allow says whether a version satisfies all conditions. Versions before a
// release count as any other: what is installed is what there is.
func (s Specifiers) Allow(v Version) bool {
	for _, one := range s {
		if !one.Allows(v) {
			return false
		}
	}
	return true
}

// Allows says whether a version satisfies the condition.
func (s Specifier) Allows(v Version) bool {
	switch s.operator {
	case "===":
		return s.text == strings.TrimSpace(v.text)
	case "==":
		return s.equal(v)
	case "!=":
		return !s.equal(v)
	case "~=":
		parent := s.version
		parent.release = parent.release[:len(parent.release)-1]
		return v.comparePublic(s.version) >= 0 && v.hasPrefix(parent)
	case "<=":
		return v.comparePublic(s.version) <= 0
	case ">=":
		return v.comparePublic(s.version) >= 0
	case "<":
		// 1.0rc1 is before 1.0, but whoever asks for <1.0 does not mean it.
		return v.comparePublic(s.version) < 0 && (s.version.isPre() || !v.isPre() || !v.sameRelease(s.version))
	default: // >
		return v.comparePublic(s.version) > 0 && (s.version.post.set || !v.post.set || !v.sameRelease(s.version))
	}
}

func (s Specifier) equal(v Version) bool {
	switch {
	case s.prefix:
		return v.hasPrefix(s.version)
	case s.version.local == "":
		return v.comparePublic(s.version) == 0
	}
	return v.Compare(s.version) == 0
}
