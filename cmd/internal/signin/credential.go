// Package signin signs the user of the command line in with an identity
// provider, and keeps the tokens in a file that only the user can read.
//
// There is one credential for each control plane. A Source is safe for
// concurrent use; everything else belongs to one goroutine.
package signin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Credential is what a sign-in gave.
type Credential struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"clientId"`
	// TokenURL is where the refresh token is exchanged.
	TokenURL     string    `json:"tokenUrl"`
	IDToken      string    `json:"idToken"`
	RefreshToken string    `json:"refreshToken,omitempty"`
	Expiry       time.Time `json:"expiry"`
}

// Store is the file of all credentials.
type Store struct{ path string }

// NewStore names the file in the user's home folder.
func NewStore(home string) Store {
	return Store{path: filepath.Join(home, ".config", "fairlead", "credentials.json")}
}

// Path is where the file is.
func (s Store) Path() string { return s.path }

// Load gives the credential for a control plane; ok is false when there is none.
func (s Store) Load(server string) (c Credential, ok bool, err error) {
	all, err := s.read()
	c, ok = all[server]
	return c, ok, err
}

// Save keeps the credential for a control plane.
func (s Store) Save(server string, c Credential) error {
	all, err := s.read()
	if err != nil {
		return err
	}
	all[server] = c
	return s.write(all)
}

// Remove forgets the credential for a control plane; ok is false when there was none.
func (s Store) Remove(server string) (ok bool, err error) {
	all, err := s.read()
	if err != nil {
		return false, err
	}
	if _, ok = all[server]; !ok {
		return false, nil
	}
	delete(all, server)
	return true, s.write(all)
}

func (s Store) read() (map[string]Credential, error) {
	all := map[string]Credential{}
	content, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the sign-ins: %w", err)
	}
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; remove it and sign in again", s.path, err)
	}
	return all, nil
}

// write replaces the file as a whole.
func (s Store) write(all map[string]Credential) error {
	content, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	folder := filepath.Dir(s.path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("keep the sign-in: %w", err)
	}
	temp, err := os.CreateTemp(folder, "credentials.*.tmp") // made with mode 0600
	if err != nil {
		return fmt.Errorf("keep the sign-in: %w", err)
	}
	_, err = temp.Write(content)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return fmt.Errorf("keep the sign-in: %w", err)
	}
	return nil
}
