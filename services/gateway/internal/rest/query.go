package rest

import (
	"net/url"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// queryParser reads query parameters into a request and refuses those that are
// none of its fields, all of them at once.
type queryParser struct {
	known runtime.DefaultQueryParser
}

var _ runtime.QueryParameterParser = (*queryParser)(nil)

// Parse fills msg from values.
func (p *queryParser) Parse(msg proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	var unknown []string
	for name := range values {
		if !hasPath(msg.ProtoReflect().Descriptor(), name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return unknownError{place: "query", names: unknown}
	}
	return p.known.Parse(msg, values, filter)
}

// hasPath says whether path names a field of the message or of one inside it;
// a map's entry is named by its key in brackets.
func hasPath(d protoreflect.MessageDescriptor, path string) bool {
	name, rest, more := strings.Cut(path, ".")
	name, key, hasKey := strings.Cut(name, "[")
	f := fieldNamed(d, name)
	switch {
	case f == nil, hasKey && !f.IsMap():
		return false
	case hasKey:
		return strings.HasSuffix(key, "]") || more // a key may hold dots
	case !more:
		return true
	}
	return f.Message() != nil && !f.IsMap() && !f.IsList() && hasPath(f.Message(), rest)
}
