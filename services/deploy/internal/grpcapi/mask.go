package grpcapi

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/fieldmask"
)

// merge puts the fields that the mask names from src into dst and tells which
// top-level fields that were. A path into a message ("resources.cpu") changes
// that part of it alone; without a mask the parts that are set are changed.
func merge(dst, src proto.Message, mask *fieldmaskpb.FieldMask, allowed ...string) (map[string]bool, error) {
	tops, err := fieldmask.Paths(mask, src, allowed...)
	if err != nil {
		return nil, err
	}
	if len(tops) == 0 {
		return nil, apierr.Invalid(apierr.Violation{Field: "update_mask", Description: "names nothing to change; these can change: " + strings.Join(allowed, ", ")})
	}
	var bad apierr.Violations
	changed := map[string]bool{}
	to, from := dst.ProtoReflect(), src.ProtoReflect()
	for _, top := range tops {
		changed[top] = true
		field := to.Descriptor().Fields().ByName(protoreflect.Name(top))
		parts := within(mask, top)
		if len(mask.GetPaths()) == 0 && isMessage(field) {
			parts = setIn(from.Get(field).Message())
		}
		if parts == nil {
			assign(to, from, field)
			continue
		}
		for _, part := range parts {
			inner := field.Message().Fields().ByName(protoreflect.Name(part))
			if inner == nil {
				bad.Add("update_mask", "%q is not known", top+"."+part)
				continue
			}
			assign(to.Mutable(field).Message(), from.Get(field).Message(), inner)
		}
	}
	return changed, bad.Err()
}

// within gives the parts of a message that the mask names; nil for all of it.
func within(mask *fieldmaskpb.FieldMask, top string) []string {
	var parts []string
	for _, path := range mask.GetPaths() {
		first, rest, deeper := strings.Cut(path, ".")
		switch {
		case path == "*" || first == top && !deeper:
			return nil
		case first == top:
			part, _, _ := strings.Cut(rest, ".")
			parts = append(parts, part)
		}
	}
	return parts
}

func setIn(m protoreflect.Message) []string {
	parts := []string{}
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		parts = append(parts, string(f.Name()))
		return true
	})
	return parts
}

func isMessage(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && !f.IsList() && !f.IsMap()
}

func assign(to, from protoreflect.Message, f protoreflect.FieldDescriptor) {
	if !from.Has(f) {
		to.Clear(f)
		return
	}
	to.Set(f, from.Get(f))
}
