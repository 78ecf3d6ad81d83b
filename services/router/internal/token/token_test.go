package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	now      = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	endpoint = Endpoint{Name: "workspaces/default/endpoints/diabetes", UID: "u1", Generation: 3}
)

// signer makes tokens with a key of its own.
type signer struct {
	id  string
	key ed25519.PrivateKey
}

func newSigner(id string) signer {
	seed := sha256.Sum256([]byte(id))
	return signer{id: id, key: ed25519.NewKeyFromSeed(seed[:])}
}

func (s signer) public() []byte { return s.key.Public().(ed25519.PublicKey) }

func (s signer) sign(t testing.TB, change func(jwt.MapClaims, *jwt.Token)) string {
	t.Helper()
	c := jwt.MapClaims{
		"iss": "fairlead", "sub": "user:ann", "aud": endpoint.Name, "iat": now.Unix(), "nbf": now.Unix(),
		"exp": now.Add(time.Hour).Unix(), "jti": "1", "endpoint_uid": endpoint.UID, "generation": endpoint.Generation,
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["kid"] = s.id
	if change != nil {
		change(c, token)
	}
	text, err := token.SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCheck(t *testing.T) {
	s, other := newSigner("k1"), newSigner("k2")
	keys := NewKeys(map[string][]byte{"k1": s.public(), "short": {1, 2, 3}})
	with := func(name string, value any) string {
		return s.sign(t, func(c jwt.MapClaims, _ *jwt.Token) { c[name] = value })
	}
	good := s.sign(t, nil)
	head, rest, _ := strings.Cut(good, ".")
	payload, _, _ := strings.Cut(rest, ".")
	hmac, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"aud": endpoint.Name}).SignedString(s.public())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		token string
		at    time.Time
		want  error
		says  string
	}{
		"good":                     {good, now, nil, ""},
		"just expired":             {good, now.Add(time.Hour + Tolerance - time.Second), nil, ""},
		"expired":                  {good, now.Add(time.Hour + Tolerance), ErrExpired, "at 2026-11-20T13:00:00Z"},
		"a clock that is behind":   {good, now.Add(-Tolerance), nil, ""},
		"not yet":                  {good, now.Add(-Tolerance - time.Second), ErrNotYet, "begins at 2026-11-20T12:00:00Z"},
		"other endpoint":           {with("aud", "workspaces/default/endpoints/other"), now, ErrOther, ""},
		"earlier endpoint":         {with("endpoint_uid", "u0"), now, ErrOther, "earlier one of the same name"},
		"revoked":                  {with("generation", 2), now, ErrRevoked, ""},
		"a later generation":       {with("generation", 4), now, nil, ""},
		"no expiry":                {with("exp", nil), now, ErrMalformed, ""},
		"unknown key":              {other.sign(t, nil), now, ErrUnknownKey, `"k2"`},
		"key of a wrong size":      {s.sign(t, func(_ jwt.MapClaims, tok *jwt.Token) { tok.Header["kid"] = "short" }), now, ErrUnknownKey, ""},
		"no key id":                {s.sign(t, func(_ jwt.MapClaims, tok *jwt.Token) { delete(tok.Header, "kid") }), now, ErrUnknownKey, ""},
		"signed by another":        {other.sign(t, func(_ jwt.MapClaims, tok *jwt.Token) { tok.Header["kid"] = "k1" }), now, ErrSignature, ""},
		"without a signature":      {head + "." + payload + ".", now, ErrSignature, ""},
		"no algorithm":             {"eyJhbGciOiJub25lIn0." + payload + ".", now, ErrSignature, ""},
		"another algorithm":        {hmac, now, ErrSignature, ""},
		"empty":                    {"", now, ErrMalformed, ""},
		"a key":                    {"0123456789abcdef", now, ErrMalformed, ""},
		"too long":                 {strings.Repeat("a", maxLength+1), now, ErrMalformed, ""},
		"not base64 in the middle": {head + ".%%%." + "x", now, ErrMalformed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier()
			for _, round := range []string{"first", "again"} {
				err := v.Check(tt.token, keys, endpoint, tt.at)
				if !errors.Is(err, tt.want) || tt.want == nil && err != nil || err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s: Check = %v, want %v saying %q", round, err, tt.want, tt.says)
				}
				if err != nil && len(tt.token) > 20 && strings.Contains(err.Error(), tt.token) {
					t.Error("the error repeats the token")
				}
			}
		})
	}
}

func TestATokenThatIsKnownIsRefusedAsSoonAsThingsChange(t *testing.T) {
	s := newSigner("k1")
	keys, v, text := NewKeys(map[string][]byte{"k1": s.public()}), NewVerifier(), s.sign(t, nil)
	if err := v.Check(text, keys, endpoint, now); err != nil {
		t.Fatal(err)
	}
	revoked := endpoint
	revoked.Generation++
	if err := v.Check(text, keys, revoked, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("after a revocation: %v", err)
	}
	if err := v.Check(text, Keys{}, endpoint, now); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("after the key was withdrawn: %v", err)
	}
	if err := v.Check(text, keys, endpoint, now.Add(2*time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("after its time: %v", err)
	}
	if err := v.Check(text, keys, endpoint, now); err != nil {
		t.Errorf("it was good all the time: %v", err)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	c := newCache()
	for i := range 5 * shards * perShard {
		c.put(sha256.Sum256(fmt.Append(nil, i)), &claims{})
	}
	held := 0
	for i := range c.shards {
		held += len(c.shards[i].young) + len(c.shards[i].old)
	}
	if held > 2*shards*perShard {
		t.Errorf("%d tokens are held, at most %d may be", held, 2*shards*perShard)
	}
}

func FuzzCheck(f *testing.F) {
	s := newSigner("k1")
	keys, v := NewKeys(map[string][]byte{"k1": s.public()}), NewVerifier()
	good := s.sign(f, nil)
	f.Add(good)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		if err := v.Check(text, keys, endpoint, now); err == nil && text != good {
			t.Errorf("%q opens the endpoint", text)
		}
	})
}

func BenchmarkCheckKnown(b *testing.B) {
	s := newSigner("k1")
	keys, v, text := NewKeys(map[string][]byte{"k1": s.public()}), NewVerifier(), s.sign(b, nil)
	for b.Loop() {
		if err := v.Check(text, keys, endpoint, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckNew(b *testing.B) {
	s := newSigner("k1")
	keys, v, text := NewKeys(map[string][]byte{"k1": s.public()}), NewVerifier(), s.sign(b, nil)
	for b.Loop() {
		v.known = newCache()
		if err := v.Check(text, keys, endpoint, now); err != nil {
			b.Fatal(err)
		}
	}
}
