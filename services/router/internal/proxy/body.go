package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// A body of at most this size is read before the request asks for a place on a
// replica, so that a slow sender holds none, and can be sent again when nothing
// of it was sent.
const bufferLimit = 64 << 10

// Body is a request's body on its way to a replica.
type Body struct {
	length   int64 // -1 when not known
	buffered []byte
	stream   io.Reader
	left     int64 // how much of the stream is allowed; for the one who reads
	received atomic.Int64

	mu   sync.Mutex
	read bool
	err  error
}

// ReadBody takes over the body of a request. It fails with ErrTooLarge before
// anything is read when the length is known and above limit.
func ReadBody(r *http.Request, limit int64) (*Body, error) {
	switch {
	case r.ContentLength > limit:
		return nil, fmt.Errorf("%w: it has %d bytes, allowed are %d", ErrTooLarge, r.ContentLength, limit)
	case r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody:
		return &Body{}, nil
	case r.ContentLength > 0 && r.ContentLength <= bufferLimit:
		buffered := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, buffered); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBody, err)
		}
		return &Body{length: r.ContentLength, buffered: buffered}, nil
	default:
		return &Body{length: r.ContentLength, stream: r.Body, left: limit}, nil
	}
}

// Streamed says whether the body is read while it is sent on.
func (b *Body) Streamed() bool { return b.stream != nil }

// Received is how many bytes of the body the caller has sent.
func (b *Body) Received() int64 { return int64(len(b.buffered)) + b.received.Load() }

// attach makes the body that of an outgoing request.
func (b *Body) attach(out *http.Request) {
	out.ContentLength = b.length
	switch {
	case b.stream != nil:
		out.Body = io.NopCloser(b) // it is closed by the server when the handler returns
	case b.length > 0:
		// With GetBody the transport can take another connection when a kept one
		// turns out to be closed before anything was written to it.
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.buffered)), nil }
		out.Body, _ = out.GetBody()
	default:
		out.Body = http.NoBody
	}
}

// Read reads a streamed body up to the limit and remembers how it failed, since
// the transport does not tell a caller that fails from a replica that does. It
// is not http.MaxBytesReader because that one writes to the caller's header,
// and the transport reads in a goroutine of its own.
func (b *Body) Read(p []byte) (int, error) {
	if _, err := b.state(); err != nil {
		return 0, err
	}
	// One byte more than allowed, to see whether it is there.
	n, err := b.stream.Read(p[:min(int64(len(p)), b.left+1)])
	if int64(n) > b.left {
		n, err = int(b.left), ErrTooLarge
	}
	b.left -= int64(n)
	b.received.Add(int64(n))
	b.mu.Lock() // not held while reading: a slow caller must not hold up the handler
	defer b.mu.Unlock()
	b.read = true
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// state says whether a streamed body was read from, and how that failed.
func (b *Body) state() (read bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read, b.err
}
