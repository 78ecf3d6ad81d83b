// Package endpointkey holds the rules of endpoint keys: each endpoint has two,
// which differ from each other and are replaced one at a time.
//
// An aggregate carries the keys sealed, together with their digests; rules look
// at digests only, so that a key in clear exists no longer than it takes to
// seal it or to answer with it. The package is pure, but for randomness in
// GenerateSecret.
package endpointkey

import (
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/auth/internal/fact"
)

// Slot names one of the two keys.
type Slot string

// The two keys of an endpoint.
const (
	Primary   Slot = "primary"
	Secondary Slot = "secondary"
)

// Key is one key at rest.
type Key struct {
	Sealed []byte `json:"sealed"`
	Digest Digest `json:"digest"`
}

// Mode says how callers of an endpoint show who they are.
type Mode string

// The modes.
const (
	ModeKey   Mode = "" // what was stored before there were others
	ModeNone  Mode = "none"
	ModeToken Mode = "token"
)

// Keys are the keys of one endpoint, and what is known of its tokens.
type Keys struct {
	Endpoint    string `json:"endpoint"` // workspaces/{workspace}/endpoints/{endpoint}
	EndpointUID string `json:"endpoint_uid"`
	Primary     Key    `json:"primary"`
	Secondary   Key    `json:"secondary"`
	Mode        Mode   `json:"mode,omitempty"`
	// TokenGeneration counts the revocations: older tokens are invalid.
	TokenGeneration int64     `json:"token_generation,omitempty"`
	Generation      int64     `json:"generation"`
	EventSequence   int64     `json:"event_sequence"`
	CreateTime      time.Time `json:"create_time"`
	UpdateTime      time.Time `json:"update_time"`
}

// New gives the keys of a new endpoint.
func New(endpoint, uid string, primary, secondary Key, now time.Time) (Keys, fact.Fact, error) {
	if primary.Digest == secondary.Digest {
		return Keys{}, fact.Fact{}, alike("secondary_key")
	}
	k := Keys{Endpoint: endpoint, EndpointUID: uid, Primary: primary, Secondary: secondary, CreateTime: now}
	k, f := k.changed("created", "the keys of the endpoint were created", nil, now)
	return k, f, nil
}

// Regenerate replaces one key; the other stays. The same key again changes
// nothing: ok is false and there is no fact.
func (k Keys) Regenerate(slot Slot, next Key, now time.Time) (regenerated Keys, f fact.Fact, ok bool, err error) {
	current, other := &k.Primary, k.Secondary
	if slot == Secondary {
		current, other = &k.Secondary, k.Primary
	}
	if next.Digest == other.Digest {
		return k, fact.Fact{}, false, alike("key_value")
	}
	if next.Digest == current.Digest {
		return k, fact.Fact{}, false, nil
	}
	*current = next
	k, f = k.changed("regenerated", "the "+string(slot)+" key of the endpoint was replaced", map[string]string{"keyType": string(slot)}, now)
	return k, f, true, nil
}

// Delete gives the last fact of these keys.
func (k Keys) Delete(now time.Time) fact.Fact {
	_, f := k.changed("deleted", "the keys of the endpoint were deleted", nil, now)
	return f
}

// WithMode changes the mode; ok is false when it is the same.
func (k Keys) WithMode(m Mode, now time.Time) (changed Keys, f fact.Fact, ok bool) {
	if k.Mode == m {
		return k, fact.Fact{}, false
	}
	k.Mode = m
	k, f = k.changed("updated", "the endpoint is now opened by "+m.means(), nil, now)
	return k, f, true
}

func (m Mode) means() string {
	switch m {
	case ModeToken:
		return "tokens"
	case ModeNone:
		return "nothing: everybody may score"
	case ModeKey:
	}
	return "keys"
}

// RevokeTokens makes every token that exists invalid.
func (k Keys) RevokeTokens(now time.Time) (Keys, fact.Fact) {
	k.TokenGeneration++
	k, f := k.changed("revoked", "all tokens of the endpoint were revoked", nil, now)
	f.Resource = "endpointtoken"
	return k, f
}

// RequireTokens is nil for an endpoint in token mode.
func (k Keys) RequireTokens() error {
	if k.Mode == ModeToken {
		return nil
	}
	uses, remedy := "keys", "get them with: fairlead endpoint get-keys -n "+resourcename.Last(k.Endpoint)
	if k.Mode == ModeNone {
		uses, remedy = "neither keys nor tokens", "send requests as they are"
	}
	return apierr.New(apierr.FailedPrecondition, "ENDPOINT_NOT_IN_TOKEN_MODE",
		"endpoint %s uses %s: %s, or change its authentication mode to tokens", resourcename.Last(k.Endpoint), uses, remedy).
		With("endpoint", k.Endpoint).With("mode", string(k.Mode))
}

// RefuseTokens is an error for an endpoint in token mode, whose keys open nothing.
func (k Keys) RefuseTokens() error {
	if k.Mode != ModeToken {
		return nil
	}
	id := resourcename.Last(k.Endpoint)
	return apierr.New(apierr.FailedPrecondition, "ENDPOINT_IN_TOKEN_MODE",
		"endpoint %s uses tokens and its keys open nothing: get a token with: fairlead endpoint get-token -n %s, "+
			"or change its authentication mode to keys", id, id).With("endpoint", k.Endpoint)
}

// Digests gives the digests of the valid keys.
func (k Keys) Digests() []Digest { return []Digest{k.Primary.Digest, k.Secondary.Digest} }

// NotFound is the error for an endpoint without keys.
func NotFound(endpoint string) error {
	return apierr.New(apierr.NotFound, "ENDPOINT_KEYS_NOT_FOUND",
		"there is no endpoint %s in workspace %s, or it was never given keys", resourcename.Last(endpoint), resourcename.Workspace(endpoint)).
		With("endpoint", endpoint)
}

func alike(field string) error {
	return apierr.Invalid(apierr.Violation{Field: field, Description: "must differ from the endpoint's other key"})
}

func (k Keys) changed(verb, message string, details map[string]string, now time.Time) (Keys, fact.Fact) {
	k.Generation++
	k.EventSequence++
	k.UpdateTime = now
	return k, fact.Fact{
		Resource: "endpointkey", Verb: verb, Workspace: resourcename.Workspace(k.Endpoint), Subject: k.Endpoint,
		UID: k.EndpointUID, Generation: k.Generation, Sequence: k.EventSequence, Time: now,
		Message: message, Details: details,
	}
}
