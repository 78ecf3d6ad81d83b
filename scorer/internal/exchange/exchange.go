// Package exchange reads requests and writes answers as the old product's scoring server did: bodies with a limit, error messages in
// JSON, the header that says whether run() failed. Every runtime's /score uses it.
//
// It has no state; its functions may be called from any goroutine.
package exchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
)

// Headers of answers, as net/http spells them.
const (
	HeaderFailed      = "X-Ms-Run-Function-Failed"
	HeaderExec        = "X-Ms-Run-Fn-Exec-Ms"
	HeaderVersion     = "X-Ms-Server-Version"
	HeaderContentType = "Content-Type"
	// HeaderNotRun says why a request was not run at all, so that it can be sent to another scorer.
	HeaderNotRun = "X-Fairlead-Not-Run"
)

// HeaderElsewhere is on requests that can be sent to another scorer: a router's.
const HeaderElsewhere = "X-Fairlead-Elsewhere"

// Content types of answers.
const (
	TypeJSON = "application/json"
	TypeHTML = "text/html; charset=utf-8"
)

// Messages that more than one runtime answers with.
const (
	MessageInternal = "An unexpected internal error occurred. Check the logs for more info."
	MessageDraining = "The service is shutting down."
)

// eagerBody is how much is allocated for a body on the word of its length.
const eagerBody = 1 << 20

// ReadBody reads a request's body whole, so that a slow client keeps nobody busy. FailBody answers its errors.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, eagerBody)) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// NotRun refuses a request for a moment: nothing of it was run. The reason is a stable word.
func NotRun(w http.ResponseWriter, reason, message string) {
	w.Header()[HeaderNotRun] = []string{reason}
	Fail(w, http.StatusServiceUnavailable, message, false)
}

// FailBody answers a request whose body could not be read.
func FailBody(w http.ResponseWriter, err error, log *slog.Logger) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		Fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("The request body must not exceed %d bytes.", tooLarge.Limit), false)
		return
	}
	log.Debug("request body not read", "error", err)
	Abort(w)
}

// Fail answers with a message in JSON. runFailed says whether it was run() that failed.
func Fail(w http.ResponseWriter, status int, message string, runFailed bool) {
	SetFailed(w, runFailed)
	Write(w, status, TypeJSON, messageJSON(message))
}

// SetFailed sets the header that says whether run() failed.
func SetFailed(w http.ResponseWriter, failed bool) {
	value := "False"
	if failed {
		value = "True"
	}
	w.Header()[HeaderFailed] = []string{value}
}

// Write answers with a body that is known whole.
func Write(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h[HeaderContentType] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// WriteJSON answers with value in JSON.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		Fail(w, http.StatusInternalServerError, MessageInternal, false)
		return
	}
	Write(w, status, TypeJSON, b)
}

// Abort closes the connection without an answer, or in the middle of one. Nothing may be done with w afterwards.
func Abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to reset a stream of HTTP/2
	}
	if err != nil {
		return
	}
	_ = conn.Close()
}

// messageJSON spells an error body as the old product does.
func messageJSON(message string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"message": `)
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(message) // a string always encodes
	b.Truncate(b.Len() - 1)
	b.WriteByte('}')
	return b.Bytes()
}
