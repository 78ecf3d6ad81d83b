package worker

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fairlead/fairlead/scorer/internal/frame"
)

// Reply is what came of a request. Close must be called.
type Reply struct {
	Outcome Outcome
	// Message explains a BadInput.
	Message string
	// ExecMS is how long run() took, in milliseconds. Status and Headers are those of an AMLResponse, else zero. All only when OK.
	ExecMS  float64
	Status  int
	Headers [][2]string
	// Body is whole, unless Streamed or Large: then Next gives it piece by piece, or WriteTo writes it.
	Body []byte

	file   *os.File // a large body
	size   int64
	stream *stream
}

// stream is a body that is still being made; the lane is lent until it ends.
type stream struct {
	lane     *lane
	release  func()
	giveBack func()
	fail     func(error) error
	over     bool
}

var errBrokenOff = errors.New("the body that run() returned failed while it was sent")

// Streamed reports whether the body comes piece by piece.
func (r *Reply) Streamed() bool { return r.stream != nil }

// Large reports whether the body lies in a file, and not in Body.
func (r *Reply) Large() bool { return r.file != nil }

// Size is how long a body is that is not streamed, in bytes.
func (r *Reply) Size() int64 {
	if r.file != nil {
		return r.size
	}
	return int64(len(r.Body))
}

// WriteTo writes a body that is not streamed. It may be called once.
func (r *Reply) WriteTo(w io.Writer) (int64, error) {
	if r.file == nil {
		n, err := w.Write(r.Body)
		return int64(n), err
	}
	// The worker has written the file to its end; what it was told to hold is what counts.
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("read a large result: %w", err)
	}
	return io.CopyN(w, r.file, r.size)
}

// Bytes gives a body that is not streamed, whole.
func (r *Reply) Bytes() ([]byte, error) {
	if r.file == nil {
		return r.Body, nil
	}
	b := make([]byte, r.size)
	if _, err := r.file.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read a large result: %w", err)
	}
	return b, nil
}

// Next gives the next piece of a streamed body, and io.EOF after the last.
func (r *Reply) Next() ([]byte, error) {
	s := r.stream
	if s == nil || s.over {
		return nil, io.EOF
	}
	piece, last, err := s.receive()
	switch {
	case err != nil:
		s.finish()
		return nil, s.fail(err)
	case last == nil:
		return piece, nil
	}
	s.lane.process.serving.Add(-1)
	s.finish()
	s.giveBack()
	if last.Failed {
		return nil, errBrokenOff
	}
	return nil, io.EOF
}

// Close gives up what has not been read of a body; a worker that is still making it is replaced.
func (r *Reply) Close() {
	if r.file != nil {
		_ = r.file.Close()
	}
	if r.stream != nil && !r.stream.over {
		r.stream.finish()
		r.stream.lane.process.abandon("its caller was gone while run() made the body")
	}
}

// bodyEnd ends a streamed body.
type bodyEnd struct {
	Failed bool `json:"failed"`
}

// receive gives a piece, or the end of the body.
func (s *stream) receive() ([]byte, *bodyEnd, error) {
	f, err := s.lane.conn.Receive()
	if err != nil {
		return nil, nil, err
	}
	k, rest, err := kindOf(f.Header)
	switch {
	case err != nil:
		return nil, nil, err
	case k == kindChunk:
		piece, err := wholeBody(f)
		return piece, nil, err
	case k == kindEnd:
		last := &bodyEnd{}
		return nil, last, parseFields(rest, last)
	}
	return nil, nil, fmt.Errorf("it sent a frame of kind %d within a body", k)
}

// wholeBody gives a frame's body, wherever it is.
func wholeBody(f frame.Frame) ([]byte, error) {
	if f.File == nil {
		return f.Body, nil
	}
	defer f.File.Close()
	b := make([]byte, f.Size)
	if _, err := f.File.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read a large piece of a body: %w", err)
	}
	return b, nil
}

func (s *stream) finish() {
	s.over = true
	s.release()
}
