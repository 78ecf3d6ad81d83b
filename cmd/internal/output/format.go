// Package output prints what a command found: as a table for people, or as JSON,
// YAML or bare names for programs.
//
// JSON is the API's own JSON, indented by two spaces and the same every time.
// Data goes to the one writer; nothing else may be written there.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Format is how documents are printed.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
	Name  Format = "name"
)

// Formats lists all formats.
func Formats() []string { return []string{string(Table), string(JSON), string(YAML), string(Name)} }

// ParseFormat reads a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(strings.ToLower(s)); f {
	case Table, JSON, YAML, Name:
		return f, nil
	}
	return "", fmt.Errorf("-o %s: must be one of %s", s, strings.Join(Formats(), ", "))
}

// Document is something to print.
type Document struct {
	// Value is a proto.Message, or anything that encoding/json takes.
	Value any
	// List is given instead of Value for many messages; it prints as an array.
	List []proto.Message
	// Names are what the commands take to name the things.
	Names []string
	// Text writes the form for people.
	Text func(*Text)
}

// Printer prints documents.
type Printer struct {
	Out    io.Writer
	Format Format
	Paint  Paint
}

// Print prints a document.
func (p Printer) Print(d Document) error {
	switch p.Format {
	case Table:
	case JSON:
		content, err := d.json()
		if err != nil {
			return err
		}
		_, err = p.Out.Write(append(content, '\n'))
		return err
	case YAML:
		content, err := d.json()
		if err != nil {
			return err
		}
		return writeYAML(p.Out, content)
	case Name:
		for _, n := range d.Names {
			if _, err := fmt.Fprintln(p.Out, n); err != nil {
				return err
			}
		}
		return nil
	}
	t := &Text{Paint: p.Paint}
	d.Text(t)
	_, err := p.Out.Write(t.buf.Bytes())
	return err
}

func (d Document) json() ([]byte, error) {
	var raw []byte
	var err error
	switch v := d.Value.(type) {
	case nil:
		raw, err = listJSON(d.List)
	case proto.Message:
		raw, err = MessageJSON(v)
	default:
		raw, err = json.Marshal(v)
	}
	if err != nil {
		return nil, fmt.Errorf("print as JSON: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("print as JSON: %w", err)
	}
	return b.Bytes(), nil
}

// MessageJSON gives a message as the API's JSON on one line. Fields with their
// zero value are there, so that programs can test them.
func MessageJSON(m proto.Message) ([]byte, error) {
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil { // protojson's spaces vary from build to build
		return nil, err
	}
	return b.Bytes(), nil
}

func listJSON(list []proto.Message) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, m := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		one, err := MessageJSON(m)
		if err != nil {
			return nil, err
		}
		b.Write(one)
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}
