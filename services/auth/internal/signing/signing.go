// Package signing holds the rules of the keys that endpoint tokens are signed
// with, and makes the tokens.
//
// There is always one key that signs and one that signs next. Both are known to
// verifiers, so that a rotation needs nobody to be told: a router that has not
// heard of it yet knows the key already. A former key is valid for verification
// until the last token that it can have signed has expired. The package is
// pure, but for randomness in Generate and NewID.
package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// ClockTolerance is how far the clocks of signers and verifiers may be apart.
const ClockTolerance = 30 * time.Second

// Key is one key at rest.
type Key struct {
	ID     string `json:"id"`
	Public []byte `json:"public"`
	// Sealed is the seed of the private key.
	Sealed     []byte    `json:"sealed"`
	CreateTime time.Time `json:"create_time"`
}

// Former is a key that signs no more.
type Former struct {
	ID         string    `json:"id"`
	Public     []byte    `json:"public"`
	ValidUntil time.Time `json:"valid_until"`
}

// Ring is all keys of an installation.
type Ring struct {
	Active Key      `json:"active"`
	Next   Key      `json:"next"`
	Former []Former `json:"former,omitempty"`
	// ActiveSince is when Active began to sign.
	ActiveSince time.Time `json:"active_since"`
	// Longest is the longest lifetime of a token since Active began to sign.
	Longest time.Duration `json:"longest"`
}

// Verifier is a key as verifiers know it.
type Verifier struct {
	ID     string
	Public ed25519.PublicKey
}

// New makes a ring. Verifiers that know another ring drop its keys.
func New(active, next Key, lifetime time.Duration, now time.Time) Ring {
	return Ring{Active: active, Next: next, ActiveSince: now, Longest: lifetime}
}

// Rotate makes the next key sign, and next the one after it.
func (r Ring) Rotate(next Key, lifetime time.Duration, now time.Time) Ring {
	r = r.Prune(now)
	r.Former = append(slices.Clone(r.Former), Former{
		ID: r.Active.ID, Public: r.Active.Public, ValidUntil: now.Add(max(r.Longest, lifetime) + 2*ClockTolerance),
	})
	r.Active, r.Next, r.ActiveSince, r.Longest = r.Next, next, now, lifetime
	return r
}

// Due says whether the active key has signed for longer than maxAge.
func (r Ring) Due(maxAge time.Duration, now time.Time) bool { return now.Sub(r.ActiveSince) >= maxAge }

// Prune leaves out the former keys whose time is over.
func (r Ring) Prune(now time.Time) Ring {
	r.Former = slices.DeleteFunc(slices.Clone(r.Former), func(f Former) bool { return !now.Before(f.ValidUntil) })
	return r
}

// Verifiers gives the keys that are valid for verification.
func (r Ring) Verifiers(now time.Time) []Verifier {
	out := []Verifier{{ID: r.Active.ID, Public: r.Active.Public}, {ID: r.Next.ID, Public: r.Next.Public}}
	for _, f := range r.Prune(now).Former {
		out = append(out, Verifier{ID: f.ID, Public: f.Public})
	}
	return out
}

// NextChange is when Verifiers changes by itself, zero when it does not.
func (r Ring) NextChange() time.Time {
	var first time.Time
	for _, f := range r.Former {
		if first.IsZero() || f.ValidUntil.Before(first) {
			first = f.ValidUntil
		}
	}
	return first
}

// Generate makes a key pair: the key without its sealed seed, and the seed.
func Generate(now time.Time) (Key, []byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, nil, fmt.Errorf("make a signing key: %w", err)
	}
	id, err := randomID()
	return Key{ID: id, Public: public, CreateTime: now}, private.Seed(), err
}

func randomID() (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}
