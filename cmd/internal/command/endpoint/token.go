package endpoint

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// token is an endpoint's token under the names that the old product gave; the
// times are for programs, in RFC 3339.
type token struct {
	AccessToken  string `json:"accessToken"`
	TokenType    string `json:"tokenType"`
	ExpiryOn     string `json:"expiryOn"`
	RefreshAfter string `json:"refreshAfter"`
	RefreshBy    string `json:"refreshBy"`
}

func getToken(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "get-token [NAME]",
		Aliases: []string{"get-access-token"},
		Short:   "Get a token for scoring with an endpoint that uses tokens",
		Example: "  fairlead endpoint get-token -n diabetes\n  fairlead endpoint get-token -n diabetes --lifetime 1h -o json",
	}
	addName(s, cmd)
	lifetime := cmd.Flags().Duration("lifetime", 0, "how long it is to be valid; 0 means as long as the server allows")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		req := &authv1.GetEndpointTokenRequest{Name: t.name}
		if *lifetime != 0 {
			req.Lifetime = durationpb.New(*lifetime)
		}
		got, err := t.client.Tokens.GetEndpointToken(ctx, req)
		if err != nil {
			return err
		}
		refresh := got.GetRefreshByTime().AsTime().Format(time.RFC3339)
		out := token{
			AccessToken: got.GetAccessToken(), TokenType: got.GetTokenType(),
			ExpiryOn: got.GetExpiryTime().AsTime().Format(time.RFC3339), RefreshAfter: refresh, RefreshBy: refresh,
		}
		return s.Print(output.Document{Value: out, Names: []string{out.AccessToken}, Text: func(w *output.Text) {
			w.Facts(
				output.Fact{Name: "Access token", Value: out.AccessToken},
				output.Fact{Name: "Expires", Value: out.ExpiryOn},
				output.Fact{Name: "Refresh by", Value: out.RefreshBy},
			)
		}})
	})
	return cmd
}

func revokeTokens(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revoke-tokens [NAME]",
		Short:   "Make all tokens that an endpoint's callers have invalid",
		Example: "  fairlead endpoint revoke-tokens -n diabetes",
	}
	addName(s, cmd)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		_, err = t.client.Tokens.RevokeEndpointTokens(ctx, &authv1.RevokeEndpointTokensRequest{Name: t.name})
		if err == nil {
			s.Notef("revoked all tokens of %s", t.id)
		}
		return err
	})
	return cmd
}
