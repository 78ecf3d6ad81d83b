// Package frame reads and writes the length-prefixed frames that the scorer and a worker process exchange.
//
// A frame is an 8-byte prefix (header length, body length; big-endian uint32 each), the header and the body. The package
// does not look into either. A frame is read whole or not at all; a prefix alone never makes Read allocate what it claims.
// Functions keep no state.
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

	prefixSize = 8
	// eager is how much is allocated on the word of a prefix, before any byte of the content is there.
	eager = 1 << 20
	// joinLimit is up to which size a body is copied to save a system call.
	joinLimit = 32 << 10
)

var (
	// ErrTooLarge is returned for a frame beyond the limits.
	ErrTooLarge = errors.New("frame is too large")
	// ErrCutOff is returned when some of a frame was written and the rest can't be.
	ErrCutOff = errors.New("frame is cut off")
)

// Write writes one frame: a small one at once, the body of a larger one without copying it. Unless the error is ErrCutOff,
// nothing was written.
func Write(w io.Writer, header, body []byte) error {
	if len(header) > MaxHeader || uint64(len(body)) > MaxBody {
		return fmt.Errorf("%w: header of %d bytes, body of %d bytes", ErrTooLarge, len(header), len(body))
	}
	joined := 0
	if len(body) <= joinLimit {
		joined = len(body)
	}
	start := make([]byte, prefixSize, prefixSize+len(header)+joined)
	binary.BigEndian.PutUint32(start, uint32(len(header)))
	binary.BigEndian.PutUint32(start[4:], uint32(len(body)))
	start = append(start, header...)
	start = append(start, body[:joined]...)
	n, err := w.Write(start)
	if err == nil && joined < len(body) {
		_, err = w.Write(body)
	}
	if err != nil && n > 0 {
		return fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	return err
}

// Read reads one frame. It returns io.EOF when the input ends before the frame begins, and
// io.ErrUnexpectedEOF when it ends within.
func Read(r io.Reader) (header, body []byte, err error) {
	var prefix [prefixSize]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, nil, err
	}
	headerSize := binary.BigEndian.Uint32(prefix[:])
	if headerSize > MaxHeader {
		return nil, nil, fmt.Errorf("%w: header of %d bytes, the limit is %d", ErrTooLarge, headerSize, MaxHeader)
	}
	if header, err = readN(r, headerSize); err != nil {
		return nil, nil, err
	}
	if body, err = readN(r, binary.BigEndian.Uint32(prefix[4:])); err != nil {
		return nil, nil, err
	}
	return header, body, nil
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
