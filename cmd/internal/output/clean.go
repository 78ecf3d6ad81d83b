package output

import (
	"strings"
	"unicode"
)

// Clean replaces control characters, so that text from elsewhere can neither
// break a table nor steer the terminal.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
