// Package frame reads and writes the length-prefixed frames that the scorer and a worker process exchange.
//
// A frame is an 8-byte prefix (header length, body length; big-endian uint32 each), the header and the body. The package
// does not look into either. When the highest bit of the header length is set the body is detached: it is not in the frame but in a
// file whose descriptor travels with the frame. Other descriptors may travel too. A frame is read whole or not at all; a prefix alone
// never makes Read allocate what it claims.
//
// Functions keep no state. A Conn has one user at a time.
package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

const (
	// MaxHeader is the longest header, in bytes.
	MaxHeader = 8 << 20
	// MaxBody is the longest body, in bytes.
	MaxBody = math.MaxUint32
	// JoinLimit is up to which size a body is copied to save a system call.
	JoinLimit = 32 << 10

	prefixSize = 8
	detached   = 1 << 31
	// eager is how much is allocated on the word of a prefix, before any byte of the content is there.
	eager = 1 << 20
)

var (
	// ErrTooLarge is returned for a frame beyond the limits.
	ErrTooLarge = errors.New("frame is too large")
	// ErrCutOff is returned when some of a frame was written and the rest can't be.
	ErrCutOff = errors.New("frame is cut off")
)

// Content is what a frame holds.
type Content struct {
	Header, Body []byte
	// Detached says that the body is elsewhere, and Size how long it is.
	Detached bool
	Size     uint32
}

// Write writes one frame: a small one at once, the body of a larger one without copying it. Unless the error is ErrCutOff,
// nothing was written.
func Write(w io.Writer, header, body []byte) error {
	_, err := write(w, nil, header, body)
	return err
}

// write builds what it joins in scratch and gives it back for the next frame.
func write(w io.Writer, scratch, header, body []byte) ([]byte, error) {
	if len(header) > MaxHeader || uint64(len(body)) > MaxBody {
		return scratch, fmt.Errorf("%w: header of %d bytes, body of %d bytes", ErrTooLarge, len(header), len(body))
	}
	joined := 0
	if len(body) <= JoinLimit {
		joined = len(body)
	}
	start := appendStart(scratch[:0], header, uint32(len(body)), 0)
	start = append(start, body[:joined]...)
	n, err := w.Write(start)
	if err == nil && joined < len(body) {
		_, err = w.Write(body)
	}
	if err != nil && n > 0 {
		return start, fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	return start, err
}

func appendStart(b, header []byte, size, flags uint32) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(header))|flags)
	b = binary.BigEndian.AppendUint32(b, size)
	return append(b, header...)
}

// Read reads one frame. It returns io.EOF when the input ends before the frame begins, and
// io.ErrUnexpectedEOF when it ends within.
func Read(r io.Reader) (Content, error) {
	var c Content
	var prefix [prefixSize]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return c, err
	}
	headerSize := binary.BigEndian.Uint32(prefix[:])
	c.Detached = headerSize&detached != 0
	headerSize &^= detached
	c.Size = binary.BigEndian.Uint32(prefix[4:])
	if headerSize > MaxHeader {
		return Content{}, fmt.Errorf("%w: header of %d bytes, the limit is %d", ErrTooLarge, headerSize, MaxHeader)
	}
	var err error
	if c.Header, err = readN(r, headerSize); err != nil || c.Detached {
		return c, err
	}
	c.Body, err = readN(r, c.Size)
	return c, err
}

func readN(r io.Reader, n uint32) ([]byte, error) {
	if n <= eager {
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		return b, within(err)
	}
	var b bytes.Buffer
	b.Grow(eager)
	_, err := io.CopyN(&b, r, int64(n))
	return b.Bytes(), within(err)
}

// within turns the end of the input into what it is inside a frame.
func within(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
