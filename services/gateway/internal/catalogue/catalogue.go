// Package catalogue says which gRPC services and methods the edge offers, read
// from the contracts that are linked in: of Fairlead's own services those
// methods that have a REST binding. All else is for Fairlead's services among
// themselves. A Catalogue is immutable and safe for concurrent use.
package catalogue

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	// The contracts of services that this package reads by reflection.
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
)

// packagePrefix begins the names of Fairlead's own packages.
const packagePrefix = "fairlead."

// Method is one method of Fairlead's own.
type Method struct {
	// Owner is the service that answers it: "deploy" for fairlead.deploy.v1.….
	Owner string
	// Public methods are for people and programs outside.
	Public bool
	// Streams says that the method can last: it streams its answers.
	Streams bool
}

// Catalogue holds the methods by their full gRPC name.
type Catalogue struct {
	methods map[string]Method
}

// Read reads the contracts that are linked in.
func Read() Catalogue {
	c := Catalogue{methods: map[string]Method{}}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(f.Package()), packagePrefix) {
			for i := range f.Services().Len() {
				c.add(f.Services().Get(i))
			}
		}
		return true
	})
	return c
}

func (c Catalogue) add(s protoreflect.ServiceDescriptor) {
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		name := "/" + string(s.FullName()) + "/" + string(m.Name())
		c.methods[name] = Method{
			Owner:   Owner(string(s.FullName())),
			Public:  proto.HasExtension(m.Options(), annotations.E_Http),
			Streams: m.IsStreamingServer(),
		}
	}
}

// Method looks a method up by its full gRPC name, "/package.Service/Method".
func (c Catalogue) Method(full string) (Method, bool) {
	m, ok := c.methods[full]
	return m, ok
}

// Services gives the names of the gRPC services that have public methods and
// whose owner is one of these, sorted.
func (c Catalogue) Services(owners ...string) []string {
	names := map[string]bool{}
	for full, m := range c.methods {
		if m.Public && slices.Contains(owners, m.Owner) {
			service, _, _ := strings.Cut(full[1:], "/")
			names[service] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Owner gives the service that owns a gRPC service of Fairlead's own: "deploy"
// for fairlead.deploy.v1.EndpointService; "" for any other.
func Owner(grpcService string) string {
	rest, ok := strings.CutPrefix(grpcService, packagePrefix)
	if !ok {
		return ""
	}
	owner, _, ok := strings.Cut(rest, ".")
	if !ok {
		return ""
	}
	return owner
}
