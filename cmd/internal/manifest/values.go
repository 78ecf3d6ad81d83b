package manifest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// field reads a value into one field of a message.
func (r *reader) field(n *yaml.Node, field string, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	n = resolve(n)
	r.lines[field] = n.Line
	if n.Tag == "!!null" {
		r.complain(n.Line, field, "has no value; give one, or leave out the key")
		return
	}
	switch {
	case fd.IsMap():
		r.pairs(n, field, m, fd)
	case fd.IsList():
		r.list(n, field, m, fd)
	case fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Duration":
		if d, ok := r.duration(n, field); ok {
			m.Set(fd, protoreflect.ValueOfMessage(durationpb.New(d).ProtoReflect()))
		}
	case fd.Message() != nil:
		keys, ok := r.mapping(n, field)
		if !ok {
			return
		}
		var all []protoreflect.Name
		for i := range fd.Message().Fields().Len() {
			all = append(all, fd.Message().Fields().Get(i).Name())
		}
		r.fields(keys, field+".", m.Mutable(fd).Message(), all)
	default:
		if v, ok := r.scalar(n, field, fd); ok {
			m.Set(fd, v)
		}
	}
}

func (r *reader) pairs(n *yaml.Node, field string, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	keys, ok := r.mapping(n, field)
	if !ok {
		return
	}
	pairs := m.Mutable(fd).Map()
	for _, key := range keys.order {
		value := resolve(keys.value[key.Value])
		if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
			r.complain(value.Line, field+"."+key.Value, "must be a text")
			continue
		}
		pairs.Set(protoreflect.ValueOfString(key.Value).MapKey(), protoreflect.ValueOfString(value.Value))
	}
}

func (r *reader) list(n *yaml.Node, field string, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	if n.Kind != yaml.SequenceNode {
		r.complain(n.Line, field, "must be a list")
		return
	}
	list := m.Mutable(fd).List()
	for i, item := range n.Content {
		if v, ok := r.scalar(resolve(item), fmt.Sprintf("%s[%d]", field, i), fd); ok {
			list.Append(v)
		}
	}
}

func (r *reader) scalar(n *yaml.Node, field string, fd protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		text := r.text(n, field)
		return protoreflect.ValueOfString(text), text != ""
	case protoreflect.BoolKind:
		b, ok := r.boolean(n, field)
		return protoreflect.ValueOfBool(b), ok
	case protoreflect.DoubleKind:
		number, err := strconv.ParseFloat(n.Value, 64)
		if n.Tag != "!!int" && n.Tag != "!!float" || err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
			r.complain(n.Line, field, "must be a number, not %s", written(n))
			return protoreflect.Value{}, false
		}
		return protoreflect.ValueOfFloat64(number), true
	case protoreflect.Int32Kind:
		number, err := strconv.ParseInt(n.Value, 10, 32)
		if n.Tag != "!!int" || err != nil {
			r.complain(n.Line, field, "must be a whole number, not %s", written(n))
			return protoreflect.Value{}, false
		}
		return protoreflect.ValueOfInt32(int32(number)), true
	case protoreflect.EnumKind:
		return r.word(n, field, fd.Enum())
	default:
		r.complain(n.Line, field, "cannot be given in a file")
		return protoreflect.Value{}, false
	}
}

func (r *reader) text(n *yaml.Node, field string) string {
	if n == nil {
		return ""
	}
	n = resolve(n)
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		r.complain(n.Line, field, "must be a text")
	case n.Value == "":
		r.complain(n.Line, field, "must not be empty; leave out the key")
	default:
		return n.Value
	}
	return ""
}

func (r *reader) boolean(n *yaml.Node, field string) (value, ok bool) {
	n = resolve(n)
	value, err := strconv.ParseBool(n.Value)
	if n.Tag != "!!bool" || err != nil {
		r.complain(n.Line, field, "must be true or false, not %s", written(n))
		return false, false
	}
	return value, true
}

// duration reads a length of time like 500ms, 60s or 5m.
func (r *reader) duration(n *yaml.Node, field string) (time.Duration, bool) {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || err != nil {
		r.complain(n.Line, field, "must be a time with its unit, for example 500ms, 60s or 5m, not %s", written(n))
		return 0, false
	}
	return d, true
}

// word reads an enumeration by the words for its values.
func (r *reader) word(n *yaml.Node, field string, enum protoreflect.EnumDescriptor) (protoreflect.Value, bool) {
	var words []string
	values := enum.Values()
	prefix := strings.TrimSuffix(string(values.Get(0).Name()), "UNSPECIFIED")
	for i := 1; i < values.Len(); i++ {
		word := Word(string(values.Get(i).Name()), prefix)
		if n.Kind == yaml.ScalarNode && n.Value == word {
			return protoreflect.ValueOfEnum(values.Get(i).Number()), true
		}
		words = append(words, word)
	}
	r.complain(n.Line, field, "must be one of %s, not %s", strings.Join(words, ", "), written(n))
	return protoreflect.Value{}, false
}

// Word gives the word that files have for a value of an enumeration: the end of
// its name after prefix, in the way of keys: SCIKIT_LEARN is scikitLearn.
func Word(name, prefix string) string {
	parts := strings.Split(strings.ToLower(strings.TrimPrefix(name, prefix)), "_")
	for i, part := range parts {
		if i > 0 && part != "" {
			parts[i] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "")
}

// written gives a value as it is written, for messages.
func written(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	case yaml.DocumentNode, yaml.ScalarNode, yaml.AliasNode:
	}
	return strconv.Quote(n.Value)
}
