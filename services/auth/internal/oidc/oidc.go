// Package oidc verifies the ID tokens of identity providers.
//
// A provider is discovered when the first token of it arrives, and its keys are
// kept: with the provider down, tokens signed with known keys still verify. A
// Verifier is safe for concurrent use.
package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/auth/internal/identity"
)

const (
	// discoveryTimeout bounds one call to a provider.
	discoveryTimeout = 5 * time.Second
	// retryAfter is how long a provider that could not be discovered is left alone.
	retryAfter = 5 * time.Second
	// maxGroups bounds the groups of one user that count.
	maxGroups = 500
)

// The claims that are looked at when nothing is said.
const (
	DefaultUserClaim   = "email"
	DefaultGroupsClaim = "groups"
)

// Issuer is one identity provider.
type Issuer struct {
	// URL as in the iss of its tokens.
	URL string
	// Audience is the client id that tokens must be made for.
	Audience string
	// UserClaim holds the user's name. An "email" counts only when the provider
	// says that it is verified. Without a name a user is user:ISSUER#SUBJECT.
	UserClaim string
	// GroupsClaim holds the user's groups.
	GroupsClaim string
}

// Validate reports everything that is wrong.
func (i Issuer) Validate() error {
	var problems []error
	u, err := url.Parse(i.URL)
	switch {
	case err != nil || u.Host == "":
		problems = append(problems, fmt.Errorf("the issuer must be a URL, not %q", i.URL))
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		problems = append(problems, fmt.Errorf("the issuer %s must be https: its keys decide who is let in", i.URL))
	}
	if i.Audience == "" {
		problems = append(problems, fmt.Errorf("the client id of issuer %q is missing", i.URL))
	}
	return errors.Join(problems...)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// provider is an issuer with what has been learnt of it.
type provider struct {
	Issuer
	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	failed   error
	failedAt time.Time
}

// Verifier knows the tokens of some issuers.
type Verifier struct {
	providers map[string]*provider
	client    *http.Client
	now       func() time.Time
}

// New makes a Verifier.
func New(issuers []Issuer, now func() time.Time) (*Verifier, error) {
	v := &Verifier{providers: map[string]*provider{}, client: &http.Client{Timeout: discoveryTimeout}, now: now}
	for _, i := range issuers {
		if err := i.Validate(); err != nil {
			return nil, err
		}
		if i.UserClaim == "" {
			i.UserClaim = DefaultUserClaim
		}
		if i.GroupsClaim == "" {
			i.GroupsClaim = DefaultGroupsClaim
		}
		if v.providers[i.URL] != nil {
			return nil, fmt.Errorf("the issuer %s is given twice", i.URL)
		}
		v.providers[i.URL] = &provider{Issuer: i}
	}
	return v, nil
}

// Close ends idle connections to providers.
func (v *Verifier) Close() { v.client.CloseIdleConnections() }

// Verify says who the token is of.
func (v *Verifier) Verify(ctx context.Context, token string) (identity.Identity, error) {
	issuer, err := issuerOf(token)
	if err != nil {
		return identity.Identity{}, invalid("the bearer token is a malformed JSON Web Token")
	}
	p := v.providers[issuer]
	if p == nil {
		return identity.Identity{}, invalid("the bearer token is of the issuer %q, which this control plane does not trust", shorten(issuer))
	}
	verifier, err := v.discover(ctx, p)
	if err != nil {
		return identity.Identity{}, err
	}
	verified, err := verifier.Verify(oidc.ClientContext(ctx, v.client), token)
	if expired, ok := errors.AsType[*oidc.TokenExpiredError](err); ok {
		if expired.Expiry.IsZero() || expired.Expiry.Unix() == 0 {
			return identity.Identity{}, apierr.New(apierr.Unauthenticated, "TOKEN_WITHOUT_EXPIRY",
				"the bearer token of %s has no time of expiry (exp); only tokens that expire are taken", issuer)
		}
		return identity.Identity{}, apierr.New(apierr.Unauthenticated, "TOKEN_EXPIRED",
			"the bearer token expired at %s; sign in again with: fairlead auth login", expired.Expiry.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return identity.Identity{}, invalid("the bearer token of %s is not valid for this control plane", issuer).Because(err)
	}
	if err := p.meantForUs(verified); err != nil {
		return identity.Identity{}, invalid("the bearer token of %s is not valid for this control plane", issuer).Because(err)
	}
	who, err := p.identity(verified)
	if err != nil {
		return identity.Identity{}, invalid("the claims of the bearer token of %s cannot be read", issuer).Because(err)
	}
	return who, nil
}

// discover asks the provider once for where its keys are.
func (v *Verifier) discover(ctx context.Context, p *provider) (*oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.verifier != nil {
		return p.verifier, nil
	}
	away := apierr.New(apierr.Unavailable, "ISSUER_AWAY", "the identity provider %s cannot be reached now; try again", p.URL)
	if p.failed != nil && v.now().Sub(p.failedAt) < retryAfter {
		return nil, away.Because(p.failed)
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, v.client), p.URL)
	if err != nil {
		if ctx.Err() == nil { // otherwise it is the caller who left
			p.failed, p.failedAt = err, v.now()
		}
		return nil, away.Because(err)
	}
	p.failed = nil
	p.verifier = found.VerifierContext(oidc.ClientContext(context.WithoutCancel(ctx), v.client), &oidc.Config{ClientID: p.Audience, Now: v.now})
	return p.verifier, nil
}

// meantForUs refuses a token without a subject, and one that another application
// got: of several audiences, the authorized party must be this control plane.
func (p *provider) meantForUs(t *oidc.IDToken) error {
	var claims struct {
		AuthorizedParty string `json:"azp"`
	}
	if err := t.Claims(&claims); err != nil {
		return err
	}
	switch {
	case t.Subject == "":
		return errors.New("it has no subject")
	case len(t.Audience) > 1 && claims.AuthorizedParty != p.Audience:
		return fmt.Errorf("it is for several audiences, and its authorized party is %q", shorten(claims.AuthorizedParty))
	}
	return nil
}

// identity reads the claims.
func (p *provider) identity(t *oidc.IDToken) (identity.Identity, error) {
	var claims map[string]any
	if err := t.Claims(&claims); err != nil {
		return identity.Identity{}, err
	}
	who := identity.Identity{Principal: identity.User + t.Issuer + "#" + t.Subject, ExpireTime: t.Expiry}
	if name := p.name(claims); name != "" {
		who.Principal = identity.User + name
	}
	for _, g := range texts(claims[p.GroupsClaim]) {
		if name := identity.Group + g; identity.ValidPrincipal(name) && len(who.Groups) < maxGroups {
			who.Groups = append(who.Groups, name)
		}
	}
	return who, nil
}

// name gives the user's name, "" when there is none that can be trusted. A "#"
// would make it look like a subject of another issuer.
func (p *provider) name(claims map[string]any) string {
	name, _ := claims[p.UserClaim].(string)
	verified, _ := claims["email_verified"].(bool)
	if p.UserClaim == DefaultUserClaim && !verified {
		return ""
	}
	if strings.Contains(name, "#") || !identity.ValidPrincipal(identity.User+name) {
		return ""
	}
	return name
}

// texts reads a claim that is a text or a list of texts.
func texts(claim any) []string {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		var out []string
		for _, one := range c {
			if s, ok := one.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// issuerOf reads the issuer of a token that is not verified yet.
func issuerOf(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("not a JSON Web Token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	return claims.Issuer, json.Unmarshal(payload, &claims)
}

func invalid(format string, args ...any) *apierr.Error {
	return apierr.New(apierr.Unauthenticated, "TOKEN_INVALID", format, args...)
}

func shorten(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
