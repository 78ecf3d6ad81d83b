package rest

import (
	"bytes"
	"net/http"
)

// withPlainStreamErrors gives a stream that fails before its first answer the
// same error body as any other call. The generated code puts it into an
// envelope, which makes sense only in the middle of a stream.
func withPlainStreamErrors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&plainErrors{ResponseWriter: w}, r)
	})
}

// plainErrors takes the envelope off the body of an error.
type plainErrors struct {
	http.ResponseWriter
	failed bool
}

// Unwrap is for http.ResponseController.
func (p *plainErrors) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader notes whether the answer is an error.
func (p *plainErrors) WriteHeader(code int) {
	p.failed = code >= http.StatusBadRequest
	p.ResponseWriter.WriteHeader(code)
}

// Write writes b, without the envelope of an error.
func (p *plainErrors) Write(b []byte) (int, error) {
	inner, enveloped := bytes.CutPrefix(b, []byte(`{"error":`))
	if !p.failed || !enveloped {
		return p.ResponseWriter.Write(b)
	}
	if _, err := p.ResponseWriter.Write(bytes.TrimSuffix(inner, []byte("}"))); err != nil {
		return 0, err
	}
	return len(b), nil
}
