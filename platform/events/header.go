package events

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

const headerPrefix = "ce-"

// Encode gives the CloudEvents binary mode of the NATS binding: one header per
// attribute, values percent-encoded, and the data as it is. Nats-Msg-Id is the
// event's id, so that a stream stores it once.
func Encode(e Event) (nats.Header, []byte, error) {
	if err := e.Validate(); err != nil {
		return nil, nil, err
	}
	h := nats.Header{}
	for _, a := range e.attributes() {
		h[headerPrefix+a.name] = []string{escape(a.value)}
	}
	h[nats.MsgIdHdr] = []string{escape(e.ID)}
	return h, e.Data, nil
}

// Decode reads what Encode gives. Headers that are not CloudEvents attributes are
// ignored.
func Decode(h nats.Header, data []byte) (Event, error) {
	as := map[string]string{}
	for name, values := range h {
		lower := strings.ToLower(name)
		attr, ok := strings.CutPrefix(lower, headerPrefix)
		if !ok {
			continue
		}
		if len(values) != 1 {
			return Event{}, invalid(attr, "is given %d times", len(values))
		}
		if _, twice := as[attr]; twice {
			return Event{}, invalid(attr, "is given twice, in different case")
		}
		value, err := unescape(values[0])
		if err != nil {
			return Event{}, invalid(attr, "%q is not percent-encoded UTF-8", values[0])
		}
		as[attr] = value
	}
	if len(as) == 0 {
		return Event{}, invalid("specversion", "there are no ce- headers: this is no event in binary mode")
	}
	return fromAttributes(as, bytes.Clone(data))
}

// validText refuses what CloudEvents strings may not hold.
func validText(name, value string) error {
	if !utf8.ValidString(value) {
		return invalid(name, "is not UTF-8")
	}
	if strings.ContainsFunc(value, func(r rune) bool {
		return unicode.IsControl(r) || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe
	}) {
		return invalid(name, "holds a control character")
	}
	return nil
}

const hexDigits = "0123456789ABCDEF"

// escape percent-encodes space, '"', '%' and everything outside printable ASCII,
// byte by byte.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c > ' ' && c < 0x7f && c != '"' && c != '%' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

// unescape also accepts characters that should have been encoded, as the binding
// asks of a reader.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errBadEscape
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return "", errBadEscape
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	if !utf8.ValidString(b.String()) {
		return "", errBadEscape
	}
	return b.String(), nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
