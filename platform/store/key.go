package store

import "strings"

// Join makes a key of segments.
func Join(segments ...string) string { return strings.Join(segments, "/") }

// Below tells whether key is below prefix.
func Below(prefix, key string) bool {
	if prefix == "" {
		return true
	}
	return len(key) > len(prefix) && key[len(prefix)] == '/' && key[:len(prefix)] == prefix
}

// ValidateKey refuses what is no key.
func ValidateKey(key string) error {
	if key == "" {
		return invalid("key", "is empty")
	}
	if len(key) > MaxKey {
		return invalid("key", "has %d bytes, at most %d are allowed", len(key), MaxKey)
	}
	for s := range strings.SplitSeq(key, "/") {
		if s == "" {
			return invalid("key", "%q has an empty segment", key)
		}
	}
	return nil
}

// ValidatePrefix refuses what is neither empty nor a key.
func ValidatePrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if err := ValidateKey(prefix); err != nil {
		return invalid("prefix", "%q is neither empty nor a key: leave out a slash at its end", prefix)
	}
	return nil
}
