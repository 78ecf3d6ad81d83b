package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
)

var errBadEscape = errors.New("bad percent-encoding")

// MarshalJSON gives the CloudEvents JSON format (structured mode). Data of a JSON
// content type is embedded as JSON, other data as data_base64.
func (e Event) MarshalJSON() ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	doc := map[string]any{}
	for _, a := range e.attributes() {
		doc[a.name] = a.value
	}
	switch {
	case len(e.Data) == 0:
	case isJSON(e.ContentType()):
		if !json.Valid(e.Data) {
			return nil, invalid("data", "is not JSON, though datacontenttype says so")
		}
		doc["data"] = json.RawMessage(e.Data)
	default:
		doc["data_base64"] = base64.StdEncoding.EncodeToString(e.Data)
	}
	return json.Marshal(doc)
}

// UnmarshalJSON reads the CloudEvents JSON format.
func (e *Event) UnmarshalJSON(doc []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc, &members); err != nil {
		return fmt.Errorf("an event in the CloudEvents JSON format is an object: %w", err)
	}
	as := map[string]string{}
	for name, raw := range members {
		if name == "data" || name == "data_base64" || string(raw) == "null" {
			continue
		}
		value, err := attributeText(raw)
		if err != nil {
			return invalid(name, "is neither a string nor a number nor a boolean")
		}
		as[name] = value
	}
	data, err := jsonData(members, as["datacontenttype"])
	if err != nil {
		return err
	}
	parsed, err := fromAttributes(as, data)
	if err != nil {
		return err
	}
	*e = parsed
	return nil
}

// attributeText gives the canonical string of an attribute; booleans and integers
// may come as JSON's own.
func attributeText(raw json.RawMessage) (string, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err == nil {
		return s, nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err == nil {
		return n.String(), nil
	}
	var b bool
	err := json.Unmarshal(raw, &b)
	return fmt.Sprint(b), err
}

func jsonData(members map[string]json.RawMessage, contentType string) ([]byte, error) {
	plain, hasPlain := members["data"]
	encoded, hasEncoded := members["data_base64"]
	switch {
	case hasPlain && hasEncoded:
		return nil, invalid("data", "comes with data_base64: only one is allowed")
	case hasEncoded:
		var data []byte
		if err := json.Unmarshal(encoded, &data); err != nil {
			return nil, invalid("data_base64", "is not base64: %v", err)
		}
		return data, nil
	case !hasPlain:
		return nil, nil
	case contentType == "" || isJSON(contentType):
		return bytes.Clone(plain), nil
	}
	var text string
	if err := json.Unmarshal(plain, &text); err != nil {
		return nil, invalid("data", "is not a string, though datacontenttype is not JSON")
	}
	return []byte(text), nil
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	_, sub, _ := strings.Cut(media, "/")
	return sub == "json" || strings.HasSuffix(sub, "+json")
}
