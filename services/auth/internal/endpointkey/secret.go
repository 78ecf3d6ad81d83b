package endpointkey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/fairlead/fairlead/platform/apierr"
)

const (
	randomBytes = 32
	redacted    = "[redacted]"
)

var secretForm = regexp.MustCompile(`^[!-~]{16,256}$`)

// Digest is the SHA-256 of a key.
type Digest [sha256.Size]byte

// MarshalText writes the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("a digest has %d hexadecimal digits, not %d", hex.EncodedLen(len(d)), len(text))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// Secret is a key in clear. However it is printed or encoded it shows as
// "[redacted]"; only Reveal gives the key.
type Secret struct {
	text string
}

// GenerateSecret gives a new random key.
func GenerateSecret() (Secret, error) {
	var b [randomBytes]byte
	if _, err := rand.Read(b[:]); err != nil {
		return Secret{}, err
	}
	return Secret{text: base64.RawURLEncoding.EncodeToString(b[:])}, nil
}

// ParseSecret takes a key that a user brought in the given request field, or
// notes what is wrong with it.
func ParseSecret(field, text string, bad *apierr.Violations) Secret {
	if !secretForm.MatchString(text) {
		bad.Add(field, "must be 16 to 256 visible ASCII characters without spaces")
		return Secret{}
	}
	return Secret{text: text}
}

// Reveal gives the key in clear, for sealing it and for answering its owner.
func (s Secret) Reveal() string { return s.text }

// Digest gives the key's digest.
func (s Secret) Digest() Digest { return sha256.Sum256([]byte(s.text)) }

// String hides the key.
func (s Secret) String() string { return redacted }

// GoString hides the key.
func (s Secret) GoString() string { return redacted }

// LogValue hides the key.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the key.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
