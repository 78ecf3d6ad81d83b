package environment

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairlead/fairlead/platform/requirement"
)

// condaFile is what the text of a conda file asks, with all that is wrong with it.
type condaFile struct {
	channels, dependencies, pip []string
	variables                   map[string]string
	problems, notices           []string
}

// maxEntries bounds the lists of a file.
const maxEntries = 1000

func readCondaFile(text string) condaFile {
	var f condaFile
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var document yaml.Node
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		f.complain(0, "is empty")
		return f
	case err != nil:
		f.complain(0, "is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return f
	case len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode:
		f.complain(0, "must have the keys channels and dependencies")
		return f
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		f.complain(0, "must hold one document, not several")
	}
	root := document.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		f.section(root.Content[i], root.Content[i+1])
	}
	return f
}

func (f *condaFile) complain(line int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if line > 0 {
		text = fmt.Sprintf("line %d: %s", line, text)
	}
	f.problems = append(f.problems, text)
}

func (f *condaFile) section(key, value *yaml.Node) {
	switch key.Value {
	case "channels":
		f.list(value, "channels", func(n *yaml.Node) {
			f.entry(n, checkChannel, &f.channels)
		})
	case "dependencies":
		f.list(value, "dependencies", f.dependency)
	case "variables":
		f.setVariables(value)
	case "name", "prefix": // of no meaning elsewhere
	default:
		f.notices = append(f.notices, fmt.Sprintf("conda file, line %d: %s is not used", key.Line, key.Value))
	}
}

// list calls each for the items of a list; nothing is an empty one.
func (f *condaFile) list(value *yaml.Node, name string, each func(*yaml.Node)) {
	switch {
	case value.Tag == "!!null":
	case value.Kind != yaml.SequenceNode:
		f.complain(value.Line, "%s must be a list", name)
	case len(value.Content) > maxEntries:
		f.complain(value.Line, "%s has %d entries, at most %d are possible", name, len(value.Content), maxEntries)
	default:
		for _, item := range value.Content {
			each(item)
		}
	}
}

func (f *condaFile) dependency(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		f.entry(n, checkConda, &f.dependencies)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value != "pip" {
			f.complain(key.Line, "%q cannot hold a list: only pip can; write a package as name=version", key.Value)
			continue
		}
		f.list(value, "pip", func(item *yaml.Node) {
			f.entry(item, checkPip, &f.pip)
		})
	}
}

func (f *condaFile) entry(n *yaml.Node, check func(string) error, into *[]string) {
	text := strings.TrimSpace(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode:
		f.complain(n.Line, "must be a text")
	case text == "":
		f.complain(n.Line, "an entry is empty")
	default:
		if err := check(text); err != nil {
			f.complain(n.Line, "%q: %s", withoutSecrets(text), err)
			return
		}
		*into = append(*into, text)
	}
}

func (f *condaFile) setVariables(value *yaml.Node) {
	if value.Kind != yaml.MappingNode {
		f.complain(value.Line, "variables must be names with values")
		return
	}
	f.variables = map[string]string{}
	for i := 0; i+1 < len(value.Content); i += 2 {
		name, text := value.Content[i], value.Content[i+1]
		if text.Kind != yaml.ScalarNode {
			f.complain(text.Line, "the variable %s must be a text", name.Value)
			continue
		}
		f.variables[name.Value] = text.Value
	}
}

// PythonVersion gives the version of Python that a content asks for, for
// example "3.11"; empty when it does not name one.
func (c Content) PythonVersion() string {
	for _, text := range c.Python.CondaDependencies {
		d, err := requirement.ParseConda(text)
		if err != nil || requirement.Key(d.Name) != "python" || len(d.Alternatives) != 1 || len(d.Alternatives[0]) != 1 {
			continue
		}
		if version, ok := strings.CutPrefix(d.Alternatives[0][0].String(), "=="); ok {
			return strings.TrimSuffix(version, ".*")
		}
	}
	return ""
}
