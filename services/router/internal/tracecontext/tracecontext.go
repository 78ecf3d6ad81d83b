// Package tracecontext reads and makes W3C traceparent headers. It is pure but
// for randomness.
package tracecontext

import (
	"encoding/hex"
	"math/rand/v2"
)

// length of a version 00 traceparent: 00-{32 hex}-{16 hex}-{2 hex}.
const length = 55

// Valid says whether the header is a traceparent that may be passed on. Later
// versions of the format may be longer, after a dash.
func Valid(header string) bool {
	if len(header) < length || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return false
	}
	version := header[:2]
	if !isHex(version) || version == "ff" {
		return false
	}
	if len(header) > length && (version == "00" || header[length] != '-') {
		return false
	}
	trace, parent := header[3:35], header[36:52]
	return isHex(trace) && isHex(parent) && isHex(header[53:55]) && !isZero(trace) && !isZero(parent)
}

// New makes the traceparent of a new trace. It is marked as sampled, so that a
// scoring script that records traces records this one.
func New() string {
	var id [24]byte
	for i := 0; i < len(id); i += 8 {
		n := rand.Uint64() | 1 // never all zero
		for j := range 8 {
			id[i+j] = byte(n >> (8 * j))
		}
	}
	buf := make([]byte, 0, length)
	buf = append(buf, "00-"...)
	buf = hex.AppendEncode(buf, id[:16])
	buf = append(buf, '-')
	buf = hex.AppendEncode(buf, id[16:])
	return string(append(buf, "-01"...))
}

// isHex wants lower case, as the format does.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isZero(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}
