// Package requestid gives a request its three ids by the rules of the scoring
// container, so that router and container answer with the same ones. It is pure
// but for randomness.
package requestid

import (
	"encoding/hex"
	"math/rand/v2"
	"net/http"
)

// The headers, in canonical form.
const (
	HeaderRequest   = "X-Request-Id"
	HeaderMSRequest = "X-Ms-Request-Id"
	HeaderMSClient  = "X-Ms-Client-Request-Id"
)

const maxLength = 100

// IDs are the ids of a request.
type IDs struct {
	// Request is the caller's x-request-id or a new UUID.
	Request string
	// MSRequest is the first of x-ms-request-id, x-ms-client-request-id and Request.
	MSRequest string
	// MSClient is the first of x-ms-client-request-id and x-ms-request-id, or empty.
	MSClient string
}

// From gives the ids of a request with these headers. When one of them is too
// long, tooLong says so in the container's words; the ids are still usable.
func From(header http.Header) (ids IDs, tooLong string) {
	request, ms, client := header.Get(HeaderRequest), header.Get(HeaderMSRequest), header.Get(HeaderMSClient)
	if len(request) > maxLength {
		request, tooLong = "", "x-request-id must not exceed 100 characters"
	}
	if len(ms) > maxLength || len(client) > maxLength {
		ms, client = "", ""
		if tooLong == "" {
			tooLong = "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"
		}
	}
	if request == "" {
		request = newUUID()
	}
	return IDs{Request: request, MSRequest: first(ms, client, request), MSClient: first(client, ms)}, tooLong
}

// Answer puts the ids on an answer.
func (ids IDs) Answer(header http.Header) {
	header[HeaderRequest] = []string{ids.Request}
	header[HeaderMSRequest] = []string{ids.MSRequest}
	if ids.MSClient != "" {
		header[HeaderMSClient] = []string{ids.MSClient}
	}
}

// PassOn puts the ids on the request to the container. The caller's own
// x-ms-… headers stay as they came: the container applies the same rules to
// them and comes to the same ids.
func (ids IDs) PassOn(header http.Header) {
	header[HeaderRequest] = []string{ids.Request}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// newUUID makes a version 4 UUID.
func newUUID() string {
	var id [16]byte
	for i := 0; i < len(id); i += 8 {
		n := rand.Uint64()
		for j := range 8 {
			id[i+j] = byte(n >> (8 * j))
		}
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], id[0:4])
	hex.Encode(out[9:13], id[4:6])
	hex.Encode(out[14:18], id[6:8])
	hex.Encode(out[19:23], id[8:10])
	hex.Encode(out[24:36], id[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}
