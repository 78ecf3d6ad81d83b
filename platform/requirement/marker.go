package requirement

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Marker says where a requirement applies, for example on one platform only.
type Marker struct {
	text string
	root *markerNode
}

// markerNode is "left operator right" of values, or of nodes where the operator
// is "and" or "or".
type markerNode struct {
	operator    string
	left, right *markerNode
	a, b        markerValue
}

type markerValue struct {
	text     string
	variable bool
}

const maxMarkerDepth = 32

// markerVariables are what a marker may ask about.
func markerVariables() []string {
	return []string{
		"python_version", "python_full_version", "os_name", "sys_platform", "platform_release", "platform_system",
		"platform_version", "platform_machine", "platform_python_implementation", "implementation_name", "implementation_version", "extra",
	}
}

// ParseMarker reads a marker.
func ParseMarker(text string) (Marker, error) {
	text = strings.TrimSpace(text)
	tokens, err := markerTokens(text)
	if err != nil {
		return Marker{}, err
	}
	p := &markerParser{tokens: tokens}
	root, err := p.or(0)
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%q is not expected", p.tokens[0])
	}
	if err != nil {
		return Marker{}, fmt.Errorf("its marker %q cannot be read: %w", text, err)
	}
	return Marker{text: text, root: root}, nil
}

// String gives the marker as it was written; empty for everywhere.
func (m Marker) String() string { return m.text }

// Holds evaluates the marker for the values of an interpreter. Variables that
// are not given are empty; "extra" is so unless it is given.
func (m Marker) Holds(values map[string]string) bool {
	return m.root == nil || m.root.holds(values)
}

func (n *markerNode) holds(values map[string]string) bool {
	switch n.operator {
	case "and":
		return n.left.holds(values) && n.right.holds(values)
	case "or":
		return n.left.holds(values) || n.right.holds(values)
	}
	a, b := n.a.of(values), n.b.of(values)
	switch n.operator {
	case "in":
		return strings.Contains(b, a)
	case "not in":
		return !strings.Contains(b, a)
	}
	if v, err := ParseVersion(a); err == nil {
		if s, err := newSpecifier(n.operator, b); err == nil {
			return s.Allows(v)
		}
	}
	return compareText(n.operator, a, b)
}

func compareText(operator, a, b string) bool {
	switch operator {
	case "==", "===":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	case ">=":
		return a >= b
	}
	return false // ~= of what are not versions
}

func (v markerValue) of(values map[string]string) string {
	if v.variable {
		return values[v.text]
	}
	return v.text
}

// markerParser takes tokens from the front.
type markerParser struct{ tokens []string }

func (p *markerParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *markerParser) take() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *markerParser) or(depth int) (*markerNode, error) {
	return p.chain("or", func() (*markerNode, error) {
		return p.chain("and", func() (*markerNode, error) { return p.term(depth) })
	})
}

func (p *markerParser) chain(operator string, next func() (*markerNode, error)) (*markerNode, error) {
	left, err := next()
	for err == nil && p.peek() == operator {
		p.take()
		var right *markerNode
		right, err = next()
		left = &markerNode{operator: operator, left: left, right: right}
	}
	return left, err
}

func (p *markerParser) term(depth int) (*markerNode, error) {
	if p.peek() == "(" {
		if depth >= maxMarkerDepth {
			return nil, errors.New("it is nested too deeply")
		}
		p.take()
		inside, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.take() != ")" {
			return nil, errors.New("a parenthesis is not closed")
		}
		return inside, nil
	}
	a, err := p.value()
	if err != nil {
		return nil, err
	}
	operator, err := p.operator()
	if err != nil {
		return nil, err
	}
	b, err := p.value()
	if err != nil {
		return nil, err
	}
	if !a.variable && !b.variable {
		return nil, fmt.Errorf("%q is compared with %q: one of them must be a variable such as python_version", a.text, b.text)
	}
	return &markerNode{operator: operator, a: a, b: b}, nil
}

func (p *markerParser) operator() (string, error) {
	t := p.take()
	switch {
	case t == "not" && p.peek() == "in":
		p.take()
		return "not in", nil
	case t == "in" || slices.Contains(operators(), t):
		return t, nil
	case t == "":
		return "", errors.New("it ends where a comparison is expected")
	}
	return "", fmt.Errorf("%q is not a comparison", t)
}

func (p *markerParser) value() (markerValue, error) {
	t := p.take()
	switch {
	case t == "":
		return markerValue{}, errors.New("it ends where a value is expected")
	case t[0] == '"' || t[0] == '\'':
		return markerValue{text: t[1 : len(t)-1]}, nil
	}
	name := strings.ReplaceAll(t, ".", "_") // old files write os.name
	if name == "python_implementation" {
		name = "platform_python_implementation"
	}
	if !slices.Contains(markerVariables(), name) {
		return markerValue{}, fmt.Errorf("%q is neither a variable nor in quotes", t)
	}
	return markerValue{text: name, variable: true}, nil
}

// markerTokens splits a marker: words, texts in quotes, operators and parentheses.
func markerTokens(text string) ([]string, error) {
	const operatorCharacters = "=<>!~"
	var out []string
	for text != "" {
		var size int
		switch c := text[0]; {
		case c == ' ' || c == '\t':
			text = text[1:]
			continue
		case c == '(' || c == ')':
			size = 1
		case c == '"' || c == '\'':
			end := strings.IndexByte(text[1:], c)
			if end < 0 {
				return nil, fmt.Errorf("its marker cannot be read: %s is not closed", text)
			}
			size = end + 2
		case strings.IndexByte(operatorCharacters, c) >= 0:
			size = len(text) - len(strings.TrimLeft(text, operatorCharacters))
		default:
			size = strings.IndexAny(text, " \t()\"'"+operatorCharacters)
			if size < 0 {
				size = len(text)
			}
		}
		out = append(out, text[:size])
		text = text[size:]
	}
	return out, nil
}
