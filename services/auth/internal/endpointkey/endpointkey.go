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

// Keys are the keys of one endpoint.
type Keys struct {
	Endpoint      string    `json:"endpoint"` // workspaces/{workspace}/endpoints/{endpoint}
	EndpointUID   string    `json:"endpoint_uid"`
	Primary       Key       `json:"primary"`
	Secondary     Key       `json:"secondary"`
	Generation    int64     `json:"generation"`
	EventSequence int64     `json:"event_sequence"`
	CreateTime    time.Time `json:"create_time"`
	UpdateTime    time.Time `json:"update_time"`
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
