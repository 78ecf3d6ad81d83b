package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/scorer/internal/worker"
)

// eagerBody is how much is allocated for a body on the word of its length.
const eagerBody = 1 << 20

func (s *Server) score(w http.ResponseWriter, r *http.Request, id string) {
	if !s.gate.enter() {
		w.Header().Set("Connection", "close")
		fail(w, http.StatusServiceUnavailable, messageDraining, false)
		return
	}
	defer s.gate.leave()
	if !s.pool.Loaded() {
		fail(w, http.StatusServiceUnavailable, messageStarting, false)
		return
	}
	body, err := s.body(w, r)
	if err != nil {
		s.failBody(w, err)
		return
	}
	reply, err := s.pool.Score(r.Context(), worker.Request{
		ID: id, Method: r.Method, Query: r.URL.RawQuery, Host: r.Host, Header: r.Header, Body: body,
	})
	if err != nil {
		s.failScore(w, err)
		return
	}
	defer reply.Close()
	s.answerReply(w, reply)
}

// body reads the request's body whole, so that a slow client keeps no worker busy. That of a GET request does not reach run(), but
// only behind a body can net/http see that the client leaves.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > s.cfg.MaxBody {
		return nil, &http.MaxBytesError{Limit: s.cfg.MaxBody}
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, eagerBody)) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)); err != nil {
		return nil, err
	}
	if r.Method == http.MethodGet {
		return nil, nil
	}
	if isForm(r.Header.Get(headerContentType)) {
		s.formOnce.Do(func() {
			s.log.Warn("a body sent as application/x-www-form-urlencoded reaches run() as an empty string; send it as application/json")
		})
		return nil, nil
	}
	return b.Bytes(), nil
}

func isForm(contentType string) bool {
	if contentType == typeJSON {
		return false
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/x-www-form-urlencoded"
}

func (s *Server) failBody(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("The request body must not exceed %d bytes.", tooLarge.Limit), false)
		return
	}
	s.log.Debug("request body not read", "error", err)
	abort(w)
}

// failScore answers a request that got no reply from a worker.
func (s *Server) failScore(w http.ResponseWriter, err error) {
	var timeout *worker.TimeoutError
	var crash *worker.CrashError
	switch {
	case errors.As(err, &timeout):
		fail(w, http.StatusInternalServerError, fmt.Sprintf("Scoring timeout after %d ms", timeout.Limit.Milliseconds()), true)
	case errors.As(err, &crash):
		fail(w, http.StatusInternalServerError, "The worker ended while it ran this request: "+crash.Cause+". Check the logs for more info.", true)
	case errors.Is(err, worker.ErrExited):
		// The old product closes the connection too: its server process is the one that exits.
		abort(w)
	case errors.Is(err, worker.ErrQueueFull):
		fail(w, http.StatusServiceUnavailable, "Too many requests wait for a worker.", false)
	case errors.Is(err, worker.ErrStopped):
		w.Header().Set("Connection", "close")
		fail(w, http.StatusServiceUnavailable, messageDraining, false)
	case errors.Is(err, context.Canceled):
		abort(w)
	default:
		s.log.Error("request not run", "error", err)
		fail(w, http.StatusInternalServerError, messageInternal, false)
	}
}

func (s *Server) answerReply(w http.ResponseWriter, reply *worker.Reply) {
	switch reply.Outcome {
	case worker.OK:
	case worker.Raised:
		fail(w, http.StatusInternalServerError, messageRaised, true)
		return
	case worker.BadInput:
		fail(w, http.StatusBadRequest, reply.Message, false)
		return
	case worker.Unsendable:
		fail(w, http.StatusInternalServerError, messageInternal, false)
		return
	default:
		s.log.Error("unknown outcome of a request", "outcome", reply.Outcome)
		fail(w, http.StatusInternalServerError, messageInternal, false)
		return
	}
	w.Header()[headerExec] = []string{strconv.FormatFloat(reply.ExecMS, 'f', 3, 64)}
	if reply.Status == 0 {
		setFailed(w, false)
		write(w, http.StatusOK, typeJSON, reply.Body)
		return
	}
	s.answerOwn(w, reply)
}

// answerOwn sends what the script decided with an AMLResponse.
func (s *Server) answerOwn(w http.ResponseWriter, reply *worker.Reply) {
	h := w.Header()
	failed := reply.Status >= http.StatusInternalServerError
	h[headerContentType] = nil
	for _, pair := range reply.Headers {
		switch name := textproto.CanonicalMIMEHeaderKey(pair[0]); name {
		case headerFailed:
			failed = failed || strings.EqualFold(pair[1], "true")
		case headerRequestID, headerMSRequestID, headerClientRequestID, headerVersion, headerExec:
			// The server's own.
		case "Content-Length", "Transfer-Encoding", "Connection":
			// These belong to the connection, and a wrong one would break it.
		default:
			h[name] = append(h[name], pair[1])
		}
	}
	setFailed(w, failed)
	if reply.Streamed() {
		s.stream(w, reply)
		return
	}
	if bodyAllowed(reply.Status) {
		h["Content-Length"] = []string{strconv.Itoa(len(reply.Body))}
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body) // the client may be gone
}

func (s *Server) stream(w http.ResponseWriter, reply *worker.Reply) {
	w.WriteHeader(reply.Status)
	control := http.NewResponseController(w)
	for {
		piece, err := reply.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			s.log.Warn("streamed response broken off", "error", err)
			abort(w)
			return
		}
		if _, err := w.Write(piece); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
	}
}

func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// abort closes the connection without an answer, or in the middle of one.
func abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_ = conn.Close()
}
