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

var (
	errTooLarge  = errors.New("it is nested too deeply or too large")
	errMerge     = errors.New("<< must be followed by an object, or a list of objects")
	errDocuments = errors.New("it holds several documents: keep one of them")
)

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
	documents := yaml.NewDecoder(bytes.NewReader(data))
	switch err := documents.Decode(&document); {
	case errors.Is(err, io.EOF): // comments alone
		return node{}, nil
	case err != nil:
		return node{}, err
	}
	if err := onlyOne(documents); err != nil || len(document.Content) == 0 {
		return node{}, err
	}
	return fromYAML(document.Content[0], 0, &budget)
}

// onlyOne refuses further documents that hold something.
func onlyOne(d *yaml.Decoder) error {
	for {
		var more yaml.Node
		switch err := d.Decode(&more); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if len(more.Content) > 0 && more.Content[0].Tag != "!!null" {
			return errDocuments
		}
	}
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
		var merged []node
		for i := 0; i+1 < len(y.Content); i += 2 {
			child, err := fromYAML(y.Content[i+1], depth+1, budget)
			switch {
			case err != nil:
				return node{}, err
			case y.Content[i].Tag == "!!merge":
				merged = append(merged, child)
			default:
				n.put(y.Content[i].Value, child)
			}
		}
		return n, n.merge(merged)
	case yaml.ScalarNode:
		if y.Tag == "!!null" {
			return node{}, nil
		}
		return node{text: y.Value, scalar: true}, nil
	case yaml.DocumentNode: // only at the top, which the caller has taken off
	}
	return node{}, nil
}

// merge adds the fields of what << names that the object does not have itself;
// the first that has one gives it.
func (n *node) merge(from []node) error {
	for _, other := range from {
		if other.list != nil {
			if err := n.merge(other.list); err != nil {
				return err
			}
			continue
		}
		if other.fields == nil {
			return errMerge
		}
		for lower, f := range other.fields {
			if _, taken := n.fields[lower]; !taken {
				n.fields[lower] = f
			}
		}
	}
	return nil
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
