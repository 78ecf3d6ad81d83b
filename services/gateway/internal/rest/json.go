package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// jsonCodec is the JSON of the REST interface: field names in lowerCamelCase,
// fields shown also where they have their default value, and unknown fields in
// a request refused, all of them at once.
type jsonCodec struct {
	*runtime.JSONPb
}

var (
	_ runtime.Marshaler         = jsonCodec{}
	_ runtime.StreamContentType = jsonCodec{}
)

func newJSONCodec() jsonCodec {
	return jsonCodec{JSONPb: &runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true}}}
}

// StreamContentType is for streams of answers: one JSON document on each line.
func (jsonCodec) StreamContentType(any) string { return "application/x-ndjson" }

// Marshal gives v on one line. The same value gives the same text always,
// which protojson by itself avoids.
func (c jsonCodec) Marshal(v any) ([]byte, error) {
	text, err := c.JSONPb.Marshal(v)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return nil, err
	}
	return line.Bytes(), nil
}

// NewDecoder reads one document, which must be all that there is.
func (c jsonCodec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			return io.EOF
		}
		return c.Unmarshal(text, v)
	})
}

// Unmarshal reads text into v.
func (c jsonCodec) Unmarshal(text []byte, v any) error {
	err := c.JSONPb.Unmarshal(text, v)
	if err == nil && !json.Valid(text) {
		err = errors.New("there is more after the JSON document")
	}
	if err == nil {
		return nil
	}
	if d := descriptorOf(v); d != nil {
		if unknown := unknownFields(d, text, ""); len(unknown) > 0 {
			return unknownError{names: unknown}
		}
	}
	return fmt.Errorf("the body is not what is expected: %s", plain(err))
}

// plain takes the decoder's prefix away, which differs from build to build.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(text, "proto: ")
}

// descriptorOf gives the descriptor of a message or of a pointer to one.
func descriptorOf(v any) protoreflect.MessageDescriptor {
	if m, ok := v.(proto.Message); ok {
		return m.ProtoReflect().Descriptor()
	}
	t := reflect.TypeOf(v)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
		if m, ok := reflect.Zero(t).Interface().(proto.Message); ok && t.Kind() == reflect.Pointer {
			return m.ProtoReflect().Descriptor()
		}
	}
	return nil
}

// unknownFields gives the paths in text that no field of the message has.
func unknownFields(d protoreflect.MessageDescriptor, text []byte, prefix string) []string {
	if strings.HasPrefix(string(d.FullName()), "google.protobuf.") {
		return nil // these have a JSON form of their own
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil
	}
	var out []string
	for name, value := range members {
		f := fieldNamed(d, name)
		if f == nil {
			out = append(out, prefix+name)
			continue
		}
		out = append(out, unknownInField(f, value, prefix+name)...)
	}
	slices.Sort(out)
	return out
}

func unknownInField(f protoreflect.FieldDescriptor, value json.RawMessage, path string) []string {
	m := f.Message()
	if f.IsMap() {
		m = f.MapValue().Message()
	}
	if m == nil {
		return nil
	}
	var out []string
	switch {
	case f.IsMap():
		var entries map[string]json.RawMessage
		_ = json.Unmarshal(value, &entries) // what is no object has no unknown fields
		for key, entry := range entries {
			out = append(out, unknownFields(m, entry, path+"["+key+"].")...)
		}
	case f.IsList():
		var items []json.RawMessage
		_ = json.Unmarshal(value, &items)
		for i, item := range items {
			out = append(out, unknownFields(m, item, path+"["+strconv.Itoa(i)+"].")...)
		}
	default:
		out = unknownFields(m, value, path+".")
	}
	return out
}

// fieldNamed finds a field by either of its names, as protojson does.
func fieldNamed(d protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := d.Fields().ByJSONName(name); f != nil {
		return f
	}
	return d.Fields().ByTextName(name)
}

// unknownError says which names in a body mean nothing. The generated handlers
// keep only an error's text; unknownIn reads the names back from it.
type unknownError struct{ names []string }

const unknownText = "the body has unknown fields: "

func (e unknownError) Error() string {
	names, err := json.Marshal(e.names)
	if err != nil {
		return err.Error()
	}
	return unknownText + string(names)
}

// unknownIn gives the error whose text is message, if it is an unknownError's.
func unknownIn(message string) (e unknownError, ok bool) {
	list, ok := strings.CutPrefix(message, unknownText)
	return e, ok && json.Unmarshal([]byte(list), &e.names) == nil
}

var _ error = unknownError{}

// errTooLarge says that a body is over the limit.
var errTooLarge = errors.New("the request body is too large")
