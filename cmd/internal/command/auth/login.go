package auth

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/signin"
)

// The environment variables of a sign-in.
const (
	issuerVariable   = "FAIRLEAD_OIDC_ISSUER"
	clientIDVariable = "FAIRLEAD_OIDC_CLIENT_ID"
)

func login(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in with an identity provider (OpenID Connect)",
		Long: `Signs you in with the identity provider that the control plane trusts: in a
browser on this machine, or with --device by a code that you confirm in any
browser. The tokens are kept in ~/.config/fairlead/credentials.json, for this
control plane only, and renewed when they expire.`,
		Example: "  fairlead auth login --issuer https://login.example.com --client-id fairlead\n" +
			"  fairlead auth login --issuer https://login.example.com --client-id fairlead --device",
		Args: session.NoArgs,
	}
	w := signin.Wish{Say: s.Streams.Err}
	fs := cmd.Flags()
	fs.StringVar(&w.Issuer, "issuer", s.Getenv(issuerVariable), "URL of the identity provider ("+issuerVariable+")")
	fs.StringVar(&w.ClientID, "client-id", s.Getenv(clientIDVariable), "the client that the provider knows the command line as ("+clientIDVariable+")")
	fs.StringSliceVar(&w.Scopes, "scope", []string{"openid", "email", "profile", "offline_access"}, "what to ask the provider for")
	fs.BoolVar(&w.Device, "device", false, "confirm a code in a browser on any machine")
	fs.IntVar(&w.CallbackPort, "callback-port", 0, "port on this machine that the browser is sent back to; 0 means any")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		if w.Issuer == "" || w.ClientID == "" {
			return session.Usagef(cmd, "say who signs you in: --issuer and --client-id")
		}
		set, err := s.Settings()
		if err != nil {
			return err
		}
		c, err := signin.Login(ctx, w)
		if err != nil {
			return err
		}
		if err := signin.NewStore(s.HomeDir).Save(set.Server.Value, c); err != nil {
			return err
		}
		s.Notef("signed in to %s until %s; fairlead auth whoami shows as whom", set.Server.Value, c.Expiry.Format(time.RFC3339))
		return nil
	})
	return cmd
}

func logout(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "logout",
		Short:   "Forget the sign-in for this control plane",
		Example: "  fairlead auth logout",
		Args:    session.NoArgs,
	}
	cmd.RunE = s.Run(func(context.Context, []string) error {
		set, err := s.Settings()
		if err != nil {
			return err
		}
		found, err := signin.NewStore(s.HomeDir).Remove(set.Server.Value)
		switch {
		case err != nil:
			return err
		case found:
			s.Notef("signed out of %s", set.Server.Value)
		default:
			s.Notef("nobody is signed in to %s", set.Server.Value)
		}
		return nil
	})
	return cmd
}
