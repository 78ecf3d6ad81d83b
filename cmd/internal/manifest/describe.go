package manifest

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Describe gives the document of an endpoint as the server shows it: with short
// names, and without what only the server decides. Sources are the folders of the
// versions' files, by version.
func Describe(e *deployv1.Endpoint, sources map[string]string) Endpoint {
	out := Endpoint{ID: resourcename.Last(e.GetName()), Endpoint: keep(e, EndpointFields())}
	out.Endpoint.ComputeTarget = resourcename.Last(e.GetComputeTarget())
	for _, v := range e.GetVersions() {
		id := resourcename.Last(v.GetName())
		own := keep(v, VersionFields())
		own.IsDefault = v.GetIsDefault()
		if own.GetType() != deployv1.EndpointVersion_TYPE_CONTROL {
			own.Type = 0
		}
		if r := own.GetRuntime(); r.GetKind() == deployv1.Runtime_KIND_SCRIPT && r.GetScript() == nil {
			own.Runtime = nil // as it is with an entry script
		}
		if own.GetAutoscale() != nil {
			own.Replicas = 0 // the autoscaler's to say
		}
		for i, name := range own.GetModels() {
			own.Models[i] = short(name)
		}
		own.Environment = short(own.GetEnvironment())
		out.Versions = append(out.Versions, Version{ID: id, Version: own, Source: sources[id]})
	}
	return out
}

// short gives the name:version of a resource name; anything else stays as it is.
func short(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) != 6 || parts[4] != "versions" {
		return name
	}
	return parts[3] + ":" + parts[5]
}

// keep gives a copy that has only some fields.
func keep[M proto.Message](of M, names []protoreflect.Name) M {
	out, ok := of.ProtoReflect().New().Interface().(M)
	if !ok { // a message's own type makes its own kind
		return of
	}
	from, to := proto.Clone(of).ProtoReflect(), out.ProtoReflect()
	for _, name := range names {
		if fd := from.Descriptor().Fields().ByName(name); from.Has(fd) {
			to.Set(fd, from.Get(fd))
		}
	}
	return out
}

// With gives a copy of the document in which other words stand for references:
// replace is asked for each with its collection, "models" or "environments".
func (e Endpoint) With(replace func(collection, ref string) string) Endpoint {
	out := e
	out.Versions = slices.Clone(e.Versions)
	for i, v := range e.Versions {
		own := proto.CloneOf(v.Version)
		for n, ref := range own.GetModels() {
			own.Models[n] = replace("models", ref)
		}
		if own.GetEnvironment() != "" {
			own.Environment = replace("environments", own.GetEnvironment())
		}
		out.Versions[i].Version = own
	}
	return out
}
