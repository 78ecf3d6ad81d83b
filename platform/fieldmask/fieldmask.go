// Package fieldmask reads update masks (AIP-134). It is pure.
package fieldmask

import (
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Paths gives the top-level fields of msg to change, in the order of allowed.
// An empty mask means the allowed fields that are set in msg; "*" means all
// allowed ones. A path into a field stands for the whole field. Output-only fields
// are ignored; other paths that are not allowed are refused, all of them at once.
func Paths(mask *fieldmaskpb.FieldMask, msg proto.Message, allowed ...string) ([]string, error) {
	if len(mask.GetPaths()) == 0 {
		return set(msg, allowed), nil
	}
	var bad apierr.Violations
	wanted := map[string]bool{}
	for _, path := range mask.GetPaths() {
		top, _, _ := strings.Cut(path, ".")
		switch {
		case path == "*":
			for _, a := range allowed {
				wanted[a] = true
			}
		case slices.Contains(allowed, top):
			wanted[top] = true
		case top == "etag" || ignored(msg, top):
		default:
			bad.Add("update_mask", "%q cannot be changed; these can: %s", path, strings.Join(allowed, ", "))
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	var out []string
	for _, a := range allowed {
		if wanted[a] {
			out = append(out, a)
		}
	}
	return out, nil
}

// ignored fields ride along when a resource that was read is sent back (AIP-203).
func ignored(msg proto.Message, field string) bool {
	f := msg.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(field))
	if f == nil {
		return false
	}
	behaviours, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.ContainsFunc(behaviours, func(b annotations.FieldBehavior) bool {
		return b == annotations.FieldBehavior_OUTPUT_ONLY || b == annotations.FieldBehavior_IDENTIFIER
	})
}

func set(msg proto.Message, allowed []string) []string {
	m := msg.ProtoReflect()
	var out []string
	for _, a := range allowed {
		f := m.Descriptor().Fields().ByName(protoreflect.Name(a))
		if f != nil && m.Has(f) {
			out = append(out, a)
		}
	}
	return out
}
