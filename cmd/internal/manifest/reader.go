package manifest

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// maxDepth bounds how deep aliases lead.
const maxDepth = 32

type reader struct {
	file     string
	problems []Problem
	lines    map[string]int // of the fields of the document that is read
}

func (r *reader) complain(line int, field, format string, args ...any) {
	r.problems = append(r.problems, Problem{Place: Place{File: r.file, Line: line}, Field: field, Description: fmt.Sprintf(format, args...)})
}

// EndpointFields are the fields of an endpoint that a document can have.
func EndpointFields() []protoreflect.Name {
	return []protoreflect.Name{"description", "tags", "properties", "compute_target", "auth_mode", "telemetry_enabled"}
}

// VersionFields are the fields of a version that a document can have. The source
// files and the role of the default are written in another way.
func VersionFields() []protoreflect.Name {
	return []protoreflect.Name{
		"description", "tags", "properties", "models", "entry_script", "environment_variables", "environment", "resources",
		"replicas", "autoscale", "runtime", "request_settings", "liveness_probe", "collect_model_data", "namespace", "traffic_percentile", "type",
	}
}

func (r *reader) document(n *yaml.Node) (Endpoint, bool) {
	r.lines = map[string]int{}
	e := Endpoint{Place: Place{File: r.file, Line: n.Line}, Endpoint: &deployv1.Endpoint{}, lines: r.lines}
	keys, ok := r.mapping(n, "")
	if !ok {
		return e, false
	}
	kind := r.text(keys.take("kind"), "kind")
	if kind != "Endpoint" {
		r.complain(n.Line, "kind", "must be Endpoint, not %q", kind)
		return e, false
	}
	e.ID = r.required(n, keys, "name", "")
	if versions := keys.take("versions"); versions != nil {
		e.Versions = r.versions(versions)
	}
	if len(e.Versions) == 0 {
		r.complain(n.Line, "versions", "must be given: an endpoint has at least one version")
	}
	r.fields(keys, "", e.Endpoint.ProtoReflect(), EndpointFields(), "name", "kind", "versions")
	r.roles(e)
	return e, true
}

func (r *reader) versions(n *yaml.Node) []Version {
	n = resolve(n)
	if n.Kind != yaml.SequenceNode {
		r.complain(n.Line, "versions", "must be a list")
		return nil
	}
	var all []Version
	lines := map[string]int{}
	for i, item := range n.Content {
		field := fmt.Sprintf("versions[%d]", i)
		r.lines[field] = item.Line
		v := Version{Place: Place{File: r.file, Line: item.Line}, Version: &deployv1.EndpointVersion{}}
		keys, ok := r.mapping(item, field)
		if !ok {
			continue
		}
		v.ID = r.required(item, keys, "name", field+".")
		if line, taken := lines[v.ID]; taken && v.ID != "" {
			r.complain(item.Line, field+".name", "there is a version %s at line %d already", v.ID, line)
		}
		lines[v.ID] = item.Line
		if source := keys.take("source"); source != nil {
			v.Source = r.text(source, field+".source")
		}
		if byDefault := keys.take("default"); byDefault != nil {
			v.Version.IsDefault, _ = r.boolean(byDefault, field+".default")
		}
		r.fields(keys, field+".", v.Version.ProtoReflect(), VersionFields(), "name", "source", "default")
		if needsScript(v.Version) {
			r.complain(item.Line, field+".entryScript", "must be given: the script with init() and run(); or a runtime that needs none")
		}
		all = append(all, v)
	}
	return all
}

// needsScript tells whether a version cannot be without an entry script that it
// does not have. Without a word on its runtime that is the server's to say, who
// knows the framework of its model.
func needsScript(v *deployv1.EndpointVersion) bool {
	return v.GetEntryScript() == "" && (v.GetRuntime().GetKind() == deployv1.Runtime_KIND_SCRIPT || v.GetRuntime() == nil && len(v.GetModels()) != 1)
}

