package rest

import (
	"net/url"
	"slices"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/fairlead/fairlead/platform/apierr"
)

// binding is how the contract binds a method to HTTP.
type binding struct {
	input   protoreflect.MessageDescriptor
	path    []string // the fields that the path holds
	body    string   // the field that the body holds; "*" is the whole request
	streams bool
}

// contract holds the bindings by HTTP method and path template.
type contract map[string]binding

// readContract reads the contracts that are linked in.
func readContract() contract {
	c := contract{}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				rule, _ := proto.GetExtension(methods.Get(j).Options(), annotations.E_Http).(*annotations.HttpRule)
				c.add(methods.Get(j), rule)
			}
		}
		return true
	})
	c.addOperations()
	return c
}

// addOperations adds the bindings of proto/operations.yaml, which the descriptors
// do not have: their own are other paths.
func (c contract) addOperations() {
	methods := longrunningpb.File_google_longrunning_operations_proto.Services().ByName("Operations").Methods()
	const one = "/v1/{name=workspaces/*/operations/*}"
	for method, rule := range map[protoreflect.Name]*annotations.HttpRule{
		"ListOperations":  {Pattern: &annotations.HttpRule_Get{Get: "/v1/{name=workspaces/*}/operations"}},
		"GetOperation":    {Pattern: &annotations.HttpRule_Get{Get: one}},
		"WaitOperation":   {Pattern: &annotations.HttpRule_Post{Post: one + ":wait"}, Body: "*"},
		"CancelOperation": {Pattern: &annotations.HttpRule_Post{Post: one + ":cancel"}, Body: "*"},
	} {
		c.add(methods.ByName(method), rule)
	}
}

func (c contract) add(m protoreflect.MethodDescriptor, rule *annotations.HttpRule) {
	for method, template := range map[string]string{
		"GET": rule.GetGet(), "POST": rule.GetPost(), "PUT": rule.GetPut(), "PATCH": rule.GetPatch(), "DELETE": rule.GetDelete(),
	} {
		if template == "" {
			continue
		}
		template, fields := readTemplate(template)
		c[method+" "+template] = binding{input: m.Input(), path: fields, body: rule.GetBody(), streams: m.IsStreamingServer()}
	}
	for _, more := range rule.GetAdditionalBindings() {
		c.add(m, more)
	}
}

// readTemplate gives the template in the router's spelling, {a=*} for {a}, and the
// fields in it.
func readTemplate(template string) (spelled string, fields []string) {
	var b strings.Builder
	for {
		before, rest, more := strings.Cut(template, "{")
		b.WriteString(before)
		if !more {
			return b.String(), fields
		}
		variable, after, _ := strings.Cut(rest, "}")
		field, segments, has := strings.Cut(variable, "=")
		if !has {
			segments = "*"
		}
		b.WriteString("{" + field + "=" + segments + "}")
		fields = append(fields, field)
		template = after
	}
}

// checkQuery refuses parameters that the generated code would leave unread: those
// that are no field of the request, or that the path or the body holds. A
// validate_only in the wrong place must not become the real thing.
func (b binding) checkQuery(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return apierr.Invalid(apierr.Violation{Field: "query", Description: "is malformed: " + err.Error()})
	}
	var bad apierr.Violations
	for name := range values {
		path, known := fieldPath(b.input, name)
		switch {
		case !known:
			bad.Add(name, "is no field of this request; the fields are in /openapi.json")
		case slices.Contains(b.path, path):
			bad.Add(name, "is in the path already")
		case b.body == "*":
			bad.Add(name, "belongs in the body: this method reads no query parameters")
		case b.body != "" && (path == b.body || strings.HasPrefix(path, b.body+".")):
			bad.Add(name, "belongs in the body")
		}
	}
	slices.SortFunc(bad, func(a, b apierr.Violation) int { return strings.Compare(a.Field, b.Field) })
	return bad.Err()
}

// fieldPath says whether name is a field of the message or of one inside it, by
// either of its names, and gives its path in the contract's names. A map's entry is
// named by its key in brackets.
func fieldPath(d protoreflect.MessageDescriptor, name string) (path string, ok bool) {
	first, rest, more := strings.Cut(name, ".")
	first, key, hasKey := strings.Cut(first, "[")
	f := fieldNamed(d, first)
	switch {
	case f == nil, hasKey && !f.IsMap():
		return "", false
	case hasKey:
		return string(f.Name()), strings.HasSuffix(key, "]") || more // a key may hold dots
	case !more:
		return string(f.Name()), true
	case f.Message() == nil || f.IsMap() || f.IsList():
		return "", false
	}
	inner, ok := fieldPath(f.Message(), rest)
	return string(f.Name()) + "." + inner, ok
}
