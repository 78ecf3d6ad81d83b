package legacyconfig

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// section is one object of a file. It notes which keys were read, so that the
// rest can be named.
type section struct {
	result *Result
	prefix string
	fields map[string]field
	used   map[string]bool
}

func newSection(r *Result, prefix string, n node) section {
	s := section{result: r, prefix: prefix, fields: n.fields, used: map[string]bool{}}
	slices.Sort(n.twice)
	for _, key := range n.twice {
		r.violate(prefix+key, "is given more than once")
	}
	return s
}

// name gives a key's path, as it is written when it is in the file.
func (s section) name(key string) string {
	if f, ok := s.fields[strings.ToLower(key)]; ok {
		return s.prefix + f.key
	}
	return s.prefix + key
}

// take gives a value that is given, and marks it as read.
func (s section) take(key string) (node, bool) {
	lower := strings.ToLower(key)
	f, ok := s.fields[lower]
	if !ok {
		return node{}, false
	}
	s.used[lower] = true
	return f.value, !f.value.empty()
}

func (s section) has(key string) bool {
	f, ok := s.fields[strings.ToLower(key)]
	return ok && !f.value.empty()
}

// section gives an inner object; an empty one when it is not given.
func (s section) section(key string) section {
	n, ok := s.take(key)
	if ok && n.fields == nil {
		s.result.violate(s.name(key), "must be an object of keys and values")
	}
	return newSection(s.result, s.name(key)+".", n)
}

func (s section) text(key string) (string, bool) {
	n, ok := s.take(key)
	if !ok {
		return "", false
	}
	if !n.scalar {
		s.result.violate(s.name(key), "must be a single value")
		return "", false
	}
	return n.text, true
}

// texts reads a list of single values; one value alone is a list of one.
func (s section) texts(key string) []string {
	n, ok := s.take(key)
	switch {
	case !ok:
		return nil
	case n.scalar:
		return []string{n.text}
	case n.fields != nil:
		s.result.violate(s.name(key), "must be a list")
		return nil
	}
	var all []string
	for i, item := range n.list {
		switch {
		case item.empty():
		case !item.scalar:
			s.result.violate(fmt.Sprintf("%s[%d]", s.name(key), i), "must be a single value")
		default:
			all = append(all, item.text)
		}
	}
	return all
}

func (s section) boolean(key string) (value, ok bool) {
	text, ok := s.text(key)
	if !ok {
		return false, false
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	s.result.violate(s.name(key), "must be true or false, not "+strconv.Quote(text))
	return false, false
}

// number reads a number from least, which is above 0, to most.
func (s section) number(key string, least, most float64) (float64, bool) {
	n, ok := s.parseNumber(key)
	switch {
	case !ok:
		return 0, false
	case n <= 0:
		s.result.violate(s.name(key), "must be greater than 0")
		return 0, false
	case n < least:
		s.result.violate(s.name(key), "must not be less than "+format(least))
		return 0, false
	case n > most:
		s.result.violate(s.name(key), "must not be greater than "+format(most))
		return 0, false
	}
	return n, true
}

// integer reads a whole number from least to most.
func (s section) integer(key string, least, most int) (int, bool) {
	n, ok := s.parseNumber(key)
	switch {
	case !ok:
		return 0, false
	case n < float64(least) && least == 1:
		s.result.violate(s.name(key), "must be greater than 0")
	case n < float64(least):
		s.result.violate(s.name(key), "must not be less than "+strconv.Itoa(least))
	case n != math.Trunc(n):
		s.result.violate(s.name(key), "must be a whole number, not "+format(n))
	case n > float64(most):
		s.result.violate(s.name(key), "must not be greater than "+strconv.Itoa(most))
	default:
		return int(n), true
	}
	return 0, false
}

func (s section) parseNumber(key string) (float64, bool) {
	text, ok := s.text(key)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		s.result.violate(s.name(key), "must be a number, not "+strconv.Quote(text))
		return 0, false
	}
	return n, true
}

// ignore names a key that is given and not used.
func (s section) ignore(key, why string) {
	if _, ok := s.take(key); ok {
		s.result.ignore(s.name(key), why)
	}
}

// rest names all keys that have not been read.
func (s section) rest(why string) {
	for _, lower := range slices.Sorted(maps.Keys(s.fields)) {
		if !s.used[lower] {
			s.ignore(s.fields[lower].key, why)
		}
	}
}

func format(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }
