// Package manifest reads and writes Fairlead's own configuration: YAML documents
// that say what endpoints are to be.
//
// The reader is strict: a key that is not known, a value of another type, a key
// given twice are mistakes. It reports all of them, of all documents, with file
// and line, and changes nothing. Ranges and references are the server's to check.
// It is pure; values are not changed after they are returned.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// Endpoint is one document of kind Endpoint.
type Endpoint struct {
	ID       string
	Place    Place
	Endpoint *deployv1.Endpoint
	Versions []Version

	lines map[string]int // by field
}

// At gives the place of a field, or of the nearest thing around it that is written.
func (e Endpoint) At(field string) Place {
	for ; field != ""; field = field[:max(strings.LastIndexByte(field, '.'), 0)] {
		if line, ok := e.lines[field]; ok {
			return Place{File: e.Place.File, Line: line}
		}
		if i := strings.LastIndexByte(field, '['); i > strings.LastIndexByte(field, '.') {
			if line, ok := e.lines[field[:i]]; ok {
				return Place{File: e.Place.File, Line: line}
			}
		}
	}
	return e.Place
}

// Version is one version of an endpoint. Its message has no source files, no
// name, and nothing of its traffic and role but what is written.
type Version struct {
	ID      string
	Place   Place
	Version *deployv1.EndpointVersion
	// Source is the folder with the script, as it is written; empty when only the
	// script is taken.
	Source string
}

// Place is where something is written.
type Place struct {
	File string
	Line int
}

func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Problem is one mistake.
type Problem struct {
	Place Place
	// Field is the path in its document, for example "versions[0].resources.cpu".
	Field       string
	Description string
}

// Read reads the documents of one file.
func Read(file string, data []byte) ([]Endpoint, []Problem) {
	r := &reader{file: file}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var all []Endpoint
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.complain(1, "", "is not YAML that can be read: %v", err)
			break
		}
		if len(document.Content) == 0 || document.Content[0].Tag == "!!null" {
			continue
		}
		if e, ok := r.document(document.Content[0]); ok {
			all = append(all, e)
		}
	}
	return all, r.problems
}

// Twice reports endpoints that are described more than once.
func Twice(all []Endpoint) []Problem {
	first := map[string]Place{}
	var problems []Problem
	for _, e := range all {
		if at, ok := first[e.ID]; ok && e.ID != "" {
			problems = append(problems, Problem{Place: e.Place, Field: "name", Description: fmt.Sprintf("endpoint %s is described at %s already", e.ID, at)})
			continue
		}
		first[e.ID] = e.Place
	}
	return problems
}
