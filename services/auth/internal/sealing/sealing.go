// Package sealing encrypts endpoint keys and signing keys for the store.
//
// A sealed key opens only as the key of the same endpoint and slot that it was
// sealed for, so that values swapped in the store are noticed. A Sealer is safe
// for concurrent use.
package sealing

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets" // also the one URL scheme, base64key://

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/auth/internal/endpointkey"
	"github.com/fairlead/fairlead/services/auth/internal/secretfile"
)

// Place is where a key belongs.
type Place struct {
	Endpoint    string           `json:"endpoint"`
	EndpointUID string           `json:"endpoint_uid"`
	Slot        endpointkey.Slot `json:"slot"`
}

// content is what is encrypted.
type content struct {
	Place
	Key string `json:"key"`
}

// Sealer seals and opens keys.
type Sealer struct {
	keeper *secrets.Keeper
}

// OpenFile makes a Sealer of the key in the file at path, which is made when
// it is not there.
func OpenFile(path string, log *slog.Logger) (*Sealer, error) {
	text, err := secretfile.Ensure(path, generate, log)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	key, err := localsecrets.Base64Key(text)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %s is damaged: it must hold the base64 text of 32 bytes; restore it from a backup, "+
			"or remove it to lose the endpoint keys that were sealed with it", path)
	}
	return &Sealer{keeper: localsecrets.NewKeeper(key)}, nil
}

// OpenURL makes a Sealer of a gocloud.dev/secrets URL. The URL can hold the key
// itself, so it is not repeated in the error.
func OpenURL(ctx context.Context, url string) (*Sealer, error) {
	keeper, err := secrets.OpenKeeper(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("sealing key: the URL cannot be used; it must have the form base64key://KEY with the base64url text of 32 bytes")
	}
	return &Sealer{keeper: keeper}, nil
}

// Close releases the key.
func (s *Sealer) Close() error { return s.keeper.Close() }

// Seal gives the key at rest.
func (s *Sealer) Seal(ctx context.Context, at Place, secret endpointkey.Secret) (endpointkey.Key, error) {
	plain, err := json.Marshal(content{Place: at, Key: secret.Reveal()})
	if err != nil {
		return endpointkey.Key{}, fmt.Errorf("seal the %s key of %s: %w", at.Slot, at.Endpoint, err)
	}
	sealed, err := s.keeper.Encrypt(ctx, plain)
	if err != nil {
		return endpointkey.Key{}, fmt.Errorf("seal the %s key of %s: %w", at.Slot, at.Endpoint, err)
	}
	return endpointkey.Key{Sealed: sealed, Digest: secret.Digest()}, nil
}

// Open gives the key in clear.
func (s *Sealer) Open(ctx context.Context, at Place, key endpointkey.Key) (endpointkey.Secret, error) {
	lost := apierr.New(apierr.DataLoss, "ENDPOINT_KEY_UNREADABLE",
		"the %s key of %q cannot be unsealed: the sealing key has changed or the stored key is damaged; "+
			"the key itself goes on working; restore the sealing key or regenerate this key", at.Slot, at.Endpoint)
	plain, err := s.keeper.Decrypt(ctx, key.Sealed)
	if err != nil {
		return endpointkey.Secret{}, lost.Because(err)
	}
	var c content
	if err := json.Unmarshal(plain, &c); err != nil {
		return endpointkey.Secret{}, lost // the cause could quote the key
	}
	var bad apierr.Violations
	secret := endpointkey.ParseSecret("key", c.Key, &bad)
	if len(bad) > 0 || c.Place != at || secret.Digest() != key.Digest {
		return endpointkey.Secret{}, lost
	}
	return secret, nil
}

// sealedData is what is encrypted of anything but an endpoint key.
type sealedData struct {
	Purpose string `json:"purpose"`
	Data    []byte `json:"data"`
}

// SealFor gives data at rest; it opens for the same purpose only.
func (s *Sealer) SealFor(ctx context.Context, purpose string, data []byte) ([]byte, error) {
	plain, err := json.Marshal(sealedData{Purpose: purpose, Data: data})
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", purpose, err)
	}
	sealed, err := s.keeper.Encrypt(ctx, plain)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", purpose, err)
	}
	return sealed, nil
}

// OpenFor gives what was sealed for this purpose.
func (s *Sealer) OpenFor(ctx context.Context, purpose string, sealed []byte) ([]byte, error) {
	lost := apierr.New(apierr.DataLoss, "SECRET_UNREADABLE",
		"%s cannot be unsealed: the sealing key has changed or the stored value is damaged; restore the sealing key, or make new keys with: fairlead auth rotate-signing-key --withdraw", purpose)
	plain, err := s.keeper.Decrypt(ctx, sealed)
	if err != nil {
		return nil, lost.Because(err)
	}
	var c sealedData
	if json.Unmarshal(plain, &c) != nil || c.Purpose != purpose { // the cause could quote the secret
		return nil, lost
	}
	return c.Data, nil
}

func generate() (string, error) {
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return "", err
	}
	return base64.URLEncoding.EncodeToString(key[:]), nil
}