// roles checks that the roles that only one version can have are given once.
func (r *reader) roles(e Endpoint) {
	byDefault, control := "", ""
	for i, v := range e.Versions {
		if v.Version.GetIsDefault() {
			if byDefault != "" {
				r.complain(v.Place.Line, fmt.Sprintf("versions[%d].default", i), "%s is the default already; only one version can be", byDefault)
			}
			byDefault = v.ID
		}
		if v.Version.GetType() == deployv1.EndpointVersion_TYPE_CONTROL {
			if control != "" {
				r.complain(v.Place.Line, fmt.Sprintf("versions[%d].type", i), "%s is the control already; only one version can be", control)
			}
			control = v.ID
		}
	}
}

// keys are the values of a mapping that have not been read yet.
type keys struct {
	order []*yaml.Node
	value map[string]*yaml.Node
}

func (k keys) take(name string) *yaml.Node {
	v := k.value[name]
	delete(k.value, name)
	return v
}

func (r *reader) mapping(n *yaml.Node, field string) (keys, bool) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		r.complain(n.Line, field, "must be an object of keys and values")
		return keys{}, false
	}
	k := keys{value: map[string]*yaml.Node{}}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Tag == mergeTag {
			merged = append(merged, n.Content[i+1])
			continue
		}
		if _, twice := k.value[key.Value]; twice {
			r.complain(key.Line, join(field, key.Value), "is given more than once")
			continue
		}
		k.order = append(k.order, key)
		k.value[key.Value] = n.Content[i+1]
	}
	for _, from := range merged {
		r.merge(k.value, &k.order, from, field, maxDepth)
	}
	return k, true
}

// mergeTag is what YAML calls the key <<.
const mergeTag = "!!merge"

// merge adds the keys of what << names that are not there yet; the first that
// has one gives it.
func (r *reader) merge(value map[string]*yaml.Node, order *[]*yaml.Node, from *yaml.Node, field string, depth int) {
	line := from.Line
	from = resolve(from)
	if depth == 0 || from.Kind != yaml.MappingNode && from.Kind != yaml.SequenceNode {
		r.complain(line, join(field, "<<"), "must be an object of keys and values, or a list of them")
		return
	}
	if from.Kind == yaml.SequenceNode {
		for _, item := range from.Content {
			r.merge(value, order, item, field, depth-1)
		}
		return
	}
	var inner []*yaml.Node
	for i := 0; i+1 < len(from.Content); i += 2 {
		key := from.Content[i]
		if key.Tag == mergeTag {
			inner = append(inner, from.Content[i+1])
		} else if _, taken := value[key.Value]; !taken {
			*order, value[key.Value] = append(*order, key), from.Content[i+1]
		}
	}
	for _, next := range inner {
		r.merge(value, order, next, field, depth-1)
	}
}

func (r *reader) required(n *yaml.Node, k keys, name, prefix string) string {
	given := k.take(name)
	if given == nil {
		r.complain(n.Line, prefix+name, "must be given")
		return ""
	}
	return r.text(given, prefix+name)
}

// fields reads the rest of a mapping into a message. also names keys that are
// known besides, for suggestions.
func (r *reader) fields(k keys, prefix string, m protoreflect.Message, allowed []protoreflect.Name, also ...string) {
	all := m.Descriptor().Fields()
	known := slices.Clone(also)
	for _, name := range allowed {
		known = append(known, all.ByName(name).JSONName())
	}
	for _, key := range k.order {
		value, left := k.value[key.Value]
		if !left {
			continue
		}
		fd := all.ByJSONName(key.Value)
		if fd == nil || !slices.Contains(allowed, fd.Name()) {
			r.complain(key.Line, prefix+key.Value, "is not known%s", suggestion(key.Value, known))
			continue
		}
		r.field(value, prefix+key.Value, m, fd)
	}
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	return n
}

// suggestion gives the known key that is meant, where one is near.
func suggestion(key string, known []string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	best, least := "", 3
	for _, k := range known {
		if d := distance(plain(key), plain(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		slices.Sort(known)
		return "; these are: " + strings.Join(known, ", ")
	}
	return "; did you mean " + best + "?"
}

// distance counts the letters to change, add or remove between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
