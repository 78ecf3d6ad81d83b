package proxy

import (
	"net"
	"net/http"
	"net/textproto"
	"strings"
)

// isHopByHop says whether a header belongs to one connection only (RFC 9110,
// 7.6.1) and therefore does not pass. Expect is answered by the router itself.
func isHopByHop(key string) bool {
	switch key {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect":
		return true
	}
	return false
}

// OutboundHeader makes the header for the replica: the caller's, without what
// belongs to its connection and without Authorization, and with X-Forwarded-….
// Content-Length is not in it; the body sets it.
func OutboundHeader(r *http.Request) http.Header {
	out := make(http.Header, len(r.Header)+6)
	copyHeader(out, r.Header)
	delete(out, "Authorization")
	delete(out, "Content-Length")
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = nil // otherwise net/http adds its own
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		if before := out["X-Forwarded-For"]; len(before) > 0 {
			host = strings.Join(before, ", ") + ", " + host
		}
		out["X-Forwarded-For"] = []string{host}
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	out["X-Forwarded-Proto"] = []string{proto}
	return out
}

// copyHeader copies what may pass and is not there yet.
func copyHeader(to, from http.Header) {
	named := from["Connection"]
	for key, values := range from {
		if isHopByHop(key) || len(named) > 0 && isNamed(named, key) {
			continue
		}
		if _, ok := to[key]; !ok {
			to[key] = values
		}
	}
}

// isNamed says whether a Connection header names the key as belonging to the
// connection.
func isNamed(connection []string, key string) bool {
	for _, line := range connection {
		for name := range strings.SplitSeq(line, ",") {
			if textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)) == key {
				return true
			}
		}
	}
	return false
}
