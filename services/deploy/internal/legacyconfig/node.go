package legacyconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxDepth = 64
	maxNodes = 100_000
)

var errTooLarge = errors.New("it is nested too deeply or too large")

// node is one value of a file, whichever of the two formats it was written in.
type node struct {
	text   string           // of a scalar
	scalar bool             // also true for the empty string
	list   []node           // of a list
	fields map[string]field // of an object, by key in lower case
	twice  []string         // keys that the object has more than once
}

type field struct {
	key   string // as it is written
	value node
}

// empty tells whether the value counts as not given.
func (n node) empty() bool {
	return n.text == "" && len(n.list) == 0 && len(n.fields) == 0
}

func parse(data []byte) (node, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if len(data) == 0 {
		return node{}, nil
	}
	budget := maxNodes
	if data[0] == '{' {
		var value any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&value); err == nil && isEnd(d) {
			return fromJSON(value, 0, &budget)
		}
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return node{}, err
	}
	if len(document.Content) == 0 {
		return node{}, nil
	}
	return fromYAML(document.Content[0], 0, &budget)
}

func isEnd(d *json.Decoder) bool {
	_, err := d.Token()
	return errors.Is(err, io.EOF)
}

func fromJSON(value any, depth int, budget *int) (node, error) {
	if *budget--; *budget < 0 || depth > maxDepth {
		return node{}, errTooLarge
	}
	switch v := value.(type) {
	case nil:
		return node{}, nil
	case map[string]any:
		n := node{fields: map[string]field{}}
		for key, inner := range v {
			child, err := fromJSON(inner, depth+1, budget)
			if err != nil {
				return node{}, err
			}
			n.put(key, child)
		}
		return n, nil
	case []any:
		var n node
		for _, inner := range v {
			child, err := fromJSON(inner, depth+1, budget)
			if err != nil {
				return node{}, err
			}
			n.list = append(n.list, child)
		}
		return n, nil
	default:
		return node{text: fmt.Sprint(v), scalar: true}, nil
	}
}

func fromYAML(y *yaml.Node, depth int, budget *int) (node, error) {
	if *budget--; *budget < 0 || depth > maxDepth {
		return node{}, errTooLarge
	}
	switch y.Kind {
	case yaml.AliasNode:
		return fromYAML(y.Alias, depth+1, budget)
	case yaml.SequenceNode:
		var n node
		for _, inner := range y.Content {
			child, err := fromYAML(inner, depth+1, budget)
			if err != nil {
				return node{}, err
			}
			n.list = append(n.list, child)
		}
		return n, nil
	case yaml.MappingNode:
		n := node{fields: map[string]field{}}
		for i := 0; i+1 < len(y.Content); i += 2 {
			child, err := fromYAML(y.Content[i+1], depth+1, budget)
			if err != nil {
				return node{}, err
			}
			n.put(y.Content[i].Value, child)
		}
		return n, nil
	case yaml.ScalarNode:
		if y.Tag == "!!null" {
			return node{}, nil
		}
		return node{text: y.Value, scalar: true}, nil
	case yaml.DocumentNode: // only at the top, which the caller has taken off
	}
	return node{}, nil
}

// put adds a field. A key that differs from another only by case is kept apart
// from it by its own writing and noted.
func (n *node) put(key string, value node) {
	lower := strings.ToLower(key)
	if _, taken := n.fields[lower]; taken {
		n.twice = append(n.twice, key)
		return
	}
	n.fields[lower] = field{key: key, value: value}
}
