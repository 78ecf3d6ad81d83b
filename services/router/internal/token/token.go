// Package token verifies the tokens of endpoints in token mode, by itself.
//
// A token is a JSON Web Token signed with EdDSA; no other algorithm is looked
// at. What verifying a signature gave is kept, by the token's digest, as long as
// it is of use and up to a bound: only valid signatures are kept, so that nobody
// can fill the store with inventions. All else is checked again with every
// request, so that a revocation or a withdrawn key counts at once.
//
// Keys are immutable. A Verifier is safe for concurrent use.
package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// Tolerance is how far the clocks of the signer and this machine may be apart.
	Tolerance = 30 * time.Second
	// maxLength bounds what is looked at.
	maxLength = 8 << 10
)

// Keys are the public keys that tokens are verified with, by id.
type Keys map[string]ed25519.PublicKey

// NewKeys takes the keys; one that is not the size of an Ed25519 key is left out.
func NewKeys(keys map[string][]byte) Keys {
	out := make(Keys, len(keys))
	for id, key := range keys {
		if len(key) == ed25519.PublicKeySize {
			out[id] = ed25519.PublicKey(key)
		}
	}
	return out
}

// Endpoint is what a token must be for.
type Endpoint struct {
	Name string // workspaces/{workspace}/endpoints/{endpoint}
	UID  string
	// Generation is the lowest that is not revoked.
	Generation int64
}

// Why a token is refused; the errors of Check wrap one of these.
var (
	ErrMalformed  = errors.New("the token is malformed")
	ErrUnknownKey = errors.New("the token was signed with a key that is not valid")
	ErrSignature  = errors.New("the signature of the token is not valid")
	ErrExpired    = errors.New("the token has expired")
	ErrNotYet     = errors.New("the token is not valid yet")
	ErrOther      = errors.New("the token is for another endpoint")
	ErrRevoked    = errors.New("the token was revoked")
)

// claims are what a verified token says.
type claims struct {
	jwt.RegisteredClaims
	EndpointUID string `json:"endpoint_uid"`
	Generation  int64  `json:"generation"`

	keyID string
}

// Verifier verifies tokens.
type Verifier struct {
	parser *jwt.Parser
	known  *cache
}

// NewVerifier makes a Verifier.
func NewVerifier() *Verifier {
	return &Verifier{
		// The claims are checked by Check, also of tokens that are known.
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithoutClaimsValidation()),
		known:  newCache(),
	}
}

// LooksLike says whether a bearer text has the form of a token and not of a key.
func LooksLike(text string) bool {
	return strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") == 2
}

// Check is nil when the token opens the endpoint now.
func (v *Verifier) Check(text string, keys Keys, e Endpoint, now time.Time) error {
	digest := sha256.Sum256([]byte(text))
	c, ok := v.known.get(digest)
	if !ok {
		var err error
		if c, err = v.parse(text, keys); err != nil {
			return err
		}
	}
	if _, valid := keys[c.keyID]; !valid {
		return unknownKey(c.keyID)
	}
	if err := c.opens(e, now); err != nil {
		return err
	}
	if !ok {
		v.known.put(digest, c)
	}
	return nil
}

func (v *Verifier) parse(text string, keys Keys) (*claims, error) {
	c := &claims{}
	if len(text) > maxLength {
		return nil, ErrMalformed
	}
	_, err := v.parser.ParseWithClaims(text, c, func(t *jwt.Token) (any, error) {
		c.keyID, _ = t.Header["kid"].(string)
		key, ok := keys[c.keyID]
		if !ok {
			return nil, unknownKey(c.keyID)
		}
		return key, nil
	})
	switch {
	case err == nil && (c.ExpiresAt == nil || c.IssuedAt == nil):
		return nil, ErrMalformed
	case err == nil:
		return c, nil
	case errors.Is(err, ErrUnknownKey):
		return nil, unknownKey(c.keyID)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, ErrSignature
	}
	return nil, ErrMalformed
}

func unknownKey(id string) error {
	const most = 64
	return fmt.Errorf("%w (key id %q)", ErrUnknownKey, id[:min(len(id), most)])
}

// opens checks what the token says.
func (c *claims) opens(e Endpoint, now time.Time) error {
	begin := c.IssuedAt.Time
	if c.NotBefore != nil {
		begin = c.NotBefore.Time
	}
	switch {
	case !now.Before(c.ExpiresAt.Add(Tolerance)):
		return fmt.Errorf("%w at %s", ErrExpired, c.ExpiresAt.UTC().Format(time.RFC3339))
	case now.Before(begin.Add(-Tolerance)):
		return fmt.Errorf("%w: it begins at %s", ErrNotYet, begin.UTC().Format(time.RFC3339))
	case !slices.Contains(c.Audience, e.Name):
		return ErrOther
	case c.EndpointUID != e.UID:
		return fmt.Errorf("%w, an earlier one of the same name", ErrOther)
	case c.Generation < e.Generation:
		return ErrRevoked
	}
	return nil
}
