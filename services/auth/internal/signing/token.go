package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer is the iss of every token.
const Issuer = "fairlead"

// Grant is what a token says.
type Grant struct {
	Principal   string
	Endpoint    string // the resource name
	EndpointUID string
	// Generation counts the revocations of the endpoint's tokens.
	Generation int64
	IssueTime  time.Time
	Lifetime   time.Duration
}

// claims is a Grant on the wire.
type claims struct {
	jwt.RegisteredClaims
	EndpointUID string `json:"endpoint_uid"`
	Generation  int64  `json:"generation"`
}

// ExpiryTime is when the token expires, in whole seconds as tokens have it.
func (g Grant) ExpiryTime() time.Time { return g.IssueTime.Add(g.Lifetime).Truncate(time.Second) }

// RefreshByTime is when to ask for the next token: at half of its lifetime.
func (g Grant) RefreshByTime() time.Time {
	return g.IssueTime.Add(g.Lifetime / 2).Truncate(time.Second)
}

// Sign makes the token of g, signed with the key that has this id and seed.
func Sign(g Grant, keyID string, seed []byte) (string, error) {
	if len(seed) != ed25519.SeedSize {
		return "", fmt.Errorf("sign with key %s: its seed has %d bytes, not %d", keyID, len(seed), ed25519.SeedSize)
	}
	issued := jwt.NewNumericDate(g.IssueTime)
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: Issuer, Subject: g.Principal, Audience: jwt.ClaimStrings{g.Endpoint},
			IssuedAt: issued, NotBefore: issued, ExpiresAt: jwt.NewNumericDate(g.ExpiryTime()), ID: rand.Text(),
		},
		EndpointUID: g.EndpointUID, Generation: g.Generation,
	})
	token.Header["kid"] = keyID
	text, err := token.SignedString(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return "", fmt.Errorf("sign with key %s: %w", keyID, err)
	}
	return text, nil
}
