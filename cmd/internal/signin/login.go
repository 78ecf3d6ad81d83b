package signin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// callbackPath is where the identity provider sends the browser back to.
const callbackPath = "/callback"

// Wish is how a user wants to sign in.
type Wish struct {
	Issuer, ClientID string
	Scopes           []string
	// Device has the user confirm a code in a browser on any machine; otherwise the
	// browser must be on this machine.
	Device bool
	// CallbackPort is the port on this machine that the browser is sent back to; 0
	// means any.
	CallbackPort int
	// Say takes what the user is told.
	Say io.Writer
}

// Login signs the user in.
func Login(ctx context.Context, w Wish) (Credential, error) {
	provider, err := oidc.NewProvider(ctx, w.Issuer)
	if err != nil {
		return Credential{}, fmt.Errorf("the identity provider %s: %w", w.Issuer, err)
	}
	config := oauth2.Config{ClientID: w.ClientID, Endpoint: provider.Endpoint(), Scopes: w.Scopes}
	config.Endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client has no secret
	var token *oauth2.Token
	nonce := ""
	if w.Device {
		token, err = byDevice(ctx, config, w.Say)
	} else {
		nonce = rand.Text()
		token, err = byBrowser(ctx, config, w, nonce)
	}
	if err != nil {
		return Credential{}, err
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Credential{}, errors.New("the identity provider gave no ID token: the scope openid must be asked for")
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: w.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Credential{}, fmt.Errorf("the ID token of %s is not valid: %w", w.Issuer, err)
	}
	if verified.Nonce != nonce {
		return Credential{}, errors.New("the ID token belongs to another sign-in; try again")
	}
	return Credential{
		Issuer: w.Issuer, ClientID: w.ClientID, TokenURL: config.Endpoint.TokenURL,
		IDToken: raw, RefreshToken: token.RefreshToken, Expiry: verified.Expiry,
	}, nil
}

func byDevice(ctx context.Context, config oauth2.Config, say io.Writer) (*oauth2.Token, error) {
	if config.Endpoint.DeviceAuthURL == "" {
		return nil, errors.New("the identity provider knows no device codes; sign in without --device")
	}
	answer, err := config.DeviceAuth(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for a device code: %w", err)
	}
	fmt.Fprintf(say, "Open %s in a browser and enter the code %s\n", answer.VerificationURI, answer.UserCode)
	if answer.VerificationURIComplete != "" {
		fmt.Fprintf(say, "or open %s\n", answer.VerificationURIComplete)
	}
	token, err := config.DeviceAccessToken(ctx, answer)
	if err != nil {
		return nil, fmt.Errorf("the code was not confirmed: %w", err)
	}
	return token, nil
}

// arrival is what the browser brings back.
type arrival struct {
	code string
	err  error
}

func byBrowser(ctx context.Context, config oauth2.Config, w Wish, nonce string) (*oauth2.Token, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(w.CallbackPort)))
	if err != nil {
		return nil, fmt.Errorf("wait for the browser: %w", err)
	}
	config.RedirectURL = "http://" + listener.Addr().String() + callbackPath
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	arrivals := make(chan arrival, 1)
	server := &http.Server{Handler: callback(state, arrivals), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // ends with Close
	}()
	defer func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(drain) != nil {
			_ = server.Close()
		}
		<-ended
	}()
	fmt.Fprintf(w.Say, "Open this address in a browser on this machine:\n%s\n",
		config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)))
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case a := <-arrivals:
		if a.err != nil {
			return nil, a.err
		}
		token, err := config.Exchange(ctx, a.code, oauth2.VerifierOption(verifier))
		if err != nil {
			return nil, fmt.Errorf("the identity provider gave no token: %w", err)
		}
		return token, nil
	}
}

// callback takes the one answer that belongs to this sign-in.
func callback(state string, arrivals chan<- arrival) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+callbackPath, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("state") != state {
			http.Error(w, "This answer belongs to no sign-in that waits.", http.StatusBadRequest)
			return
		}
		a := arrival{code: q.Get("code")}
		if refused := q.Get("error"); refused != "" || a.code == "" {
			a.err = fmt.Errorf("the identity provider refused: %s %s", refused, q.Get("error_description"))
		}
		select {
		case arrivals <- a:
		default: // the browser came twice
		}
		_, _ = io.WriteString(w, "You can close this page and go back to the command line.\n")
	})
	return mux
}

// expiryOf reads when a token expires that came from the provider itself.
func expiryOf(token string) (time.Time, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, errors.New("the identity provider gave a malformed ID token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, fmt.Errorf("the identity provider gave a malformed ID token: %w", err)
	}
	var claims struct {
		Expiry int64 `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return time.Time{}, fmt.Errorf("the identity provider gave a malformed ID token: %w", err)
	}
	return time.Unix(claims.Expiry, 0), nil
}
