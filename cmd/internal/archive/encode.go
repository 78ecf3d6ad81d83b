package archive

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// encode writes a value as YAML, by the same tags by which it is read. The YAML
// package's own way would write some texts so that they cannot be read again.
func encode(value any) ([]byte, error) {
	document, err := nodeOf(reflect.ValueOf(value))
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	encoder := yaml.NewEncoder(&content)
	encoder.SetIndent(2)
	err = errors.Join(encoder.Encode(document), encoder.Close())
	return content.Bytes(), err
}

func nodeOf(v reflect.Value) (*yaml.Node, error) {
	switch v.Kind() { //nolint:exhaustive // what archives have
	case reflect.String:
		return text(v.String()), nil
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}, nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v.Int(), 10)}, nil
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for i := range v.Len() {
			if err := into(n, v.Index(i)); err != nil {
				return nil, err
			}
		}
		return flowWhenEmpty(n), nil
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for _, key := range keys {
			if err := into(n, key, v.MapIndex(key)); err != nil {
				return nil, err
			}
		}
		return flowWhenEmpty(n), nil
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for i := range v.NumField() {
			name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			if name == "-" || options == "omitempty" && empty(v.Field(i)) {
				continue
			}
			if err := into(n, reflect.ValueOf(name), v.Field(i)); err != nil {
				return nil, err
			}
		}
		return flowWhenEmpty(n), nil
	}
	return nil, fmt.Errorf("a %s cannot be written", v.Type())
}

func into(n *yaml.Node, values ...reflect.Value) error {
	for _, v := range values {
		inner, err := nodeOf(v)
		if err != nil {
			return err
		}
		n.Content = append(n.Content, inner)
	}
	return nil
}

// empty tells whether there is nothing in a value.
func empty(v reflect.Value) bool {
	switch v.Kind() { //nolint:exhaustive // all others are empty when they are zero
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	case reflect.Struct:
		for i := range v.NumField() {
			if !empty(v.Field(i)) {
				return false
			}
		}
		return true
	}
	return v.IsZero()
}

func flowWhenEmpty(n *yaml.Node) *yaml.Node {
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}

// text quotes what YAML would read as something else. Lines stay lines where they
// are plain, as those of a Dockerfile.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	special := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	switch {
	case strings.ContainsFunc(s, special), strings.TrimSpace(s) != strings.TrimSuffix(s, "\n"), s == "<<":
		n.Style = yaml.DoubleQuotedStyle
	case strings.Contains(s, "\n"):
		n.Style = yaml.LiteralStyle
	}
	return n
}
