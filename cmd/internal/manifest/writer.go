package manifest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Write writes an endpoint as Read reads it: what Read would make of it is the
// same endpoint. What is not set is left out. The same endpoint gives the same
// bytes.
func Write(e Endpoint) ([]byte, error) {
	document := mappingNode()
	add(document, "kind", textNode("Endpoint"))
	add(document, "name", textNode(e.ID))
	if err := addFields(document, e.Endpoint.ProtoReflect(), EndpointFields()); err != nil {
		return nil, fmt.Errorf("write endpoint %s: %w", e.ID, err)
	}
	versions := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, v := range e.Versions {
		one, err := versionNode(v)
		if err != nil {
			return nil, fmt.Errorf("write version %s of endpoint %s: %w", v.ID, e.ID, err)
		}
		versions.Content = append(versions.Content, one)
	}
	add(document, "versions", versions)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return nil, fmt.Errorf("write endpoint %s: %w", e.ID, err)
	}
	return out.Bytes(), encoder.Close()
}

func versionNode(v Version) (*yaml.Node, error) {
	n := mappingNode()
	add(n, "name", textNode(v.ID))
	if v.Source != "" {
		add(n, "source", textNode(v.Source))
	}
	if err := addFields(n, v.Version.ProtoReflect(), VersionFields()); err != nil {
		return nil, err
	}
	if v.Version.GetIsDefault() {
		add(n, "default", scalarNode("!!bool", "true"))
	}
	return n, nil
}

func addFields(n *yaml.Node, m protoreflect.Message, names []protoreflect.Name) error {
	all := m.Descriptor().Fields()
	for _, name := range names {
		fd := all.ByName(name)
		if !m.Has(fd) {
			continue
		}
		value, err := fieldNode(m.Get(fd), fd)
		if err != nil {
			return fmt.Errorf("%s: %w", fd.JSONName(), err)
		}
		add(n, fd.JSONName(), value)
	}
	return nil
}

func fieldNode(v protoreflect.Value, fd protoreflect.FieldDescriptor) (*yaml.Node, error) {
	switch {
	case fd.IsMap():
		pairs := map[string]string{}
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			pairs[k.String()] = v.String()
			return true
		})
		n := mappingNode()
		for _, key := range slices.Sorted(maps.Keys(pairs)) {
			add(n, key, textNode(pairs[key]))
		}
		return n, nil
	case fd.IsList():
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for i := range v.List().Len() {
			one, err := singleNode(v.List().Get(i), fd)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, one)
		}
		return n, nil
	}
	return singleNode(v, fd)
}

func singleNode(v protoreflect.Value, fd protoreflect.FieldDescriptor) (*yaml.Node, error) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return textNode(v.String()), nil
	case protoreflect.BoolKind:
		return scalarNode("!!bool", strconv.FormatBool(v.Bool())), nil
	case protoreflect.DoubleKind:
		return numberNode(v.Float()), nil
	case protoreflect.Int32Kind:
		return scalarNode("!!int", strconv.FormatInt(v.Int(), 10)), nil
	case protoreflect.EnumKind:
		return wordNode(v.Enum(), fd.Enum())
	case protoreflect.MessageKind:
		if d, ok := v.Message().Interface().(*durationpb.Duration); ok {
			return textNode(d.AsDuration().String()), nil
		}
		var names []protoreflect.Name
		for i := range fd.Message().Fields().Len() {
			names = append(names, fd.Message().Fields().Get(i).Name())
		}
		n := mappingNode()
		return n, addFields(n, v.Message(), names)
	default:
		return nil, fmt.Errorf("a %s cannot be given in a file", fd.Kind())
	}
}

// wordNode writes an enumeration by the word for its value.
func wordNode(number protoreflect.EnumNumber, enum protoreflect.EnumDescriptor) (*yaml.Node, error) {
	value := enum.Values().ByNumber(number)
	if value == nil {
		return nil, fmt.Errorf("%d is no value of %s", number, enum.Name())
	}
	prefix := strings.TrimSuffix(string(enum.Values().Get(0).Name()), "UNSPECIFIED")
	return textNode(Word(string(value.Name()), prefix)), nil
}

func numberNode(f float64) *yaml.Node {
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if strings.ContainsAny(text, ".e") {
		return scalarNode("!!float", text)
	}
	return scalarNode("!!int", text)
}

func add(mapping *yaml.Node, key string, value *yaml.Node) {
	if value.Kind != yaml.ScalarNode && len(value.Content) == 0 {
		value.Style = yaml.FlowStyle
	}
	mapping.Content = append(mapping.Content, textNode(key), value)
}

func mappingNode() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

// textNode quotes what YAML would read as something else, and what has lines.
func textNode(text string) *yaml.Node {
	n := scalarNode("!!str", text)
	if text == "<<" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(text) != text {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func scalarNode(tag, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}
