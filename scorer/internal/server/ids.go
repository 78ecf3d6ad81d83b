package server

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

const (
	headerRequestID       = "X-Request-Id"
	headerMSRequestID     = "X-Ms-Request-Id"
	headerClientRequestID = "X-Ms-Client-Request-Id"
	headerTraceID         = "Traceid"

	maxIDLength = 100
)

// ids are the ids of one request; an empty one is not sent back.
type ids struct {
	request, msRequest, clientRequest, trace string
}

// idError says which id is too long.
type idError string

func (e idError) Error() string { return string(e) }

// resolveIDs decides the ids of a request from its headers. On an error the ids are those that may still be sent back.
func resolveIDs(h http.Header, newID func() string) (ids, error) {
	given, client, ms := h.Get(headerRequestID), h.Get(headerClientRequestID), h.Get(headerMSRequestID)
	if len(given) > maxIDLength {
		return ids{}, idError("x-request-id must not exceed 100 characters")
	}
	request := given
	if request == "" {
		request = newID()
	}
	if len(client) > maxIDLength || len(ms) > maxIDLength {
		return ids{request: request}, idError("x-ms-request-id and x-ms-client-request-id must not exceed 100 characters")
	}
	out := ids{request: request, msRequest: first(ms, client, request), clientRequest: first(client, ms), trace: h.Get(headerTraceID)}
	return out, nil
}

func (i ids) write(h http.Header) {
	set(h, headerRequestID, i.request)
	set(h, headerMSRequestID, i.msRequest)
	set(h, headerClientRequestID, i.clientRequest)
	set(h, headerTraceID, i.trace)
}

func set(h http.Header, name, value string) {
	if value != "" {
		h[name] = []string{value}
	}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// newUUID makes a random UUID.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[:8], b[:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
