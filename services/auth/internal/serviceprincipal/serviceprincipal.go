// Package serviceprincipal holds the rules of programs that call the control
// plane by themselves, and of their secrets.
//
// A secret is a bearer token that names its principal; only its digest is kept,
// and compared in constant time. The package is pure, but for randomness in
// AddSecret.
package serviceprincipal

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"slices"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/auth/internal/identity"
	"github.com/fairlead/fairlead/services/auth/internal/workspace"
)

const (
	// MaxSecrets bounds the secrets of one principal.
	MaxSecrets           = 8
	maxDescriptionLength = 1000
	randomBytes          = 32
	secretPrefix         = "fls_"
)

var secretForm = regexp.MustCompile(`^fls_([a-z][-a-z0-9]{2,31})_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$`)

// Principal is a program that calls the control plane.
type Principal struct {
	ID          string    `json:"id"`
	UID         string    `json:"uid"`
	Description string    `json:"description,omitempty"`
	Secrets     []Secret  `json:"secrets,omitempty"`
	CreateTime  time.Time `json:"create_time"`
}

// Secret is one of its secrets at rest.
type Secret struct {
	ID         string    `json:"id"`
	Digest     []byte    `json:"digest"`
	CreateTime time.Time `json:"create_time"`
	ExpireTime time.Time `json:"expire_time,omitzero"`
}

// New makes a principal. The error lists all that is wrong.
func New(id, uid, description string, now time.Time) (Principal, error) {
	var bad apierr.Violations
	if !workspace.ValidID(id) {
		bad.Add("service_principal_id", "must start with a lower-case letter, hold only lower-case letters, digits and dashes, "+
			"end with a letter or digit, and be 3 to 32 characters long")
	}
	if len(description) > maxDescriptionLength {
		bad.Add("service_principal.description", "must be at most %d characters long", maxDescriptionLength)
	}
	return Principal{ID: id, UID: uid, Description: description, CreateTime: now}, bad.Err()
}

// Name gives the resource name.
func (p Principal) Name() string { return resourcename.Format("servicePrincipals", p.ID) }

// Principal gives its name as role bindings have it.
func (p Principal) Principal() string { return identity.ServicePrincipal + p.ID }

// SecretName gives the resource name of a secret.
func (p Principal) SecretName(id string) string { return resourcename.Format(p.Name(), "secrets", id) }

// AddSecret makes a secret; a lifetime of 0 means that it has no end. The token
// exists nowhere but in the answer.
func (p Principal) AddSecret(lifetime time.Duration, now time.Time) (with Principal, made Secret, token string, err error) {
	p.Secrets = slices.DeleteFunc(slices.Clone(p.Secrets), func(s Secret) bool { return s.expired(now) })
	if len(p.Secrets) >= MaxSecrets {
		return p, Secret{}, "", apierr.New(apierr.FailedPrecondition, "TOO_MANY_SECRETS",
			"service principal %s has %d secrets, which is all that it can have; delete one first", p.ID, MaxSecrets)
	}
	var id [8]byte
	var random [randomBytes]byte
	if _, err := rand.Read(id[:]); err != nil {
		return p, Secret{}, "", err
	}
	if _, err := rand.Read(random[:]); err != nil {
		return p, Secret{}, "", err
	}
	made = Secret{ID: hex.EncodeToString(id[:]), CreateTime: now}
	if lifetime > 0 {
		made.ExpireTime = now.Add(lifetime)
	}
	token = secretPrefix + p.ID + "_" + made.ID + "_" + base64.RawURLEncoding.EncodeToString(random[:])
	made.Digest = digest(token)
	p.Secrets = append(p.Secrets, made)
	return p, made, token, nil
}

// RemoveSecret makes a secret invalid; ok is false when there is none.
func (p Principal) RemoveSecret(id string) (without Principal, ok bool) {
	n := len(p.Secrets)
	p.Secrets = slices.DeleteFunc(slices.Clone(p.Secrets), func(s Secret) bool { return s.ID == id })
	return p, len(p.Secrets) < n
}

// Owner gives the id of the principal that a token says it is of; ok is false
// when it is no secret of a service principal.
func Owner(token string) (id string, ok bool) {
	m := secretForm.FindStringSubmatch(token)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// Verify gives the identity behind one of p's secrets. ok is false for a token
// that is none of them, and expired for one whose time is over.
func (p Principal) Verify(token string, now time.Time) (who identity.Identity, ok, expired bool) {
	given := digest(token)
	for _, s := range p.Secrets {
		if subtle.ConstantTimeCompare(given, s.Digest) != 1 {
			continue
		}
		return identity.Identity{Principal: p.Principal(), ExpireTime: s.ExpireTime}, !s.expired(now), s.expired(now)
	}
	return identity.Identity{}, false, false
}

// NotFound is the error for a principal that does not exist.
func NotFound(id string) error {
	return apierr.New(apierr.NotFound, "SERVICE_PRINCIPAL_NOT_FOUND", "there is no service principal %s", id).
		With("service_principal", id)
}

func (s Secret) expired(now time.Time) bool {
	return !s.ExpireTime.IsZero() && !now.Before(s.ExpireTime)
}

func digest(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
