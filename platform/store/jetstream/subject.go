package jetstream

import "strings"

const hexDigits = "0123456789ABCDEF"

// subjects names what is in one service's stream. A key's segment is one token:
// letters, digits, "-" and "_" stand for themselves, any other byte is =XX.
type subjects struct{ service string }

func (s subjects) state() string { return "$KV." + s.service + ".>" }

// guards are where a message goes that only carries a guard's condition. They are
// few and overwrite each other.
func (s subjects) guards() string { return "guard." + s.service + ".>" }

func (s subjects) key(key string) string {
	var b strings.Builder
	b.WriteString("$KV.")
	b.WriteString(s.service)
	b.WriteByte('.')
	for i := range len(key) {
		switch c := key[i]; {
		case c == '/':
			b.WriteByte('.')
		case isPlain(c):
			b.WriteByte(c)
		default:
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

func (s subjects) below(prefix string) string {
	if prefix == "" {
		return s.state()
	}
	return s.key(prefix) + ".>"
}

// parse is the inverse of key; ok is false for what key does not give.
func (s subjects) parse(subject string) (key string, ok bool) {
	rest, ok := strings.CutPrefix(subject, "$KV."+s.service+".")
	if !ok {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '.':
			b.WriteByte('/')
		case isPlain(c):
			b.WriteByte(c)
		case c == '=' && i+2 < len(rest):
			hi, lo := strings.IndexByte(hexDigits, rest[i+1]), strings.IndexByte(hexDigits, rest[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			b.WriteByte(byte(hi<<4 | lo))
			i += 2
		default:
			return "", false
		}
	}
	return b.String(), s.key(b.String()) == subject
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
