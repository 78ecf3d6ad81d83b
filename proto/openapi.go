// Package proto carries the OpenAPI document of the REST interface, generated
// from the contracts in this module.
package proto

import _ "embed"

// OpenAPI is the document, as JSON (OpenAPI 2.0).
//
//go:embed gen/openapi/fairlead.swagger.json
var OpenAPI []byte
