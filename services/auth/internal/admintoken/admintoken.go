// Package admintoken makes and checks the administrator's bearer token.
//
// Only the token's digest is kept, and it is compared in constant time. The
// package is pure; a Verifier is immutable and safe for concurrent use.
package admintoken

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"regexp"
)

// Principal is who the bearer of the token is.
const Principal = "admin"

const (
	prefix      = "flt_"
	randomBytes = 32
)

// wellFormed lets operators bring a token of their own, as long as it is not
// shorter than one of ours.
var wellFormed = regexp.MustCompile(`^` + prefix + `[A-Za-z0-9_-]{43,252}$`)

// ErrMalformed says that a text is no token; it does not repeat the text.
var ErrMalformed = errors.New(`an administrator token is "` + prefix + `" and at least 43 letters, digits, "-" or "_"`)

// Generate gives a new random token.
func Generate() (string, error) {
	var b [randomBytes]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return prefix + base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// Verifier recognises one token.
type Verifier struct {
	digest [sha256.Size]byte
}

// NewVerifier makes a Verifier of token; ErrMalformed when it is none.
func NewVerifier(token string) (Verifier, error) {
	if !wellFormed.MatchString(token) {
		return Verifier{}, ErrMalformed
	}
	return Verifier{digest: sha256.Sum256([]byte(token))}, nil
}

// Verify says whether candidate is the token. The time it takes tells nothing
// about the token.
func (v Verifier) Verify(candidate string) bool {
	d := sha256.Sum256([]byte(candidate))
	return v != Verifier{} && subtle.ConstantTimeCompare(d[:], v.digest[:]) == 1
}
