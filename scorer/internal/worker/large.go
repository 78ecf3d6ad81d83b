package worker

import (
	"fmt"
	"io"
	"os"
)

// LargeSize is the size, in bytes, from which on a request's body is worth a LargeBody.
const LargeSize = 1 << 20

// LargeBody is a request's body in a file in memory that a worker maps instead of receiving it.
type LargeBody struct {
	file  *os.File
	bytes []byte
}

// ReadLarge reads a body of that many bytes. It gives nil where there are no files in memory: then the body has not been touched.
func ReadLarge(r io.Reader, size int64) (*LargeBody, error) {
	b, err := newLargeBody(size)
	if b == nil || err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, b.bytes); err != nil {
		b.Close()
		return nil, fmt.Errorf("read a large body: %w", err)
	}
	return b, nil
}

// Bytes gives the body; it is valid until Close.
func (b *LargeBody) Bytes() []byte { return b.bytes }
