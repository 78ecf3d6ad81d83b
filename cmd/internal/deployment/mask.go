package deployment

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// mutable are the fields of a version that a change may have in its mask.
func mutable() []protoreflect.Name {
	return []protoreflect.Name{
		"description", "tags", "properties", "models", "source_files", "entry_script", "environment_variables",
		"resources", "replicas", "autoscale", "environment", "collect_model_data", "namespace", "runtime", "request_settings", "liveness_probe", "traffic_percentile", "is_default", "type",
	}
}

// ChangedFields gives the update mask that leads from before to after.
func ChangedFields(before, after *deployv1.EndpointVersion) []string {
	b, a := before.ProtoReflect(), after.ProtoReflect()
	fields := b.Descriptor().Fields()
	var paths []string
	for _, name := range mutable() {
		fd := fields.ByName(name)
		if b.Has(fd) != a.Has(fd) || !b.Get(fd).Equal(a.Get(fd)) {
			paths = append(paths, string(name))
		}
	}
	return paths
}

// NeedsEtag says whether a change writes back parts that it has read: then
// somebody else's change in between must not be lost.
func NeedsEtag(paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return slices.Contains([]string{
			"tags", "properties", "environment_variables", "resources", "autoscale", "runtime", "request_settings", "liveness_probe",
		}, p)
	})
}

// Changed gives a version that holds only the fields in paths, of after.
func Changed(after *deployv1.EndpointVersion, paths []string) *deployv1.EndpointVersion {
	out := proto.CloneOf(after)
	m := out.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); fd.Name() != "name" && !slices.Contains(paths, string(fd.Name())) {
			m.Clear(fd)
		}
	}
	return out
}
