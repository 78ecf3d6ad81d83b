package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/fairlead/fairlead/cmd/internal/assembly"
)

// issuersVariable holds what --oidc-issuer takes, separated by spaces.
const issuersVariable = "FAIRLEAD_OIDC_ISSUERS"

func (f *serving) bindAuth(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.issuers, "oidc-issuer", strings.Fields(os.Getenv(issuersVariable)),
		"identity provider whose users may sign in: URL,client-id=ID[,user-claim=email][,groups-claim=groups]; repeat for more ("+issuersVariable+")")
	fs.DurationVar(&f.auth.TokenLifetime, "token-lifetime", 24*time.Hour, "how long an endpoint's token is valid at most")
	fs.DurationVar(&f.auth.SigningKeyMaxAge, "signing-key-max-age", 30*24*time.Hour, "how long one key signs endpoints' tokens")
}

// parseIssuer reads URL,client-id=ID,….
func parseIssuer(text string) (assembly.Issuer, error) {
	parts := strings.Split(text, ",")
	i := assembly.Issuer{URL: parts[0]}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "client-id":
			i.Audience = value
		case "user-claim":
			i.UserClaim = value
		case "groups-claim":
			i.GroupsClaim = value
		default:
			return i, fmt.Errorf("--oidc-issuer %q: %q is none of client-id=, user-claim= and groups-claim=", text, part)
		}
	}
	if err := i.Validate(); err != nil {
		return i, fmt.Errorf("--oidc-issuer %q: %w", text, err)
	}
	return i, nil
}
