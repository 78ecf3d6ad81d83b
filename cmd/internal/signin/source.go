package signin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// refreshBefore is how long before its end a token is replaced.
const refreshBefore = time.Minute

// Source gives a token that is valid, and keeps the new one when it had to be
// refreshed.
type Source struct {
	store  Store
	server string
	now    func() time.Time

	mu         sync.Mutex
	credential Credential
}

// NewSource makes a Source of the credential for a control plane.
func NewSource(store Store, server string, c Credential) *Source {
	return &Source{store: store, server: server, credential: c, now: time.Now}
}

// Token gives the token.
func (s *Source) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Before(s.credential.Expiry.Add(-refreshBefore)) {
		return s.credential.IDToken, nil
	}
	if s.credential.RefreshToken == "" {
		return s.credential.IDToken, nil // the server says that it has expired, and what to do
	}
	fresh, err := s.credential.refreshed(ctx)
	if err != nil {
		return "", fmt.Errorf("the sign-in cannot be renewed: %w; sign in again with: fairlead auth login", err)
	}
	s.credential = fresh
	return fresh.IDToken, s.store.Save(s.server, fresh)
}

func (c Credential) refreshed(ctx context.Context) (Credential, error) {
	config := oauth2.Config{ClientID: c.ClientID, Endpoint: oauth2.Endpoint{TokenURL: c.TokenURL, AuthStyle: oauth2.AuthStyleInParams}}
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: c.RefreshToken}).Token()
	if err != nil {
		return c, err
	}
	id, ok := token.Extra("id_token").(string)
	if !ok {
		return c, errors.New("the identity provider gave no new ID token")
	}
	c.IDToken = id
	if token.RefreshToken != "" {
		c.RefreshToken = token.RefreshToken
	}
	c.Expiry, err = expiryOf(id)
	return c, err
}
