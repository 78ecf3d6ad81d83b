package oidc

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/auth/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// issuer is an identity provider with one key.
type issuer struct {
	*httptest.Server
	key  *rsa.PrivateKey
	asks atomic.Int32 // for its keys
	away atomic.Bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/a", "token_endpoint": i.URL + "/t",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asks.Add(1)
		b64 := base64.RawURLEncoding.EncodeToString
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "kid": "k", "alg": "RS256", "use": "sig", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) token(t *testing.T, key *rsa.PrivateKey, change jwt.MapClaims) string {
	t.Helper()
	c := jwt.MapClaims{
		"iss": i.URL, "sub": "42", "aud": "fairlead", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": "ann@example.com", "email_verified": true,
	}
	for k, v := range change {
		c[k] = v
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, c)
	token.Header["kid"] = "k"
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func verifier(t *testing.T, issuers ...Issuer) *Verifier {
	t.Helper()
	v, err := New(issuers, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestVerify(t *testing.T) {
	i := newIssuer(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	bySubject := "user:" + i.URL + "#42"
	for name, tt := range map[string]struct {
		claims    jwt.MapClaims
		userClaim string
		key       *rsa.PrivateKey
		want      string
		groups    []string
		reason    string
	}{
		"verified email":         {jwt.MapClaims{"groups": []string{"ml", "bad\ngroup"}}, "", i.key, "user:ann@example.com", []string{"group:ml"}, ""},
		"one group":              {jwt.MapClaims{"groups": "ml"}, "", i.key, "user:ann@example.com", []string{"group:ml"}, ""},
		"email not verified":     {jwt.MapClaims{"email_verified": false}, "", i.key, bySubject, nil, ""},
		"nothing about the mail": {jwt.MapClaims{"email_verified": nil}, "", i.key, bySubject, nil, ""},
		"no email":               {jwt.MapClaims{"email": nil}, "", i.key, bySubject, nil, ""},
		"another claim":          {jwt.MapClaims{"upn": "ann", "email_verified": nil}, "upn", i.key, "user:ann", nil, ""},
		"name of another's form": {jwt.MapClaims{"upn": "https://other.example.com#1"}, "upn", i.key, bySubject, nil, ""},
		"email verified by text": {jwt.MapClaims{"email_verified": "true"}, "", i.key, bySubject, nil, ""},
		"name of a group":        {jwt.MapClaims{"upn": "admin", "groups": []any{"user:ann", map[string]any{"x": "y"}, 7, ""}}, "upn", i.key, "user:admin", []string{"group:user:ann"}, ""},
		"several audiences":      {jwt.MapClaims{"aud": []string{"fairlead", "shop"}, "azp": "fairlead"}, "", i.key, "user:ann@example.com", nil, ""},
		"got by another":         {jwt.MapClaims{"aud": []string{"fairlead", "shop"}, "azp": "shop"}, "", i.key, "", nil, "TOKEN_INVALID"},
		"got by nobody":          {jwt.MapClaims{"aud": []string{"fairlead", "shop"}}, "", i.key, "", nil, "TOKEN_INVALID"},
		"no subject":             {jwt.MapClaims{"sub": ""}, "", i.key, "", nil, "TOKEN_INVALID"},
		"no expiry":              {jwt.MapClaims{"exp": 0}, "", i.key, "", nil, "TOKEN_WITHOUT_EXPIRY"},
		"an expiry that is none": {jwt.MapClaims{"exp": nil}, "", i.key, "", nil, "TOKEN_INVALID"},
		"not yet valid":          {jwt.MapClaims{"nbf": now.Add(time.Hour).Unix()}, "", i.key, "", nil, "TOKEN_INVALID"},
		"another audience":       {jwt.MapClaims{"aud": "other"}, "", i.key, "", nil, "TOKEN_INVALID"},
		"another issuer":         {jwt.MapClaims{"iss": "https://evil.example.com"}, "", i.key, "", nil, "TOKEN_INVALID"},
		"expired":                {jwt.MapClaims{"exp": now.Add(-time.Second).Unix()}, "", i.key, "", nil, "TOKEN_EXPIRED"},
		"signed by a stranger":   {nil, "", stranger, "", nil, "TOKEN_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			v := verifier(t, Issuer{URL: i.URL, Audience: "fairlead", UserClaim: tt.userClaim})
			got, err := v.Verify(t.Context(), i.token(t, tt.key, tt.claims))
			if tt.reason != "" {
				if e := apierr.FromStatus(err); e == nil || e.Kind != apierr.Unauthenticated || e.Reason != tt.reason {
					t.Errorf("Verify = %v, %v; want %s", got, err, tt.reason)
				}
				return
			}
			want := identity.Identity{Principal: tt.want, Groups: tt.groups, ExpireTime: got.ExpireTime}
			if diff := cmp.Diff(want, got); diff != "" || err != nil || !got.ExpireTime.Equal(now.Add(time.Hour)) {
				t.Errorf("Verify: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// The algorithm is the provider's to say, not the token's.
func TestAlgorithmsThatATokenChoosesItself(t *testing.T) {
	i := newIssuer(t)
	v := verifier(t, Issuer{URL: i.URL, Audience: "fairlead"})
	public, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{"iss": i.URL, "sub": "42", "aud": "fairlead", "exp": now.Add(time.Hour).Unix(), "email": "ann@example.com", "email_verified": true}
	for name, tt := range map[string]struct {
		method jwt.SigningMethod
		key    any
	}{
		"none":                                   {jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType},
		"HMAC with the public key":               {jwt.SigningMethodHS256, public},
		"HMAC with the public key's PEM":         {jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})},
		"the right key by another RSA signature": {jwt.SigningMethodRS512, i.key},
	} {
		t.Run(name, func(t *testing.T) {
			token := jwt.NewWithClaims(tt.method, claims)
			token.Header["kid"] = "k"
			text, err := token.SignedString(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			if who, err := v.Verify(t.Context(), text); apierr.KindOf(err) != apierr.Unauthenticated {
				t.Errorf("Verify = %v, %v; want that it is refused", who, err)
			}
		})
	}
}

func TestAnIssuerThatIsAway(t *testing.T) {
	i := newIssuer(t)
	at := now
	v, err := New([]Issuer{{URL: i.URL, Audience: "fairlead"}}, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	token := i.token(t, i.key, nil)
	i.away.Store(true)
	if _, err := v.Verify(t.Context(), token); apierr.KindOf(err) != apierr.Unavailable {
		t.Errorf("before it was ever reached: %v, want that it is not available", err)
	}
	i.away.Store(false)
	at = at.Add(retryAfter)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatalf("when it is back: %v", err)
	}
	i.away.Store(true)
	for range 3 {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("with its keys known: %v", err)
		}
	}
	if n := i.asks.Load(); n != 1 {
		t.Errorf("it was asked for its keys %d times, want once", n)
	}
}

func TestIssuerValidate(t *testing.T) {
	for _, bad := range []Issuer{
		{}, {URL: "https://login.example.com"}, {URL: "http://login.example.com", Audience: "a"}, {URL: "login.example.com", Audience: "a"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	for _, good := range []Issuer{{URL: "https://login.example.com/x", Audience: "a"}, {URL: "http://127.0.0.1:1", Audience: "a"}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

func FuzzIssuerOf(f *testing.F) {
	f.Add("a.eyJpc3MiOiJ4In0.c")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if issuer, err := issuerOf(token); err == nil && issuer != "" && strings.Count(token, ".") != 2 {
			t.Errorf("%q has the issuer %q", token, issuer)
		}
	})
}
