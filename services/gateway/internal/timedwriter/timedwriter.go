// Package timedwriter ends answers that their caller has stopped reading, which
// would hold memory and a stream from a service for as long as the caller likes.
// How long an answer lasts has no limit. A Writer is used by one handler.
package timedwriter

import (
	"net/http"
	"time"
)

// Writer gives each write of an answer a deadline of its own.
type Writer struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
}

var _ http.Flusher = (*Writer)(nil)

// New makes a Writer whose writes fail when they take longer than limit.
func New(w http.ResponseWriter, limit time.Duration) *Writer {
	return &Writer{ResponseWriter: w, control: http.NewResponseController(w), limit: limit}
}

// Unwrap is for http.ResponseController.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write writes b in time or fails.
func (w *Writer) Write(b []byte) (int, error) {
	defer w.within()()
	return w.ResponseWriter.Write(b)
}

// Flush sends what was written in time, or breaks the answer off.
func (w *Writer) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *Writer) FlushError() error {
	defer w.within()()
	return w.control.Flush()
}

// within sets the deadline and gives what takes it back: over HTTP/2 it would end
// the stream also between writes. Without support for deadlines there is none.
func (w *Writer) within() (done func()) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.limit))
	return func() { _ = w.control.SetWriteDeadline(time.Time{}) }
}
