package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

const relayBuffer = 32 << 10

// bufferPool keeps buffers, since an answer needs one only while it passes.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() *[relayBuffer]byte {
	if b, ok := p.pool.Get().(*[relayBuffer]byte); ok {
		return b
	}
	return new([relayBuffer]byte)
}

func (p *bufferPool) put(b *[relayBuffer]byte) { p.pool.Put(b) }

// relay writes the replica's answer to the caller. A 500 of the container
// becomes 502: 500 means a fault of the router.
func relay(w http.ResponseWriter, response *http.Response, buffers *bufferPool) error {
	header := w.Header()
	copyHeader(header, response.Header)
	status := response.StatusCode
	if status == http.StatusInternalServerError {
		status = http.StatusBadGateway
	}
	w.WriteHeader(status)
	if err := relayBody(w, response, buffers); err != nil {
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	for key, values := range response.Trailer {
		header[http.TrailerPrefix+key] = values
	}
	return nil
}

// relayBody passes each piece on as it comes when the replica streams, that is,
// when it does not say how long the answer is. An answer of known length is sent
// when it is whole, and not after the handler: what is counted includes it.
func relayBody(w http.ResponseWriter, response *http.Response, buffers *bufferPool) error {
	flush := http.NewResponseController(w).Flush
	if response.ProtoMajor == 2 && response.ContentLength == 0 {
		// In HTTP/2 a head that ends the stream is not the same as one before an
		// empty body: calls of gRPC that fail at once have their status in it.
		return nil
	}
	streams := response.ContentLength < 0
	if streams {
		if err := flush(); err != nil {
			return err
		}
	}
	buffer := buffers.get()
	defer buffers.put(buffer)
	for {
		n, err := response.Body.Read(buffer[:])
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
		}
		whole := errors.Is(err, io.EOF)
		if streams && n > 0 || !streams && whole {
			if err := flush(); err != nil {
				return err
			}
		}
		if whole {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
