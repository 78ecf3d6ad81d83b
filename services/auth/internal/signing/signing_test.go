package signing

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the order of rotations and the passing of time: a token verifies for
// as long as it is valid, also with what a verifier knew one rotation ago.
func TestEveryTokenVerifiesUntilItExpires(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const lifetime = time.Hour
		now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		made := 0
		key := func() Key {
			made++
			return Key{ID: string(rune('a' + made))}
		}
		type token struct {
			id  string
			end time.Time
		}
		var tokens []token
		ring := New(key(), key(), lifetime, now)
		known := ring
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
			if rapid.Bool().Draw(t, "rotate") {
				known, ring = ring, ring.Rotate(key(), lifetime, now)
			}
			tokens = append(tokens, token{ring.Active.ID, now.Add(lifetime)})
			fits := func(v []Verifier, id string) bool {
				return slices.ContainsFunc(v, func(one Verifier) bool { return one.ID == id })
			}
			if !fits(known.Verifiers(now), ring.Active.ID) {
				t.Fatalf("who missed the last rotation does not know key %s", ring.Active.ID)
			}
			for _, tok := range tokens {
				if now.Before(tok.end.Add(ClockTolerance)) && !fits(ring.Verifiers(now), tok.id) {
					t.Fatalf("key %s is gone at %v, and its token is valid until %v", tok.id, now, tok.end)
				}
			}
			if n := len(ring.Prune(now).Former); n > made {
				t.Fatalf("%d former keys are kept", n)
			}
		}
	})
}
