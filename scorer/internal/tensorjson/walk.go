package tensorjson

import (
	"encoding/json"
	"fmt"
)

// maxDepth bounds how deep arrays and objects may lie in each other.
const maxDepth = 64

// SyntaxError says where a text is no JSON.
type SyntaxError struct {
	Offset int
	Want   string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("is no JSON: at byte %d there should be %s", e.Offset, e.Want)
}

// Fields calls visit with each member of the object that text is, in order. Values alias text.
func Fields(text []byte, visit func(name string, value []byte) error) error {
	s := scanner{text: text}
	if s.space(); !s.take('{') {
		return s.wrong("an object")
	}
	if s.space(); !s.take('}') {
		for {
			name, err := s.name()
			if err != nil {
				return err
			}
			value, err := s.value(1)
			if err != nil {
				return err
			}
			if err := visit(name, value); err != nil {
				return err
			}
			if s.space(); s.take('}') {
				break
			}
			if !s.take(',') {
				return s.wrong("a comma or the object's end")
			}
		}
	}
	return s.end()
}

// Items calls visit with each element of the array that text is, in order. Values alias text.
func Items(text []byte, visit func(i int, value []byte) error) error {
	s := scanner{text: text}
	if s.space(); !s.take('[') {
		return s.wrong("an array")
	}
	if s.space(); !s.take(']') {
		for i := 0; ; i++ {
			value, err := s.value(1)
			if err != nil {
				return err
			}
			if err := visit(i, value); err != nil {
				return err
			}
			if s.space(); s.take(']') {
				break
			}
			if !s.take(',') {
				return s.wrong("a comma or the array's end")
			}
		}
	}
	return s.end()
}

// scanner goes through a text.
type scanner struct {
	text []byte
	pos  int
}

func (s *scanner) wrong(want string) error { return &SyntaxError{Offset: s.pos, Want: want} }

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.pos < len(s.text) && s.text[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) end() error {
	if s.space(); s.pos < len(s.text) {
		return s.wrong("nothing more")
	}
	return nil
}

// name reads a member's name and the colon.
func (s *scanner) name() (string, error) {
	s.space()
	start := s.pos
	if err := s.skipString(); err != nil {
		return "", err
	}
	name, err := text(s.text[start:s.pos])
	if err != nil {
		s.pos = start
		return "", s.wrong("a string")
	}
	if s.space(); !s.take(':') {
		return "", s.wrong("a colon")
	}
	return name, nil
}

// value passes over a value and gives its text.
func (s *scanner) value(depth int) ([]byte, error) {
	s.space()
	start := s.pos
	if err := s.skip(depth); err != nil {
		return nil, err
	}
	return s.text[start:s.pos], nil
}

func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.wrong("less depth")
	}
	s.space()
	switch s.peek() {
	case '"':
		return s.skipString()
	case '[':
		return s.skipAll(']', depth)
	case '{':
		return s.skipAll('}', depth)
	}
	if len(s.word()) == 0 {
		return s.wrong("a value")
	}
	return nil
}

// skipAll passes over an array or an object.
func (s *scanner) skipAll(closing byte, depth int) error {
	s.pos++
	if s.space(); s.take(closing) {
		return nil
	}
	for {
		if closing == '}' {
			if _, err := s.name(); err != nil {
				return err
			}
		}
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		if s.space(); s.take(closing) {
			return nil
		}
		if !s.take(',') {
			return s.wrong("a comma or " + string(closing))
		}
	}
}

func (s *scanner) skipString() error {
	if !s.take('"') {
		return s.wrong("a string")
	}
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c == '\\':
			s.pos += 2
		case c < ' ':
			return s.wrong("no control character")
		default:
			s.pos++
		}
	}
	s.pos = len(s.text)
	return s.wrong("the string's end")
}

// word passes over a number or a literal and gives it; what it is worth, its reader decides.
func (s *scanner) word() []byte {
	start := s.pos
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.' {
			s.pos++
			continue
		}
		break
	}
	return s.text[start:s.pos]
}

// text gives what a quoted string says.
func text(quoted []byte) (string, error) {
	for _, c := range quoted {
		if c == '\\' || c >= 0x80 {
			var out string
			err := json.Unmarshal(quoted, &out)
			return out, err
		}
	}
	if len(quoted) < 2 {
		return "", &SyntaxError{Want: "a string"}
	}
	return string(quoted[1 : len(quoted)-1]), nil
}
