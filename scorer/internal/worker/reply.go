package worker

import (
	"errors"
	"io"
)

// Reply is what came of a request. Body is whole, unless Streamed; then Next gives it piece by piece. Close must be called.
type Reply struct {
	Outcome Outcome
	// Message explains a BadInput.
	Message string
	// ExecMS is how long run() took. Status and Headers are those of an AMLResponse, else zero. All only when OK.
	ExecMS  float64
	Status  int
	Headers [][2]string
	Body    []byte

	stream *stream
}

// stream is a body that is still being made; the worker is lent until it ends.
type stream struct {
	process  *process
	release  func()
	giveBack func()
	fail     func(error) error
	over     bool
}

var errBrokenOff = errors.New("the body that run() returned failed while it was sent")

// Streamed reports whether the body comes piece by piece.
func (r *Reply) Streamed() bool { return r.stream != nil }

// Next gives the next piece of a streamed body, and io.EOF after the last.
func (r *Reply) Next() ([]byte, error) {
	s := r.stream
	if s == nil || s.over {
		return nil, io.EOF
	}
	m, body, err := s.process.receive()
	switch {
	case err != nil:
		s.finish()
		return nil, s.fail(err)
	case m.Type == "chunk":
		return body, nil
	case m.Type == "end":
		s.process.serving.Store(false)
		s.finish()
		s.giveBack()
		if m.Failed {
			return nil, errBrokenOff
		}
		return nil, io.EOF
	}
	s.finish()
	s.process.retire()
	return nil, errBrokenOff
}

// Close gives up what has not been read of a streamed body; the worker that makes it is replaced.
func (r *Reply) Close() {
	if r.stream != nil && !r.stream.over {
		r.stream.finish()
		r.stream.process.condemn()
	}
}

func (s *stream) finish() {
	s.over = true
	s.release()
}
