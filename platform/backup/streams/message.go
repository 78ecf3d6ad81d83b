package streams

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/fairlead/fairlead/platform/apierr"
)

// A part is a row of messages: sequence, time, subject, header and data, numbers
// as variable-length integers and the others with their length before them. The
// sequence 0 ends it.

// maxField bounds what is believed of a length.
const maxField = 64 << 20

// message is one message of a stream.
type message struct {
	sequence uint64
	nanos    int64 // since 1970
	subject  string
	header   []byte // as NATS transmits it; empty when there is none
	data     []byte
}

func (m message) size() uint64 { return uint64(len(m.subject) + len(m.header) + len(m.data)) }

// writeMessage adds a message; the zero message ends the part.
func writeMessage(w io.Writer, m message) error {
	buf := binary.AppendUvarint(nil, m.sequence)
	if m.sequence != 0 {
		buf = binary.AppendVarint(buf, m.nanos)
		for _, field := range [][]byte{[]byte(m.subject), m.header, m.data} {
			buf = binary.AppendUvarint(buf, uint64(len(field)))
			buf = append(buf, field...)
		}
	}
	_, err := w.Write(buf)
	return err
}

// readMessages gives every message of a part to f, in order.
func readMessages(part io.Reader, f func(message) error) error {
	r := bufio.NewReader(part)
	for last := uint64(0); ; {
		m, err := readMessage(r)
		if err != nil {
			return malformed(err)
		}
		if m.sequence == 0 {
			break
		}
		if m.sequence <= last {
			return malformed(fmt.Errorf("sequence %d comes after %d", m.sequence, last))
		}
		last = m.sequence
		if err := f(m); err != nil {
			return err
		}
	}
	// The part's digest is known at its end.
	switch n, err := io.Copy(io.Discard, r); {
	case err != nil:
		return err
	case n > 0:
		return malformed(fmt.Errorf("%d bytes follow its end", n))
	}
	return nil
}

func malformed(err error) error {
	if apierr.KindOf(err) == apierr.DataLoss {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return apierr.New(apierr.DataLoss, "BACKUP_DAMAGED", "the messages of a stream cannot be read: %v", err)
}

func readMessage(r *bufio.Reader) (message, error) {
	var m message
	var err error
	if m.sequence, err = binary.ReadUvarint(r); err != nil || m.sequence == 0 {
		return m, err
	}
	if m.nanos, err = binary.ReadVarint(r); err != nil {
		return m, err
	}
	subject, err := readField(r)
	if err != nil {
		return m, err
	}
	m.subject = string(subject)
	if m.header, err = readField(r); err != nil {
		return m, err
	}
	m.data, err = readField(r)
	return m, err
}

func readField(r *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil || n == 0 {
		return nil, err
	}
	if n > maxField {
		return nil, fmt.Errorf("a field of %d bytes is too long", n)
	}
	// The length is not believed before the bytes are there.
	field, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && uint64(len(field)) < n {
		err = io.ErrUnexpectedEOF
	}
	return field, err
}

const headerLine = "NATS/1.0\r\n"

// encodeHeader writes a header as NATS transmits it, names in order.
func encodeHeader(h nats.Header) []byte {
	if len(h) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString(headerLine)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

const (
	sourceHeader = "Nats-Stream-Source"
	// sourceWords are how many words a source header has when the identity of the
	// source is its last.
	sourceWords = 6
)

// forgetIdentity takes the identity of the stream that a message was sourced from
// out of its header. A restored stream has another identity, and the server would
// take it for a new one and source all of it again.
func forgetIdentity(header []byte) []byte {
	lines := strings.Split(string(header), "\r\n")
	for i, line := range lines {
		value, ok := strings.CutPrefix(line, sourceHeader+": ")
		if words := strings.Split(value, " "); ok && len(words) >= sourceWords {
			lines[i] = sourceHeader + ": " + strings.Join(words[:sourceWords-1], " ")
		}
	}
	return []byte(strings.Join(lines, "\r\n"))
}
