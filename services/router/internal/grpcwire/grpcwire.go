// Package grpcwire reads and writes the little of gRPC that a router needs: the
// name at the beginning of a message, the timeout, statuses and their text.
//
// It is pure, takes whatever bytes come, and never reads a message further than
// its first fields. All functions may be called by many goroutines.
package grpcwire

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// FrameHeader is the length of what precedes a message.
	FrameHeader = 5
	// Head is how much of a message is enough to find its name in.
	Head = 4 << 10
	// maxName is the longest name that is taken from a message.
	maxName = 512

	fieldName     = 1
	fieldVersion  = 2
	wireLength    = 2 // of a field: bytes with their length before them
	wireTypeBits  = 3
	nameTag       = fieldName<<wireTypeBits | wireLength
	versionTag    = fieldVersion<<wireTypeBits | wireLength
	isCompressed  = 1
	notCompressed = 0
)

// Frame is the beginning of a message.
type Frame struct {
	Compressed bool
	// Length of the message that follows.
	Length uint32
}

// ParseFrame reads the header of a message.
func ParseFrame(header [FrameHeader]byte) (Frame, error) {
	f := Frame{Compressed: header[0] == isCompressed, Length: binary.BigEndian.Uint32(header[1:])}
	if header[0] != notCompressed && header[0] != isCompressed {
		return Frame{}, fmt.Errorf("a message begins with byte %d instead of 0 or 1", header[0])
	}
	return f, nil
}

// Model is what a message of the Open Inference Protocol says of its model.
type Model struct {
	// Name is empty when the message does not begin with it.
	Name string
	// Version follows the name; empty when it does not.
	Version string
}

// Reasons why a message does not say its model.
var (
	// ErrEncoding: it is compressed in a way that is not read here.
	ErrEncoding = errors.New("the message is compressed in a way other than gzip")
	// ErrMalformed: its beginning is none of such a message.
	ErrMalformed = errors.New("the message does not begin with a model's name")
)

// Peek reads the model from the beginning of a message: its first Head bytes, or
// all when it has fewer. encoding is what the caller says of compressed messages.
func Peek(f Frame, encoding string, head []byte) (Model, error) {
	if f.Length == 0 {
		return Model{}, nil
	}
	if f.Compressed {
		var err error
		if head, err = inflate(encoding, head); err != nil {
			return Model{}, err
		}
	}
	var m Model
	if len(head) == 0 || head[0] != nameTag {
		return Model{}, nil
	}
	var err error
	if m.Name, head, err = text(head[1:]); err != nil {
		return Model{}, err
	}
	if len(head) > 0 && head[0] == versionTag {
		if m.Version, _, err = text(head[1:]); err != nil {
			return Model{}, err
		}
	}
	return m, nil
}

// text reads a string with its length before it.
func text(b []byte) (value string, rest []byte, err error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > maxName || length > uint64(len(b)-n) {
		return "", nil, ErrMalformed
	}
	end := n + int(length)
	return string(b[n:end]), b[end:], nil
}

// inflate gives the beginning of a message that is compressed.
func inflate(encoding string, head []byte) ([]byte, error) {
	if encoding != "gzip" {
		return nil, ErrEncoding
	}
	r, err := gzip.NewReader(bytes.NewReader(head))
	if err != nil {
		return nil, ErrMalformed
	}
	out := make([]byte, Head)
	n, err := io.ReadFull(r, out)
	if n == 0 && err != nil {
		return nil, ErrMalformed
	}
	return out[:n], nil
}

// AppendString adds a string field to a message.
func AppendString(message []byte, field byte, value string) []byte {
	message = binary.AppendUvarint(append(message, field<<wireTypeBits|wireLength), uint64(len(value)))
	return append(message, value...)
}

// AppendTrue adds a field that is true to a message.
func AppendTrue(message []byte, field byte) []byte { return append(message, field<<wireTypeBits, 1) }

// Framed gives a message with its header.
func Framed(message []byte) []byte {
	framed := binary.BigEndian.AppendUint32([]byte{notCompressed}, uint32(len(message)))
	return append(framed, message...)
}
