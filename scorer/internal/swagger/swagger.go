// Package swagger describes a scorer to its callers, in versions 2, 3 and 3.1 of the specification: a document made from the schemas
// of what run() takes and gives, or the user's own one.
//
// Documents may be used from any goroutine.
package swagger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Service is what a document says of the service.
type Service struct {
	Name, Version string
	// PathPrefix is where callers find the service, "" for the root.
	PathPrefix string
}

// Schemas describe what the service takes and gives. The zero value is a service that may take anything.
type Schemas struct {
	// Input and Output are the definitions ServiceInput and ServiceOutput; nil for any object.
	Input  json.RawMessage `json:"input"`
	Output json.RawMessage `json:"output"`
	// Versions are those that can describe them; nil for all.
	Versions []string `json:"versions"`
}

// Files are the user's own documents, by version.
type Files map[string]json.RawMessage

// version2, version3 and version31 are the versions by their first names.
const (
	version2  = "2"
	version3  = "3"
	version31 = "3.1"
)

// VersionError says which versions there are instead of the one that was asked for.
type VersionError struct {
	Version   string
	Supported []string
	// Unfit means that the version exists, but can't describe this service.
	Unfit bool
}

func (e *VersionError) Error() string {
	there := strings.Join(e.Supported, ", ")
	if e.Unfit {
		return fmt.Sprintf("Swagger version [%s] is not supported for the scoring script. Supported swagger versions: [%s].", e.Version, there)
	}
	return fmt.Sprintf("Swagger version [%s] is not valid. Supported versions: [%s].", e.Version, there)
}

// Documents are the descriptions of one service.
type Documents struct {
	service Service
	own     Files
	schemas func() Schemas
}

// New makes the descriptions of a service. schemas is asked for each document; it may be nil.
func New(service Service, own Files, schemas func() Schemas) *Documents {
	if schemas == nil {
		schemas = func() Schemas { return Schemas{} }
	}
	return &Documents{service: service, own: own, schemas: schemas}
}

// Get gives the document of a version: 2, 3, 3.1, 2.0 or 3.0. Its error is a *VersionError where there is none.
func (d *Documents) Get(version string) ([]byte, error) {
	schemas := d.schemas()
	canonical := map[string]string{version2: version2, "2.0": version2, version3: version3, "3.0": version3, version31: version31}[version]
	if canonical == "" {
		return nil, &VersionError{Version: version, Supported: d.supported(schemas)}
	}
	if own := d.own[canonical]; own != nil {
		return own, nil
	}
	if !schemas.fit(canonical) {
		return nil, &VersionError{Version: version, Supported: d.supported(schemas), Unfit: true}
	}
	document := d.openAPI(schemas, "3.0.3")
	switch canonical {
	case version2:
		document = d.swagger2(schemas)
	case version31:
		document = d.openAPI(schemas, "3.1.0")
	}
	return write(document)
}

// write spells a document as the old product did, with spaces after colons and commas.
func write(document object) ([]byte, error) {
	var compact bytes.Buffer
	encoder := json.NewEncoder(&compact)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		return nil, fmt.Errorf("write the swagger document: %w", err)
	}
	var spaced bytes.Buffer
	quoted, escaped := false, false
	for _, c := range bytes.TrimSpace(compact.Bytes()) {
		spaced.WriteByte(c)
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = quoted
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ':' || c == ','):
			spaced.WriteByte(' ')
		}
	}
	return spaced.Bytes(), nil
}

func (d *Documents) supported(schemas Schemas) []string {
	var there []string
	for _, v := range []string{version2, version3, version31} {
		if d.own[v] != nil || schemas.fit(v) {
			there = append(there, v)
		}
	}
	return there
}

func (s Schemas) fit(version string) bool {
	return s.Versions == nil || slices.Contains(s.Versions, version)
}

// path gives a path as callers see it.
func (d *Documents) path(path string) string {
	if prefix := strings.Trim(d.service.PathPrefix, "/"); prefix != "" {
		return "/" + prefix + path
	}
	return path
}
