// Package config shows the settings that hold, and where each comes from.
package config

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
)

// Command makes `fairlead config`.
func Command(s *session.Session) *cobra.Command {
	return session.Group(&cobra.Command{
		Use:   "config",
		Short: "Show the settings that hold",
	}, show(s))
}

// entry is one setting, as it is printed.
type entry struct {
	Value  string `json:"value"`
	Source string `json:"source"`
}

func show(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show the connection's settings and where each comes from",
		Example: "  fairlead config show",
		Args:    session.NoArgs,
	}
	cmd.RunE = s.Run(func(context.Context, []string) error {
		set, err := s.Settings()
		if err != nil {
			return err
		}
		document := struct {
			Server    entry `json:"server"`
			Workspace entry `json:"workspace"`
			Token     entry `json:"token"`
			DataDir   entry `json:"dataDir"`
		}{
			Server:    entry(set.Server),
			Workspace: entry(set.Workspace),
			Token:     entry{set.Token.String(), set.TokenSource},
			DataDir:   entry(set.DataDir),
		}
		return s.Print(output.Document{Value: document, Text: func(t *output.Text) {
			t.Table([]string{"SETTING", "VALUE", "FROM"}, [][]string{
				{"server", document.Server.Value, document.Server.Source},
				{"workspace", document.Workspace.Value, document.Workspace.Source},
				{"token", output.OrDash(document.Token.Value), document.Token.Source},
				{"data folder", document.DataDir.Value, document.DataDir.Source},
			})
		}})
	})
	return cmd
}
