package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// writeYAML prints JSON as YAML, in the same order. It goes by JSON's tokens: a
// YAML parser would refuse control characters that JSON may hold.
func writeYAML(w io.Writer, content []byte) error {
	tokens := json.NewDecoder(bytes.NewReader(content))
	tokens.UseNumber()
	doc, err := yamlNode(tokens)
	if err != nil {
		return fmt.Errorf("print as YAML: %w", err)
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("print as YAML: %w", err)
	}
	return enc.Close()
}

// yamlNode reads the next value.
func yamlNode(tokens *json.Decoder) (*yaml.Node, error) {
	token, err := tokens.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if v == '[' {
			n = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		}
		for tokens.More() { // keys of an object are values too
			child, err := yamlNode(tokens)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		_, err := tokens.Token() // the closing one
		return n, err
	case string:
		n := &yaml.Node{}
		n.SetString(v)
		n.Tag, n.Style = "!!str", 0 // also when it holds newlines: one look for all
		return n, nil
	case json.Number:
		var number yaml.Node
		err := number.Encode(numeric(v))
		return &number, err
	}
	var n yaml.Node
	err = n.Encode(token)
	return &n, err
}

// numeric keeps whole numbers whole.
func numeric(v json.Number) any {
	if i, err := v.Int64(); err == nil {
		return i
	}
	f, err := v.Float64()
	if err != nil {
		return v.String()
	}
	return f
}
