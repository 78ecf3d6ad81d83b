// Package keyring checks a presented key against the digests of an endpoint's
// keys. It never holds a key.
//
// A Ring is immutable and belongs to one endpoint, so that the key of another
// one never fits. An endpoint has two keys: all digests are compared, each in
// constant time.
package keyring

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Ring holds the digests of the keys that are valid for one endpoint.
type Ring struct {
	digests [][sha256.Size]byte
}

// New keeps the digests; what is not the size of a SHA-256 can never fit and is
// left out.
func New(digests [][]byte) Ring {
	var ring Ring
	for _, digest := range digests {
		if len(digest) == sha256.Size {
			ring.digests = append(ring.digests, [sha256.Size]byte(digest))
		}
	}
	return ring
}

// Len is the number of valid keys.
func (r Ring) Len() int { return len(r.digests) }

// Opens says whether the key is one of the ring's.
func (r Ring) Opens(key string) bool {
	if key == "" {
		return false
	}
	digest := sha256.Sum256([]byte(key))
	found := 0
	for i := range r.digests {
		found |= subtle.ConstantTimeCompare(digest[:], r.digests[i][:])
	}
	return found == 1
}
