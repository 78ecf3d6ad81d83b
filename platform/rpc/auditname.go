package rpc

import (
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// created gives the name of the resource that a request is to make, if it names
// one: its parent, the collection that the contract binds the method to, and its
// first field that ends in _id. ok is false otherwise.
func created(method string, msg proto.Message) (name string, ok bool) {
	collection := collectionOf(method)
	if collection == "" {
		return "", false
	}
	m := msg.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() != protoreflect.StringKind || f.IsList() || f.Name() == "request_id" || !strings.HasSuffix(string(f.Name()), "_id") {
			continue
		}
		id := m.Get(f).String()
		if id == "" || strings.Contains(id, "/") { // it must not look like another resource
			return "", false
		}
		name = collection + "/" + id
		if p := fields.ByName("parent"); p != nil && p.Kind() == protoreflect.StringKind {
			name = m.Get(p).String() + "/" + name
		}
		return name, true
	}
	return "", false
}

// collectionOf gives the last part of the path that the contract binds a method
// that makes something to, "" for other methods.
func collectionOf(method string) string {
	if !makes(method) {
		return ""
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")))
	if err != nil {
		return ""
	}
	rule, ok := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok || rule == nil {
		return ""
	}
	path, _, _ := strings.Cut(rule.GetPost(), ":")
	last := path[strings.LastIndexByte(path, '/')+1:]
	if strings.ContainsAny(last, "{}*") {
		return ""
	}
	return last
}

// makes says whether a method is called like those that make a resource.
func makes(method string) bool {
	name := method[strings.LastIndexByte(method, '/')+1:]
	for _, verb := range []string{"Create", "Attach", "Register"} {
		if strings.HasPrefix(name, verb) {
			return true
		}
	}
	return false
}

// answered takes the name of what was made from the answer, where the server chose
// it. An operation is not what was made.
func (c *Call) answered(resp any) {
	msg, ok := resp.(proto.Message)
	if !ok || !makes(c.Method) {
		return
	}
	m := msg.ProtoReflect()
	f := m.Descriptor().Fields().ByName("name")
	if f == nil || f.Kind() != protoreflect.StringKind || m.Descriptor().FullName() == "google.longrunning.Operation" {
		return
	}
	if name := m.Get(f).String(); name != "" {
		c.Resource = name
	}
}

// detail is a field of a request that the audit log has. Where it is empty, the
// field or stands for it.
type detail struct{ name, path, or string }

// audited gives the details that the audit log has of a request. None of them is
// a secret.
func audited(request protoreflect.FullName) []detail {
	switch request {
	case "fairlead.auth.v1.CreateRoleBindingRequest":
		return []detail{
			{name: "principal", path: "role_binding.principal"},
			{name: "role", path: "role_binding.role"},
			{name: "scope", path: "role_binding.scope", or: "parent"},
		}
	case "fairlead.auth.v1.RegenerateEndpointKeyRequest":
		return []detail{{name: "key", path: "key_type"}}
	}
	return nil
}

func details(msg proto.Message) string {
	m := msg.ProtoReflect()
	var out []string
	for _, d := range audited(m.Descriptor().FullName()) {
		value := text(m, d.path)
		if value == "" && d.or != "" {
			value = text(m, d.or)
		}
		if value == "" {
			continue
		}
		if strings.ContainsFunc(value, odd) { // else it could look like another detail
			value = strconv.Quote(value)
		}
		out = append(out, d.name+"="+value)
	}
	return strings.Join(out, " ")
}

func odd(r rune) bool { return r == '=' || r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r) }

// text gives the field at path, "" when it is not there or not set.
func text(m protoreflect.Message, path string) string {
	first, rest, nested := strings.Cut(path, ".")
	f := m.Descriptor().Fields().ByName(protoreflect.Name(first))
	switch {
	case f == nil || !m.Has(f):
		return ""
	case nested && f.Message() != nil:
		return text(m.Get(f).Message(), rest)
	case nested:
		return ""
	case f.Kind() == protoreflect.StringKind:
		return m.Get(f).String()
	case f.Kind() == protoreflect.EnumKind:
		return enumText(f.Enum(), m.Get(f).Enum())
	}
	return ""
}

// enumText gives ROLE_OWNER of Role as Owner.
func enumText(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := e.Values().ByNumber(n)
	zero := e.Values().ByNumber(0)
	if v == nil || zero == nil {
		return strconv.Itoa(int(n))
	}
	name := strings.TrimPrefix(string(v.Name()), strings.TrimSuffix(string(zero.Name()), "UNSPECIFIED"))
	return name[:1] + strings.ToLower(name[1:])
}
